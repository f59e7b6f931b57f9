//! The keeper: begins the session of the new terminal, and minds the one job in it.

use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill, killpg};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{self, ForkResult, Pid, isatty};
use rustix::termios::{QueueSelector, tcflush, tcgetpgrp, tcsetpgrp};

use crate::machine::kernel;
use crate::run::child;

/// What is said between copier and keeper that is no signal.
pub(super) mod word {
    /// The command has the keyboard; go on.
    pub(in crate::run::terminal) const FOREGROUND: u8 = b'f';
    /// It has not; go on.
    pub(in crate::run::terminal) const BACKGROUND: u8 = b'b';
}

struct Keeper {
    terminal: OwnedFd,
    copier: UnixStream,
    job: Pid,
    /// Whom the terminal belongs to when the caller's is ours again; nothing while it is.
    waits: Option<rustix::process::Pid>,
}

/// Becomes the keeper. Returns in its child, which is the job.
pub(super) fn keep(
    terminal: OwnedFd,
    mut copier: UnixStream,
    before: &SigSet,
) -> std::io::Result<()> {
    unistd::setsid()?;
    rustix::process::ioctl_tiocsctty(&terminal)?;
    replace(&terminal)?;
    let own_group = tcgetpgrp(&terminal)?;
    let mut first = [0];
    copier.read_exact(&mut first)?;
    let foreground = first[0] == word::FOREGROUND;
    match kernel::fork()? {
        ForkResult::Child => {
            let _ = nix::sys::prctl::set_pdeathsig(Signal::SIGTERM);
            unistd::setpgid(Pid::from_raw(0), Pid::from_raw(0))?;
            if foreground {
                tcsetpgrp(&terminal, rustix::process::getpid())?;
            }
            before.thread_set_mask()?;
            Ok(())
        }
        ForkResult::Parent { child: job } => {
            let _ = unistd::setpgid(job, job); // whoever is first
            let waits = if foreground { None } else { rustix_pid(job) };
            let keeper = Keeper { terminal, copier, job, waits };
            child::exit(keeper.mind(own_group).unwrap_or(125))
        }
    }
}

/// Puts the terminal where the caller's is, and lets go of any other that the caller left open.
fn replace(terminal: &OwnedFd) -> nix::Result<()> {
    let is_tty = |fd: &dyn AsFd| isatty(fd.as_fd()).unwrap_or(false);
    if is_tty(&std::io::stdin()) {
        unistd::dup2_stdin(terminal)?;
    }
    if is_tty(&std::io::stdout()) {
        unistd::dup2_stdout(terminal)?;
    }
    if is_tty(&std::io::stderr()) {
        unistd::dup2_stderr(terminal)?;
    }
    let numbers = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let numbers: Vec<i32> =
        numbers.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    for number in numbers.into_iter().filter(|number| *number > 2) {
        if number != terminal.as_raw_fd() && kernel::is_terminal(number) {
            unistd::close(number)?;
        }
    }
    Ok(())
}

impl Keeper {
    /// Until the job ends. Returns its exit status.
    fn mind(mut self, own_group: rustix::process::Pid) -> nix::Result<u8> {
        let heard = [Signal::SIGCHLD, Signal::SIGHUP, Signal::SIGTERM].into_iter().collect();
        let signals = SignalFd::with_flags(&heard, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        let mut copier_lives = true;
        loop {
            match waitpid(self.job, Some(WaitPidFlag::WNOHANG | WaitPidFlag::WUNTRACED)) {
                Ok(WaitStatus::Exited(_, status)) => {
                    return Ok(u8::try_from(status & 0xff).unwrap_or(125));
                }
                Ok(WaitStatus::Signaled(_, signal, _)) => return Ok(128 + signal as u8),
                Ok(WaitStatus::Stopped(_, signal)) => self.stopped(signal),
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
            let mut fds = vec![PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
            if copier_lives {
                fds.push(PollFd::new(self.copier.as_fd(), PollFlags::POLLIN));
            }
            let _ = poll(&mut fds, PollTimeout::NONE);
            let said = fds.get(1).and_then(PollFd::any).unwrap_or(false);
            while let Ok(Some(signal)) = signals.read_signal() {
                let signal = i32::try_from(signal.ssi_signo).ok();
                match signal.and_then(|number| Signal::try_from(number).ok()) {
                    Some(Signal::SIGCHLD) | None => {}
                    ending => drop(kill(self.job, ending)),
                }
            }
            if said {
                let mut byte = [0];
                copier_lives = self.copier.read(&mut byte).unwrap_or(0) > 0;
                if copier_lives {
                    self.obey(byte[0], own_group);
                } else {
                    let _ = kill(self.job, Signal::SIGHUP);
                }
            }
        }
    }

    /// A signal of the terminal has stopped the job: then all of it, for process 1 of a PID namespace
    /// is stopped by no signal but SIGSTOP from outside.
    fn stopped(&mut self, signal: Signal) {
        if matches!(signal, Signal::SIGTSTP | Signal::SIGTTIN | Signal::SIGTTOU) {
            let _ = killpg(self.job, Signal::SIGSTOP);
            if self.waits.is_some() {
                // Nothing was meant for it so far; see `Copier::wake`.
                let _ = tcflush(&self.terminal, QueueSelector::IFlush);
            }
            let _ = self.copier.write(&[signal as u8]);
        }
    }

    fn obey(&mut self, said: u8, own_group: rustix::process::Pid) {
        match said {
            word::FOREGROUND => {
                if let Some(group) = self.waits.take() {
                    let _ = tcsetpgrp(&self.terminal, group);
                }
                let _ = killpg(self.job, Signal::SIGCONT);
            }
            word::BACKGROUND => {
                if self.waits.is_none() {
                    self.waits = tcgetpgrp(&self.terminal).ok().or(rustix_pid(self.job));
                    let _ = tcsetpgrp(&self.terminal, own_group);
                }
                let _ = killpg(self.job, Signal::SIGCONT);
            }
            signal => match Signal::try_from(i32::from(signal)) {
                // What a terminal sends goes to all of a job; what somebody sends, to one process.
                Ok(signal @ (Signal::SIGINT | Signal::SIGQUIT | Signal::SIGSTOP)) => {
                    let _ = killpg(self.job, signal);
                }
                Ok(signal) => drop(kill(self.job, signal)),
                Err(_) => {}
            },
        }
    }
}

pub(super) fn rustix_pid(pid: nix::unistd::Pid) -> Option<rustix::process::Pid> {
    rustix::process::Pid::from_raw(pid.as_raw())
}
