//! The terminal of a command: one of its own.
//!
//! Whoever has a terminal can type on it as its user would (TIOCSTI, see ioctl_tty(2)), and the
//! caller's shell reads it next. So nobody inside has the caller's: there is another one, and what is
//! typed and printed is copied.
//!
//! ```text
//! the caller's session                    a session of its own
//! ┌───────────────────────┐               ┌──────────────────────────────────────────┐
//! │ shell ── copier ──────┼───────────────┼─ keeper ── `sandbox`, as if nothing had  │
//! │            │          │    a line     │   │        happened, and its command     │
//! │        terminal ◄─────┼──── bytes ────┼─► terminal                               │
//! └───────────────────────┘               └──────────────────────────────────────────┘
//! ```
//!
//! The copier is the process that the caller started: a job of the caller's shell, that stops and goes
//! on as jobs do. The keeper does for the command what a shell does for a job: without it nobody would
//! notice that the command was stopped, and what is stopped in a session without one never goes on.

mod copier;
mod keeper;

use std::fs::OpenOptions;
use std::io::{Write, stderr, stdin, stdout};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;

use nix::fcntl::OFlag;
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{ForkResult, getpgrp, isatty};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{self, LocalModes, OptionalActions};

use crate::error::Error;
use crate::machine::kernel;
use copier::{Copier, is_ours};
use keeper::rustix_pid;

/// Whether this process has a terminal: what it reads or prints is one, or it can open /dev/tty.
pub fn is_there() -> bool {
    callers().is_some()
}

// ANCHOR: own
/// Goes on with a terminal of its own, if the caller's is a terminal. As fork(2), it returns twice:
/// with nothing where everything goes on, and to the caller's side with the exit status, when all that
/// has ended.
///
/// # Errors
/// When there can be no more terminals, or processes.
pub fn own() -> Result<Option<u8>, Error> {
    let Some(callers) = callers() else { return Ok(None) };
    let doing = "make a terminal";
    let _ = (stdout().flush(), stderr().flush()); // or both sides would print what waits
    let (own, inside) = open(&callers).map_err(Error::io(doing))?;
    let (line, other_end) = UnixStream::pair().map_err(Error::io(doing))?;
    let heard = heard();
    let before = heard.thread_swap_mask(nix::sys::signal::SigmaskHow::SIG_BLOCK);
    let before = before.map_err(Error::io(doing))?;
    match kernel::fork().map_err(Error::io("fork")) {
        Ok(ForkResult::Child) => {
            drop((callers, own, line));
            keeper::keep(inside, other_end, &before).map_err(Error::io(doing))?;
            Ok(None)
        }
        Ok(ForkResult::Parent { child }) => {
            drop((inside, other_end));
            let copied = Copier::new(callers, own, child, line, &heard);
            let status = copied.map(Copier::copy).map_err(Error::io(doing));
            let _ = before.thread_set_mask();
            status.map(Some)
        }
        Err(error) => {
            let _ = before.thread_set_mask();
            Err(error)
        }
    }
}
// ANCHOR_END: own

/// The caller's terminal.
fn callers() -> Option<OwnedFd> {
    let (stdin, stdout, stderr) = (stdin(), stdout(), stderr());
    let mut standard = [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()].into_iter();
    let given = standard.find(|fd| isatty(fd).unwrap_or(false));
    // Opened anew, it can be made not to block without its other users noticing.
    let flags = OFlag::O_NOCTTY | OFlag::O_NONBLOCK;
    let open = || {
        let mut options = OpenOptions::new();
        options.read(true).write(true).custom_flags(flags.bits()).open("/dev/tty").ok()
    };
    let controls = given.is_none_or(|fd| termios::tcgetsid(fd).is_ok());
    let opened = if controls { open().map(OwnedFd::from) } else { None };
    opened.or_else(|| given?.try_clone_to_owned().ok())
}

/// A new terminal, in the state and of the size of the caller's: our end, and the command's.
fn open(callers: &OwnedFd) -> rustix::io::Result<(OwnedFd, OwnedFd)> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let own = openpt(flags)?;
    unlockpt(&own)?;
    let inside = ioctl_tiocgptpeer(&own, flags)?;
    rustix::io::ioctl_fionbio(&own, true)?;
    // Another program of the caller's may have changed it for itself.
    let state = termios::tcgetattr(callers)?;
    if state.local_modes.contains(LocalModes::ICANON) {
        termios::tcsetattr(&inside, OptionalActions::Now, &state)?;
    }
    Ok((own, inside))
}

/// The signals that copier and keeper hear; not those that the caller ignores, as nohup(1) does.
fn heard() -> SigSet {
    use Signal::*;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    let all = [SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGWINCH];
    let obeyed = all.into_iter().filter(|signal| ignored & (1 << (*signal as u32 - 1)) == 0);
    // Reading and changing a terminal in the background is an error, then, and stops nobody.
    obeyed.chain([SIGTTIN, SIGTTOU]).collect()
}

/// The terminal that a child was given comes back to this process's job when this is dropped: a shell
/// in another PID namespace takes the terminal, and cannot give it back to a group that it cannot see.
pub struct Lent(Option<OwnedFd>);

/// Lets a child have the caller's terminal itself.
pub fn lend() -> Lent {
    Lent(callers().filter(|terminal| is_ours(terminal.as_fd())))
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(terminal) = &self.0 {
            let stop: SigSet = [Signal::SIGTTOU].into_iter().collect();
            let before = stop.thread_swap_mask(nix::sys::signal::SigmaskHow::SIG_BLOCK);
            let _ = rustix_pid(getpgrp()).map(|group| termios::tcsetpgrp(terminal, group));
            let _ = before.map(|before| before.thread_set_mask());
        }
    }
}
