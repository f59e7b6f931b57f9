//! What all requests share, and the programs that are started for them.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::process::Child;
use tokio::sync::Semaphore;

use super::access::Access;
use super::line::Line;
use crate::machine::sealed;
use crate::teach::lesson;

/// The most terminals at once.
pub(super) const MOST_TERMINALS: usize = 32;

/// How long a program may take to clean up after itself before it is killed.
pub(super) const FAREWELL: Duration = Duration::from_secs(5);

/// What all requests share.
pub(super) struct Server {
    pub(super) access: Arc<Access>,
    pub(super) line: Line,
    pub(super) terminals: Semaphore,
    pub(super) has_terminal: bool,
    /// The parts that exist, as in `namespaces.uts`, and the part.
    pub(super) parts: HashMap<String, lesson::Part>,
    /// This program, as a copy that no reader can change.
    pub(super) program: File,
}

impl Server {
    /// The program, for a child of this process.
    pub(super) fn program(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.program.as_raw_fd()).into()
    }
}

/// The arguments with which a part of a lesson runs as a child of the server: it ends, and cleans up
/// after itself, when the server does, however that ends.
pub(super) fn arguments(name: &str, how: &[&'static str]) -> Vec<String> {
    let server = std::process::id().to_string();
    let first = ["--die-with-parent", &server, "lesson", name];
    first.into_iter().chain(how.iter().copied()).map(str::to_owned).collect()
}

/// What such a child is to know: where its files are, and how to speak. What else the environment
/// holds is nobody's business.
pub(super) fn environment() -> impl Iterator<Item = (OsString, OsString)> {
    const NAMES: [&str; 8] = [
        "DBUS_SESSION_BUS_ADDRESS",
        "HOME",
        "LANG",
        "PATH",
        "SUDO_GID",
        "SUDO_UID",
        "TMPDIR",
        "USER",
    ];
    std::env::vars_os()
        .filter(|(name, _)| {
            let name = name.to_string_lossy();
            let of_a_kind = ["LC_", "SANDBOX_", "XDG_"].iter().any(|start| name.starts_with(start));
            of_a_kind || NAMES.contains(&&*name)
        })
        .chain(sealed::program().ok().map(|program| (sealed::PROGRAM.into(), program.into())))
}

/// Asks a child to end, and waits until it has cleaned up after itself.
pub(super) async fn end(mut child: Child) {
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).map(nix::unistd::Pid::from_raw);
    if let Some(pid) = pid {
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
    }
    if tokio::time::timeout(FAREWELL, child.wait()).await.is_err() {
        let _ = child.kill().await;
    }
}
