//! Waiting for a child, and passing on to it what comes meanwhile.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::signal::SigSet;
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::stat::Mode;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::signals::{HARMLESS, NOT_FOR_THE_COMMAND, has_reached_all, send};

/// Waits for `child` to end.
pub(crate) fn wait_for(child: Pid) -> u8 {
    loop {
        match waitpid(child, None) {
            Ok(ended) => {
                if let Some(status) = status(ended) {
                    return status;
                }
            }
            Err(Errno::EINTR) => {}
            Err(_) => return 125,
        }
    }
}

fn status(ended: WaitStatus) -> Option<u8> {
    match ended {
        WaitStatus::Exited(_, status) => Some(u8::try_from(status & 0xff).unwrap_or(125)),
        WaitStatus::Signaled(_, signal, _) => Some(128 + signal as u8),
        _ => None,
    }
}

/// For a process that will only wait for its child, while signals are held back.
pub(crate) struct Waiting {
    signals: SignalFd,
    /// The host's /proc, whatever is mounted over it meanwhile.
    proc: Option<OwnedFd>,
}

impl Waiting {
    /// Before there is a child.
    pub(crate) fn new() -> nix::Result<Waiting> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Ok(Waiting {
            signals: SignalFd::with_flags(&SigSet::all(), SfdFlags::SFD_CLOEXEC)?,
            proc: open("/proc", flags, Mode::empty()).ok(),
        })
    }

    /// Waits for all that end until `child` does, and passes on to it what comes. Returns its status.
    pub(crate) fn wait(&self, child: Pid) -> u8 {
        let mut killed_for = None;
        loop {
            loop {
                match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                    Ok(ended) if ended.pid() == Some(child) => {
                        if let Some(status) = status(ended) {
                            return killed_for.unwrap_or(status);
                        }
                    }
                    Ok(ended) if ended.pid().is_some() => {}
                    Err(Errno::ECHILD) => return 125,
                    _ => break,
                }
            }
            let Ok(Some(signal)) = self.signals.read_signal() else { continue };
            let number = i32::try_from(signal.ssi_signo).unwrap_or(0);
            if NOT_FOR_THE_COMMAND.contains(&number) || has_reached_all(number, signal.ssi_code) {
                continue;
            }
            if self.spares(child, number) {
                killed_for = u8::try_from(128 + number).ok();
                send(child.as_raw(), libc::SIGKILL);
            } else {
                send(child.as_raw(), number);
            }
        }
    }

    /// Whether it would end any process, but the kernel spares this one: process 1 of a namespace gets
    /// no signal that it has no handler for.
    fn spares(&self, child: Pid, number: i32) -> bool {
        let status = self.status(child).unwrap_or_default();
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
        let first = field("NSpid:").and_then(|pids| pids.split_whitespace().last()) == Some("1");
        let has = |name: &str| {
            let set = field(name).and_then(|set| u64::from_str_radix(set.trim(), 16).ok());
            set.is_none_or(|set| set >> (number - 1) & 1 == 1)
        };
        let expects = ["SigBlk:", "SigIgn:", "SigCgt:"].iter().any(|name| has(name));
        first && !expects && !HARMLESS.contains(&number)
    }

    fn status(&self, child: Pid) -> Option<String> {
        let (file, flags) = (format!("{child}/status"), OFlag::O_RDONLY | OFlag::O_CLOEXEC);
        let file = openat(self.proc.as_ref()?, file.as_str(), flags, Mode::empty()).ok()?;
        let mut text = String::new();
        File::from(file).read_to_string(&mut text).ok()?;
        Some(text)
    }
}
