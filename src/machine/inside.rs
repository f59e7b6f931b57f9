//! Acting from inside of a user namespace in which all one's ids are mapped.
//!
//! What a sandbox with subordinate ids has left belongs to these, and out here its user may neither
//! read nor remove it. Its root could: so a child becomes root of such a namespace once more.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::fcntl::OFlag;
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Gid, Pid, Uid, getegid, geteuid, pipe2, setresgid, setresuid};

use super::ids;
use super::kernel;

/// Removes a tree, whomever of its sandbox's users its files belong to, but nothing that is mounted in
/// it.
///
/// # Errors
/// As for [`rootfs_fetch::remove`].
pub fn remove(tree: &Path) -> io::Result<()> {
    let from_here = || {
        rootfs_fetch::remove(tree).map_err(|error| match error {
            rootfs_fetch::Error::Io { source, .. } => source,
            other => io::Error::other(other),
        })
    };
    match from_here() {
        Err(error) if error.kind() == ErrorKind::PermissionDenied && !geteuid().is_root() => {
            match act(|| u8::from(from_here().is_err())) {
                Ok(0) => Ok(()),
                _ => Err(error),
            }
        }
        removed => removed,
    }
}

/// Whether all in a tree is this user's, and can be read.
pub fn is_all_ours(tree: &Path) -> bool {
    let ours = |path: &Path| {
        let about = fs::symlink_metadata(path)?;
        let entries = if about.is_dir() { Some(fs::read_dir(path)?) } else { None };
        Ok::<_, io::Error>((about.uid() == geteuid().as_raw(), entries))
    };
    let mut pending = vec![tree.to_owned()];
    while let Some(path) = pending.pop() {
        match ours(&path) {
            Ok((true, entries)) => {
                pending.extend(entries.into_iter().flatten().flatten().map(|entry| entry.path()));
            }
            _ => return false,
        }
    }
    true
}

/// Does something in a child that is root of a user namespace. Returns its exit status.
///
/// # Errors
/// When there can be no such namespace; then nothing was done.
pub fn act(act: impl FnOnce() -> u8) -> io::Result<u8> {
    // What was printed and not written yet would be written twice.
    io::stdout().flush()?;
    let pipe = || pipe2(OFlag::O_CLOEXEC).map(|(out, into)| (File::from(out), File::from(into)));
    let ((mut ready, tell), (wait, mut go)) = (pipe()?, pipe()?);
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    match kernel::fork()? {
        ForkResult::Child => {
            drop((ready, go));
            let entered = enter(tell, wait);
            std::process::exit(entered.map_or(FAILED, |()| act()).into())
        }
        ForkResult::Parent { child } => {
            drop((tell, wait));
            let entered = ready.read_exact(&mut [0]).and_then(|()| map(child, uid, gid));
            let told = entered.and_then(|()| go.write_all(b"g"));
            drop(go);
            let status = end_of(child)?;
            told.map(|()| status)
        }
    }
}

/// Of a child that came not so far as to act; nobody is told.
const FAILED: u8 = 125;

fn enter(mut tell: File, mut wait: File) -> io::Result<()> {
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
    unshare(CloneFlags::CLONE_NEWUSER)?;
    tell.write_all(b"r")?;
    wait.read_exact(&mut [0])?;
    let (uid, gid) = (Uid::from_raw(0), Gid::from_raw(0));
    setresgid(gid, gid, gid)?;
    Ok(setresuid(uid, uid, uid)?)
}

/// Maps all ids that this user has, or this user alone.
fn map(child: Pid, uid: u32, gid: u32) -> io::Result<()> {
    let text = |own, ids: &[ids::Range]| {
        let lines = ids::map(own, ids).into_iter().map(|(i, o, n)| format!("{i} {o} {n}"));
        lines.collect::<Vec<_>>().join(" ")
    };
    if let Some(ids) = ids::of(uid) {
        kernel::map_ids("newuidmap", child, &text(uid, &ids.uid))?;
        return Ok(kernel::map_ids("newgidmap", child, &text(gid, &ids.gid))?);
    }
    let write = |file: &str, line: &str| fs::write(format!("/proc/{child}/{file}"), line);
    write("setgroups", "deny")?;
    write("uid_map", &text(uid, &[]))?;
    write("gid_map", &text(gid, &[]))
}

fn end_of(child: Pid) -> io::Result<u8> {
    loop {
        match waitpid(child, None) {
            Ok(WaitStatus::Exited(_, status)) => return Ok(u8::try_from(status).unwrap_or(FAILED)),
            Ok(WaitStatus::Signaled(_, signal, _)) => return Ok(128 + signal as u8),
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}
