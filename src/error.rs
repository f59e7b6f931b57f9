//! Everything that can go wrong, in words: what happened, why it was done, what to do now.

use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use thiserror::Error;

use crate::syscall::{CLONE_NEWTIME, Syscall};

/// An error of `sandbox` itself, not of the command that it runs.
#[derive(Debug, Error)]
#[allow(missing_docs)] // the messages say what the fields are
pub enum Error {
    /// A step of a plan that the kernel refused.
    #[error("{call} failed: {}\n  stage  {by}: {why}", errno_words(*.errno))]
    Step { by: &'static str, call: Box<Syscall>, why: &'static str, errno: Errno },

    #[error("the stage `{stage}` needs {}", list(.missing))]
    NeedsStages { stage: &'static str, missing: Vec<&'static str> },

    #[error("the stages `{stage}` and `{other}` do the same in two ways")]
    Conflict { stage: &'static str, other: &'static str },

    #[error("root that becomes nobody cannot write over files that belong to root")]
    OverlayOfNobody,

    #[error("there is no stage `{name}`")]
    UnknownStage { name: String, nearest: Option<&'static str> },

    #[error("`{call}` cannot be left out of this plan")]
    NotForgettable { call: String, may: Vec<String> },

    /// What the user asked for cannot be.
    #[error("{problem}")]
    Usage { problem: String, hint: String },

    /// A lesson file that is wrong, with the place.
    #[error("{file}:{line}:{column}: {problem}")]
    Lesson { file: String, line: usize, column: usize, problem: String, hint: Option<String> },

    /// Something that went wrong on the stand-in host.
    #[error("on the stand-in host: {problem}")]
    StandIn { problem: String, hint: Option<String> },

    /// A cgroup that cannot be made on this machine.
    #[error("{problem}")]
    NoCgroup { problem: String, hint: String },

    /// The rootfs could not be provided.
    #[error(transparent)]
    Rootfs(#[from] rootfs_fetch::Error),

    /// Something that a dead or ending sandbox left, and that would not go away.
    #[error("could not take `{}` away: {source}", .path.display())]
    Undo { path: PathBuf, source: io::Error },

    /// Anything else that the operating system refused.
    #[error("could not {doing}: {source}")]
    Io { doing: String, source: io::Error },

    /// A signal asked `sandbox` itself to stop; the undo has been done.
    #[error("stopped by {}", .0)]
    Stopped(nix::sys::signal::Signal),
}

impl Error {
    /// An [`Error::Io`], for `map_err`.
    pub fn io<E: Into<io::Error>>(doing: impl Into<String>) -> impl FnOnce(E) -> Error {
        let doing = doing.into();
        move |source| Error::Io { doing, source: source.into() }
    }

    /// What to do now, when there is something to do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Step { call, errno, .. } => step_hint(call, *errno),
            Error::NeedsStages { missing, .. } => {
                Some(format!("add `--with {}`", missing.join(",")))
            }
            Error::Conflict { stage, other } => {
                Some(format!("choose one: `--without {stage}` or `--without {other}`"))
            }
            Error::OverlayOfNobody => Some(
                "leave out one of the stages `user` and `overlay`; the level `union` has no `user`. \
                 Root without CAP_SYS_ADMIN, as in most containers, always needs `user`"
                    .to_owned(),
            ),
            Error::UnknownStage { nearest, .. } => {
                let names: Vec<_> =
                    crate::stages::STAGES.iter().map(|stage| stage.name()).collect();
                let all = format!("the stages are {}", names.join(", "));
                Some(nearest.map_or(all.clone(), |name| format!("did you mean `{name}`? {all}")))
            }
            Error::NotForgettable { may, .. } if may.is_empty() => {
                Some("no call of this plan may be left out without harm to the host".to_owned())
            }
            Error::NotForgettable { may, .. } => {
                Some(format!("these can be left out: {}", may.join(", ")))
            }
            Error::Usage { hint, .. } | Error::NoCgroup { hint, .. } => Some(hint.clone()),
            Error::Lesson { hint, .. } | Error::StandIn { hint, .. } => hint.clone(),
            Error::Rootfs(error) => error.hint(),
            Error::Undo { .. } => Some("run `sandbox clean` once nothing uses it".to_owned()),
            Error::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Some("it belongs to somebody else: only its owner or root may do that".to_owned())
            }
            Error::Io { .. } | Error::Stopped(_) => None,
        }
    }

    /// The exit code: 126 and 127 as a shell has them, 128 + n for a signal, 2 for wrong usage,
    /// else 125.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Step { call, errno, .. } if matches!(**call, Syscall::Execve { .. }) => {
                match errno {
                    Errno::ENOENT | Errno::ENOTDIR => 127,
                    Errno::EACCES | Errno::ENOEXEC | Errno::EISDIR | Errno::EPERM => 126,
                    _ => 125,
                }
            }
            Error::UnknownStage { .. } | Error::Usage { .. } | Error::OverlayOfNobody => 2,
            Error::Stopped(signal) => 128 + *signal as u8,
            _ => 125,
        }
    }
}

/// An errno by name and in words: `EPERM, operation not permitted`.
pub fn errno_words(errno: Errno) -> String {
    format!("{errno:?}, {}", errno.desc().to_lowercase())
}

fn list(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}

/// The remedy, chosen by what was called and what the kernel said.
fn step_hint(call: &Syscall, errno: Errno) -> Option<String> {
    use nix::sched::CloneFlags;
    let hint = match (call, errno) {
        (
            Syscall::Unshare(CloneFlags::CLONE_NEWUSER),
            Errno::EPERM | Errno::EACCES | Errno::ENOSPC,
        ) => {
            return Some(crate::machine::userns::for_user_namespaces());
        }
        (Syscall::Write(file, _), errno) => return write_hint(file, errno),
        (Syscall::Fork | Syscall::Clone(_) | Syscall::CloneIntoCgroup(_), Errno::EAGAIN) => {
            "the limit on processes is reached, and ours that wait count too: raise `--pids-limit`, \
             or see `ulimit -u`"
        }
        (Syscall::CloneIntoCgroup(_), Errno::EBUSY) => {
            "that cgroup gives controllers to others, and in version 2 only leaves hold processes"
        }
        (Syscall::Unshare(CloneFlags::CLONE_NEWUSER), Errno::EINVAL) => {
            "this kernel was built without user namespaces, or the process has more than one thread"
        }
        (Syscall::Unshare(CLONE_NEWTIME), Errno::EINVAL) => {
            "this kernel has no time namespaces: they came with Linux 5.6, and WSL's is built \
             without; leave `time` out"
        }
        (Syscall::Unshare(_), Errno::EINVAL) => {
            "this kernel was built without this kind of namespace: leave the stage out"
        }
        (Syscall::PidfdOpen(..), Errno::ESRCH) => "the process has ended; see `sandbox ps`",
        (Syscall::Setns(..), Errno::EINVAL) => {
            "joining through a process needs Linux 5.8 or newer; nsenter(1) does it on older ones"
        }
        (Syscall::Setns(..), Errno::EPERM) => {
            "the process belongs to somebody else: only its owner or root may join it"
        }
        (Syscall::MapIds(..), _) => {
            "newuidmap(1) and newgidmap(1) map only what /etc/subuid and /etc/subgid give you; \
             leave `--map-auto` out to map yourself alone"
        }
        (Syscall::TimeOffset(_), Errno::ERANGE) => {
            "the clock cannot be set to before boot or beyond its range: choose a larger or \
             smaller `--boottime`"
        }
        (Syscall::Unshare(_), Errno::EPERM) => {
            "this needs privilege over the machine or a user namespace: add `--with user`; \
             in a container, see `sandbox doctor`"
        }
        (Syscall::Unshare(_), Errno::ENOSPC) => {
            "the limit on namespaces is reached: see /proc/sys/user/"
        }
        (Syscall::Chroot(_), Errno::EPERM) => "chroot(2) needs CAP_SYS_CHROOT: add `--with user`",
        (Syscall::Chroot(_) | Syscall::Chdir(_), Errno::ENOENT | Errno::ENOTDIR) => {
            "there is no such directory; `sandbox rootfs list` shows the ones there are"
        }
        (Syscall::Mount { fstype: Some("proc"), .. }, Errno::EPERM) => {
            "the kernel mounts a new /proc only where a complete one is visible, and container \
             runtimes mask it; run outside of the container, or leave `pid` out"
        }
        (Syscall::Mount { .. } | Syscall::Copy(..), Errno::ENOSPC) => {
            "the disk or the memory for it is full: free some, or choose a smaller rootfs"
        }
        (Syscall::Mount { .. }, Errno::EPERM | Errno::EACCES) => {
            "mounting needs privilege over the mount namespace: see `sandbox doctor`"
        }
        (Syscall::PivotRoot { .. }, Errno::EINVAL) => {
            "the new root must be a mount point in a private mount namespace, and the machine's \
             root must not be an initramfs; `chroot` works there"
        }
        (Syscall::Mkdir(..), Errno::EACCES | Errno::EROFS | Errno::ENOSPC) => {
            "nothing can be made there: for the state of sandboxes, set XDG_RUNTIME_DIR to a directory \
             that can be written, or free some space; for cgroups, see `sandbox doctor`"
        }
        (Syscall::Execve { .. }, Errno::ENOENT) => {
            "look with `ls`: when the file is there, what is missing is the loader it names, \
             for a program that needs shared libraries; busybox needs none"
        }
        (Syscall::Execve { .. }, Errno::EACCES) => "the file is a directory or not executable",
        (Syscall::Execve { .. }, Errno::ENOEXEC) => {
            "the file is not a program for this machine, nor a script that begins with #!"
        }
        _ => return None,
    };
    Some(hint.to_owned())
}

/// What to do about a file of the kernel that takes no such text.
fn write_hint(file: &Path, errno: Errno) -> Option<String> {
    let name = file.file_name()?.to_str()?;
    if file.starts_with("/proc/self") {
        let refused = matches!(errno, Errno::EPERM | Errno::EACCES);
        return refused.then(crate::machine::userns::for_user_namespaces);
    }
    let hint = match (name, errno) {
        ("cgroup.subtree_control", Errno::EBUSY) => {
            "processes are in that cgroup, and in version 2 only the leaves of the tree hold \
             processes: move them into a leaf first"
        }
        ("cgroup.subtree_control", _) => {
            "that cgroup may not pass the controller on: it was not given it, or is not yours"
        }
        ("cpuset.cpus", _) => {
            "name CPUs that this machine has and our own cgroup may use: see cpuset.cpus.effective \
             there, or nproc(1)"
        }
        ("memory.limit_in_bytes" | "memory.memsw.limit_in_bytes", Errno::EBUSY) => {
            "more than that is in use and cannot be taken back: choose a higher limit, or end \
             something first"
        }
        ("memory.limit_in_bytes" | "memory.memsw.limit_in_bytes", Errno::EINVAL) => {
            "memory and swap together cannot be less than memory: give a larger `--memory-swap`"
        }
        ("cpu.cfs_quota_us" | "cpu.max", Errno::EINVAL) => {
            "a cgroup above has a smaller quota: choose fewer `--cpus`"
        }
        ("io.max", _) => "the kernel limits whole disks, not partitions: see lsblk(8)",
        (_, _) if name.starts_with("blkio.") => {
            "the kernel limits whole disks, not partitions: see lsblk(8)"
        }
        ("cgroup.procs", Errno::ENOSPC) => "the cpuset of that cgroup has no CPUs or no memory",
        ("cgroup.procs", Errno::EBUSY) => {
            "that cgroup gives controllers to others, and in version 2 only leaves hold processes"
        }
        (_, Errno::EACCES | Errno::EPERM | Errno::EROFS) => {
            "the file is not yours to write; `sandbox doctor` tells what this machine allows"
        }
        _ => return None,
    };
    Some(hint.to_owned())
}
