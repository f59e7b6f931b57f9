//! Other processes of this machine.

use std::fs;

/// When a process began, in clock ticks since boot: with its number it names one process, and no
/// later one that gets the same number. The 22nd field of proc_pid_stat(5).
pub fn started(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the name, in which may stand what it likes.
    let (_, fields) = stat.rsplit_once(") ")?;
    fields.split(' ').nth(19)?.parse().ok()
}
