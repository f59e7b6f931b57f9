//! Borrowing a cgroup from the user's own service manager.
//!
//! On most desktops an ordinary user's shell runs in a cgroup that belongs to root. The user's own
//! systemd has one that it may divide, and `systemd-run` starts a program in a part of it.

use std::env;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::programs;
use crate::error::Error;

/// Set for the program that is started again, so that it does not try once more.
const STARTED: &str = "SANDBOX_SCOPE";

/// Whether there is a service manager to ask, and it was not asked yet.
pub fn is_possible() -> bool {
    let socket =
        env::var_os("XDG_RUNTIME_DIR").map(|dir| PathBuf::from(dir).join("systemd/private"));
    env::var_os(STARTED).is_none()
        && socket.is_some_and(|socket| socket.exists())
        && programs::find("systemd-run").is_some()
}

/// Starts this very command again, in a cgroup that its user may divide. Comes back when that
/// cannot be had: found out by trying it with a command that does nothing.
pub fn start_again() -> Option<Error> {
    let program = crate::machine::sealed::program().ok()?;
    let lend = || {
        let mut command = Command::new("systemd-run");
        command.args(["--user", "--scope", "--quiet", "--collect", "-p", "Delegate=yes", "--"]);
        command
    };
    let tried = lend()
        .arg("true")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if !tried.is_ok_and(|status| status.success()) {
        return None;
    }
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    super::caller::give_back();
    let failed = lend().arg(program).args(arguments).env(STARTED, "1").exec();
    Some(Error::io("run `systemd-run --user --scope`")(failed))
}
