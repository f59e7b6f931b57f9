//! The copier: the caller's side of a terminal, and a job of the caller's shell.

use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill, raise};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpgrp, isatty, read, write};
use rustix::termios::{self, LocalModes, OptionalActions, OutputModes, SpecialCodeIndex, Termios};

use super::keeper::word;

/// How much of what was printed before the end is still waited for.
const LAST_WORDS: usize = 1 << 20;

/// How long a terminal may take nothing at the end, in milliseconds.
const PATIENCE: u16 = 5000;

/// Both terminals, and what is under way between them.
pub(super) struct Copier {
    /// The caller's, until it hangs up.
    callers: Option<OwnedFd>,
    /// The command's, until we hang up.
    own: Option<OwnedFd>,
    keeper: Pid,
    line: UnixStream,
    signals: SignalFd,
    /// Whether a caller who hangs up means the command.
    hangs_up: bool,
    /// Whether the command wants the keyboard.
    wants_keys: bool,
    /// How the caller's terminal was, while it passes every key on to the command.
    before: Option<Termios>,
    /// What the command's terminal leaves to the caller's while the command has no keyboard.
    left_out: Option<(OutputModes, LocalModes)>,
    /// Whether there may be keys for the command, although it never asked for them.
    listens: bool,
    printed: Vec<u8>,
    typed: Vec<u8>,
}

impl Copier {
    pub(super) fn new(
        callers: OwnedFd,
        own: OwnedFd,
        keeper: Pid,
        line: UnixStream,
        heard: &SigSet,
    ) -> std::io::Result<Copier> {
        let mut heard = *heard;
        heard.remove(Signal::SIGTTIN);
        heard.remove(Signal::SIGTTOU);
        let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
        line.set_nonblocking(true)?;
        // Where another program prints, as in a pipe to less(1), the keys may be for that one.
        let is_terminal = |fd: &dyn AsFd| isatty(fd.as_fd()).unwrap_or(false);
        let wants_keys = is_terminal(&std::io::stdin()) && is_terminal(&std::io::stdout());
        Ok(Copier {
            signals: SignalFd::with_flags(&heard, flags)?,
            hangs_up: heard.contains(Signal::SIGHUP),
            wants_keys,
            before: None,
            left_out: None,
            listens: false,
            printed: Vec::new(),
            typed: Vec::new(),
            callers: Some(callers),
            own: Some(own),
            keeper,
            line,
        })
    }

    /// Copies until everything has ended. Returns the exit status.
    pub(super) fn copy(mut self) -> u8 {
        self.go_on();
        let status = loop {
            let events = self.wait();
            let keeper_lives = self.hear();
            self.print();
            self.type_in(events);
            let unless_ended = Some(WaitPidFlag::WNOHANG).filter(|_| keeper_lives);
            match waitpid(self.keeper, unless_ended) {
                Ok(WaitStatus::Exited(_, status)) => break u8::try_from(status).unwrap_or(125),
                Ok(WaitStatus::Signaled(_, signal, _)) => break 128 + signal as u8,
                Ok(_) | Err(Errno::EINTR) => {}
                Err(_) => break 125,
            }
        };
        // Somebody may have stayed behind and print for ever.
        let mut left = LAST_WORDS;
        while left > 0 && self.print_last() {
            left = left.saturating_sub(self.print());
        }
        self.give_back();
        status
    }

    /// Waits until there is something to do. Says what there is of the caller's terminal.
    fn wait(&self) -> PollFlags {
        let when = |it, events| if it { events } else { PollFlags::empty() };
        let (takes, silent) =
            (self.before.is_some() && self.typed.is_empty(), self.printed.is_empty());
        let mut fds = vec![
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.line.as_fd(), PollFlags::POLLIN),
        ];
        if let Some(own) = &self.own {
            let events = when(silent, PollFlags::POLLIN);
            let events = events | when(!self.typed.is_empty(), PollFlags::POLLOUT);
            fds.push(PollFd::new(own.as_fd(), events));
        }
        if let Some(callers) = &self.callers {
            let events =
                when(takes || self.listens, PollFlags::POLLIN) | when(!silent, PollFlags::POLLOUT);
            fds.push(PollFd::new(callers.as_fd(), events));
        }
        let _ = poll(&mut fds, PollTimeout::NONE);
        let callers = if self.callers.is_some() { fds.last() } else { None };
        callers.and_then(PollFd::revents).unwrap_or(PollFlags::empty())
    }

    /// Signals, and what the keeper says. `false` when it says no more.
    fn hear(&mut self) -> bool {
        while let Ok(Some(signal)) = self.signals.read_signal() {
            match i32::try_from(signal.ssi_signo).ok().and_then(|n| Signal::try_from(n).ok()) {
                Some(Signal::SIGCHLD) | None => {}
                Some(Signal::SIGCONT) => self.go_on(),
                Some(Signal::SIGWINCH) => self.resize(),
                Some(Signal::SIGTSTP) => {
                    self.say(Signal::SIGSTOP as u8);
                    self.stop(Signal::SIGTSTP, || raise(Signal::SIGTSTP));
                }
                Some(signal) => self.say(signal as u8),
            }
        }
        let mut said = [0];
        while let Ok(n) = self.line.read(&mut said) {
            if n == 0 {
                return false;
            }
            let Ok(signal) = Signal::try_from(i32::from(said[0])) else { continue };
            let wants_keys = signal != Signal::SIGTSTP;
            self.wants_keys |= wants_keys;
            let ours = self.callers.as_ref().is_some_and(|callers| is_ours(callers.as_fd()));
            if wants_keys && ours {
                self.go_on();
            } else {
                // As the terminal does: all of the job, a pipeline or a script.
                self.stop(signal, || kill(Pid::from_raw(0), signal));
            }
        }
        true
    }

    fn say(&mut self, word: u8) {
        let _ = self.line.write(&[word]);
    }

    /// Stops as the command has stopped. In a job that has no shell any more nothing stops: then the
    /// command goes on at once, but not if it would ask for the keyboard again.
    fn stop(&mut self, signal: Signal, stop: impl FnOnce() -> nix::Result<()>) {
        self.give_back();
        let _ = stop();
        let only: SigSet = [signal].into_iter().collect();
        let _ = (only.thread_unblock(), only.thread_block());
        if signal == Signal::SIGTSTP {
            self.go_on();
        }
    }

    /// The command goes on, with the keyboard if it wants that and we have it.
    fn go_on(&mut self) {
        self.resize();
        let ours = self.callers.as_ref().is_some_and(|callers| is_ours(callers.as_fd()));
        self.listens = ours && !self.wants_keys;
        if ours && self.wants_keys {
            self.take();
            self.say(word::FOREGROUND);
        } else {
            // Whoever took the terminal from us has it now as they want it.
            self.before = None;
            self.leave_out();
            self.say(word::BACKGROUND);
        }
    }

    /// Makes the caller's terminal pass every key on: Ctrl-C and its like are for the command's.
    fn take(&mut self) {
        self.put_in();
        let Some(callers) = self.callers.as_ref().filter(|_| self.before.is_none()) else { return };
        let Ok(before) = termios::tcgetattr(callers) else { return };
        if before.local_modes.contains(LocalModes::ICANON) {
            self.typed.extend(typed_ahead(callers, before.special_codes[SpecialCodeIndex::VEOF]));
        }
        give_back_in_panic(callers, &before);
        let mut raw = before.clone();
        raw.make_raw();
        if termios::tcsetattr(callers, OptionalActions::Now, &raw).is_ok() {
            self.before = Some(before);
        }
    }

    /// Makes the caller's terminal what it was.
    fn give_back(&mut self) {
        if let (Some(callers), Some(before)) = (&self.callers, self.before.take()) {
            let _ = termios::tcsetattr(callers, OptionalActions::Now, &before);
            let _ = std::panic::take_hook();
        }
    }

    /// Without keys there is nothing to echo, and one of both terminals makes `\r\n` of `\n`.
    fn leave_out(&mut self) {
        let Some(own) = self.own.as_ref().filter(|_| self.left_out.is_none()) else { return };
        let Ok(mut state) = termios::tcgetattr(own) else { return };
        let output = state.output_modes & OutputModes::OPOST;
        let local = state.local_modes & LocalModes::ECHO;
        state.output_modes.remove(output);
        state.local_modes.remove(local);
        if termios::tcsetattr(own, OptionalActions::Now, &state).is_ok() {
            self.left_out = Some((output, local));
        }
    }

    fn put_in(&mut self) {
        let (Some(own), Some((output, local))) = (&self.own, self.left_out.take()) else { return };
        let Ok(mut state) = termios::tcgetattr(own) else { return };
        state.output_modes.insert(output);
        state.local_modes.insert(local);
        let _ = termios::tcsetattr(own, OptionalActions::Now, &state);
    }

    fn resize(&self) {
        if let (Some(callers), Some(own)) = (&self.callers, &self.own) {
            let _ = termios::tcgetwinsize(callers).map(|size| termios::tcsetwinsize(own, size));
        }
    }

    /// What the command prints. Returns how much there was.
    fn print(&mut self) -> usize {
        if self.printed.is_empty() {
            let mut bytes = [0; 1 << 14];
            let n = self.own.as_ref().map_or(0, |own| read(own, &mut bytes).unwrap_or(0));
            self.printed.extend(&bytes[..n]);
        }
        let there = self.printed.len();
        if there == 0 {
            return 0;
        }
        match self.callers.as_ref().map(|callers| write(callers, &self.printed)) {
            Some(Ok(n)) => drop(self.printed.drain(..n)),
            Some(Err(Errno::EAGAIN | Errno::EINTR)) => {}
            Some(Err(_)) => self.hang_up(),
            None => self.printed.clear(),
        }
        there
    }

    /// Waits for the caller's terminal to take what is left. Says whether there is something.
    fn print_last(&mut self) -> bool {
        let (Some(own), Some(callers)) = (&self.own, &self.callers) else { return false };
        let poll = |fd: &OwnedFd, events, time: u16| {
            let mut fds = [PollFd::new(fd.as_fd(), events)];
            let _ = poll(&mut fds, time);
            fds[0].revents().is_some_and(|found| found.intersects(events))
        };
        let is_more = !self.printed.is_empty() || poll(own, PollFlags::POLLIN, 0);
        is_more && poll(callers, PollFlags::POLLOUT, PATIENCE)
    }

    /// What the caller types.
    fn type_in(&mut self, events: PollFlags) {
        let ended = events.intersects(PollFlags::POLLHUP | PollFlags::POLLERR);
        let pressed = events.contains(PollFlags::POLLIN);
        if self.before.is_none() && ended {
            self.hang_up();
        } else if self.before.is_none() && pressed {
            self.wake();
        } else if let Some(callers) = self.callers.as_ref().filter(|_| pressed || ended) {
            let mut bytes = [0; 1 << 12];
            match read(callers, &mut bytes) {
                Ok(n @ 1..) => self.typed.extend(&bytes[..n]),
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                // Taken from us without our being stopped.
                Err(_) if !is_ours(callers.as_fd()) => self.go_on(),
                Ok(_) | Err(_) => self.hang_up(),
            }
        }
        if let Some(own) = self.own.as_ref().filter(|_| !self.typed.is_empty()) {
            match write(own, &self.typed) {
                Ok(n) => drop(self.typed.drain(..n)),
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                Err(_) => self.typed.clear(),
            }
        }
    }

    /// There are keys, for whomever. Who waits for some with poll(2) must see some: then he reads,
    /// and the keeper hears of that.
    fn wake(&mut self) {
        self.listens = false;
        let _ = self.own.as_ref().map(|own| write(own, b"\n"));
    }

    /// The caller's terminal is gone, and so is the command's.
    fn hang_up(&mut self) {
        (self.callers, self.before) = (None, None);
        self.typed.clear();
        if self.hangs_up {
            self.own = None;
        }
    }
}

impl Drop for Copier {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// The lines that were typed before, and the ends of input: those are no characters later on.
fn typed_ahead(callers: &OwnedFd, end: u8) -> Vec<u8> {
    let (mut typed, mut bytes) = (Vec::new(), [0; 1 << 12]);
    let readable = || {
        let mut fds = [PollFd::new(callers.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::ZERO) == Ok(1) && fds[0].revents() == Some(PollFlags::POLLIN)
    };
    while readable() {
        match read(callers, &mut bytes) {
            Ok(0) => typed.push(end),
            Ok(n) => typed.extend(&bytes[..n]),
            Err(_) => break,
        }
    }
    typed
}

/// A panic may end the process on the spot.
fn give_back_in_panic(callers: &OwnedFd, before: &Termios) {
    let (Ok(callers), before) = (callers.try_clone(), before.clone()) else { return };
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let _ = termios::tcsetattr(&callers, OptionalActions::Now, &before);
        hook(panic);
    }));
}

/// Whether this process's job has the terminal. Where that controls no session, nobody can take it.
pub(super) fn is_ours(terminal: BorrowedFd) -> bool {
    termios::tcgetpgrp(terminal).map_or(true, |group| group.as_raw_pid() == getpgrp().as_raw())
}
