//! Cgroups that are in use: what is in them, and ending it.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::statfs::{CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, statfs};
use nix::unistd::Pid;

/// How long the processes of a cgroup are waited for once they were killed.
const PATIENCE: Duration = Duration::from_secs(5);

/// The name of the cgroups of a sandbox.
pub(super) fn name_of(id: &str) -> String {
    format!("sandbox-{id}")
}

/// Whether this is a cgroup of the sandbox of this name: called so, and where cgroups are. What is not
/// there any more is one too.
pub fn is_of(dir: &Path, id: &str) -> bool {
    let named = dir.file_name() == Some(OsStr::new(&name_of(id)));
    let kind = || match statfs(dir) {
        Ok(about) => [CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC].contains(&about.filesystem_type()),
        Err(errno) => errno == Errno::ENOENT,
    };
    named && !dir.is_symlink() && kind()
}

/// Ends all processes in a cgroup and in those below it, and removes them.
///
/// # Errors
/// EBUSY when a process would not go within 5 s; what else the kernel answered.
pub fn remove(dir: &Path) -> io::Result<()> {
    let below = match fs::read_dir(dir) {
        Ok(below) => below,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let until = Instant::now() + PATIENCE;
    for entry in below.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        kill_all(dir);
        remove(&entry.path())?;
    }
    loop {
        match fs::remove_dir(dir) {
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) && Instant::now() < until => {
                kill_all(dir);
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            ended => return ended,
        }
    }
}

/// Kills all processes in a cgroup. In version 2 the kernel does it at once; in version 1 new ones
/// are kept from starting, where the controllers for that are, until none is left.
pub fn kill_all(dir: &Path) {
    if fs::write(dir.join("cgroup.kill"), "1").is_ok() {
        return;
    }
    let set = |file: &str, value: &str| {
        let file = dir.join(file);
        let _ = fs::OpenOptions::new()
            .write(true)
            .open(file)
            .and_then(|mut file| io::Write::write_all(&mut file, value.as_bytes()));
    };
    set("pids.max", "0");
    set("freezer.state", "FROZEN");
    for pid in processes(dir) {
        let _ = kill(pid, Signal::SIGKILL);
    }
    set("freezer.state", "THAWED");
}

/// The processes in a cgroup that this process can see.
pub fn processes(dir: &Path) -> Vec<Pid> {
    let text = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    let pids = text.lines().filter_map(|line| line.parse().ok());
    pids.filter(|pid| *pid > 0).map(Pid::from_raw).collect()
}
