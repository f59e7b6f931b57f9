//! Other processes of this machine.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

use nix::poll::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// How long a process that was killed may take to be gone, in milliseconds: its memory and its mounts go
/// first.
const PATIENCE: u16 = 2000;

/// When a process began, in clock ticks since boot: with its number it names one process, and no
/// later one that gets the same number. The 22nd field of proc_pid_stat(5).
pub fn started(pid: i32) -> Option<u64> {
    field(pid, 22)?.parse().ok()
}

/// Whether a process is about to end: it was killed, or is ending already. Who has killed one and goes
/// on may look before the kernel got that far.
pub fn is_dying(pid: i32) -> bool {
    const EXITING: u64 = 0x4; // PF_EXITING in the kernel's sched.h
    const KILLED: u64 = 1 << (libc::SIGKILL - 1);
    let flags = field(pid, 9).and_then(|flags| flags.parse::<u64>().ok());
    let status = fs::read(format!("/proc/{pid}/status")).unwrap_or_default();
    let mut pending = status.split(|byte| *byte == b'\n').filter_map(|line| {
        let line = std::str::from_utf8(line).ok()?;
        let mask = line.strip_prefix("SigPnd:").or_else(|| line.strip_prefix("ShdPnd:"))?;
        u64::from_str_radix(mask.trim(), 16).ok()
    });
    flags.is_some_and(|flags| flags & EXITING != 0) || pending.any(|mask| mask & KILLED != 0)
}

/// Kills a process that began then, with all of the PID namespace that it is in, and waits a moment for
/// that. One that is in no other namespace than ours is left alone: nothing says whose it is.
pub fn end(pid: i32, began: Option<u64>) {
    let Some(first) = first_of_namespace(pid).and_then(Pid::from_raw) else { return };
    let Ok(held) = pidfd_open(first, PidfdFlags::empty()) else { return };
    if began.is_none() || started(pid) != began {
        return; // another process has the number by now
    }
    if pidfd_send_signal(&held, Signal::KILL).is_ok() {
        let _ = poll(&mut [PollFd::new(held.as_fd(), PollFlags::POLLIN)], PATIENCE);
    }
}

/// Process 1 of the PID namespace that a process is in, if that is not ours: it is above all others.
fn first_of_namespace(mut pid: i32) -> Option<i32> {
    loop {
        let status = fs::read(format!("/proc/{pid}/status")).ok()?;
        let status = String::from_utf8_lossy(&status);
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
        let numbers: Vec<&str> = field("NSpid:")?.split_whitespace().collect();
        if numbers.len() < 2 {
            return None;
        }
        if numbers.last() == Some(&"1") {
            return Some(pid);
        }
        pid = field("PPid:")?.trim().parse().ok()?;
    }
}

/// What a file in /proc says about a process, up to so many bytes, and whether that is all: its
/// arguments and its environment a process can make as long as it likes.
///
/// # Errors
/// When there is no such process, or it may not be looked at.
pub fn read(pid: i32, file: &str, most: usize) -> io::Result<(Vec<u8>, bool)> {
    let mut bytes = Vec::new();
    File::open(format!("/proc/{pid}/{file}"))?.take(most as u64 + 1).read_to_end(&mut bytes)?;
    let is_all = bytes.len() <= most;
    bytes.truncate(most);
    Ok((bytes, is_all))
}

/// Overwrites the environment that this process was started with, which /proc/PID/environ shows. From here
/// on it has none.
///
/// # Errors
/// When it cannot be found or written.
pub fn forget_environment() -> io::Result<()> {
    let pid = i32::try_from(std::process::id()).unwrap_or_default();
    let address = |number| field(pid, number).and_then(|address| address.parse::<u64>().ok());
    let (Some(begin), Some(end)) = (address(50), address(51)) else {
        return Err(io::Error::other("/proc does not say where the environment is"));
    };
    let zeros = vec![0; usize::try_from(end.saturating_sub(begin)).unwrap_or_default()];
    OpenOptions::new().write(true).open("/proc/self/mem")?.write_all_at(&zeros, begin)
}

/// A field of proc_pid_stat(5), as that counts them, after the second.
fn field(pid: i32, number: usize) -> Option<String> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    // The second is the name, in which may stand what it likes.
    let (_, fields) = stat.rsplit_once(") ")?;
    fields.split(' ').nth(number - 3).map(str::to_owned)
}
