//! Borrowing a cgroup from the user's own service manager.
//!
//! On most desktops an ordinary user's shell runs in a cgroup that belongs to root. The user's own
//! systemd has one that it may divide, and `systemd-run` starts a program in a part of it.

use std::env;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use crate::error::Error;

/// Set for the program that is started again, so that it does not try once more.
const STARTED: &str = "SANDBOX_SCOPE";

/// Whether there is a service manager to ask, and it was not asked yet.
pub fn is_possible() -> bool {
    let socket =
        env::var_os("XDG_RUNTIME_DIR").map(|dir| PathBuf::from(dir).join("systemd/private"));
    let path = env::var_os("PATH").unwrap_or_default();
    let installed = env::split_paths(&path).any(|dir| dir.join("systemd-run").exists());
    env::var_os(STARTED).is_none() && installed && socket.is_some_and(|socket| socket.exists())
}

/// Starts this very command again, in a cgroup that its user may divide. Comes back only when that
/// fails.
pub fn start_again() -> Error {
    let program = match env::current_exe() {
        Ok(program) => program,
        Err(error) => return Error::io("find this program")(error),
    };
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let failed = Command::new("systemd-run")
        .args(["--user", "--scope", "--quiet", "--collect", "-p", "Delegate=yes", "--"])
        .arg(program)
        .args(arguments)
        .env(STARTED, "1")
        .exec();
    Error::io("run `systemd-run --user --scope`")(failed)
}
