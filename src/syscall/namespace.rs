//! Calls about namespaces, and about what two of them hold: the hostname and the clocks.

use std::fs;

use nix::errno::Errno;
use nix::sched::CloneFlags;

use super::call::{Call, Shell, say};
use super::quote::{c_string, errno, flags, sh_word};
use crate::machine::{kernel, userns};

/// time_namespaces(7): the flag that nix has no name for.
pub const CLONE_NEWTIME: CloneFlags = CloneFlags::from_bits_retain(0x80);

/// The name of a flag, as in C.
pub(super) fn namespace_name(namespace: CloneFlags) -> String {
    if namespace == CLONE_NEWTIME {
        return "CLONE_NEWTIME".to_owned();
    }
    flags(namespace.iter_names().map(|(name, _)| name))
}

/// unshare(2), one namespace at a time.
#[derive(Clone, Debug, PartialEq)]
pub struct Unshare(pub CloneFlags);

impl Call for Unshare {
    fn strace(&self) -> String {
        format!("unshare({})", namespace_name(self.0))
    }

    fn by_hand(&self) -> Shell {
        let option = match self.0 {
            CloneFlags::CLONE_NEWUSER => "--user --map-root-user",
            CloneFlags::CLONE_NEWNS => "--mount --propagation unchanged",
            CloneFlags::CLONE_NEWPID => "--pid --fork --kill-child",
            CloneFlags::CLONE_NEWUTS => "--uts",
            CloneFlags::CLONE_NEWIPC => "--ipc",
            CloneFlags::CLONE_NEWNET => "--net",
            CloneFlags::CLONE_NEWCGROUP => "--cgroup",
            _ => return Shell::Nothing("unshare --time does it below, with the offset"),
        };
        Shell::starts(format!("unshare {option}"))
    }

    // ANCHOR: perform
    fn perform(&self) -> nix::Result<()> {
        nix::sched::unshare(self.0)
    }
    // ANCHOR_END: perform

    fn remedy(&self, errno: Errno) -> Option<String> {
        match (self.0, errno) {
            (CloneFlags::CLONE_NEWUSER, Errno::EPERM | Errno::EACCES | Errno::ENOSPC) => {
                Some(userns::remedy())
            }
            (CloneFlags::CLONE_NEWUSER, Errno::EINVAL) => say(
                "this kernel was built without user namespaces, or the process has more than one \
                 thread",
            ),
            (CLONE_NEWTIME, Errno::EINVAL) => say(
                "this kernel has no time namespaces: they came with Linux 5.6, and WSL's is built \
                 without; leave `time` out",
            ),
            (_, Errno::EINVAL) => {
                say("this kernel was built without this kind of namespace: leave the stage out")
            }
            (_, Errno::EPERM) => say(
                "this needs privilege over the machine or a user namespace: add `--with user`; in a \
                 container, see `sandbox doctor`",
            ),
            (_, Errno::ENOSPC) => say("the limit on namespaces is reached: see /proc/sys/user/"),
            _ => None,
        }
    }
}

/// setns(2), into a namespace of the process that this descriptor holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Setns(pub i32, pub CloneFlags);

impl Call for Setns {
    fn strace(&self) -> String {
        format!("setns({}, {})", self.0, namespace_name(self.1))
    }

    fn by_hand(&self) -> Shell {
        Shell::Nothing("nsenter(1) does it")
    }

    fn perform(&self) -> nix::Result<()> {
        kernel::setns(self.0, self.1)
    }

    fn remedy(&self, errno: Errno) -> Option<String> {
        match errno {
            Errno::EINVAL => say(
                "joining through a process needs Linux 5.8 or newer; nsenter(1) does it on older ones",
            ),
            Errno::EPERM => {
                say("the process belongs to somebody else: only its owner or root may join it")
            }
            _ => None,
        }
    }
}

// ANCHOR: sethostname
/// sethostname(2)
#[derive(Clone, Debug, PartialEq)]
pub struct Sethostname(pub String);

impl Call for Sethostname {
    fn strace(&self) -> String {
        format!("sethostname({}, {})", c_string(self.0.as_ref()), self.0.len())
    }

    fn by_hand(&self) -> Shell {
        Shell::line(format!("hostname {}", sh_word(self.0.as_ref())))
    }

    fn perform(&self) -> nix::Result<()> {
        nix::unistd::sethostname(&self.0)
    }

    fn remedy(&self, errno: Errno) -> Option<String> {
        if errno == Errno::EPERM {
            return say("this needs privilege over the UTS namespace: add `--with user`");
        }
        None
    }
}
// ANCHOR_END: sethostname

/// open(2) and write(2) to /proc/self/timens_offsets: so many seconds more since boot.
#[derive(Clone, Debug, PartialEq)]
pub struct TimeOffset(pub i64);

impl TimeOffset {
    fn text(&self) -> String {
        format!("boottime {} 0", self.0)
    }
}

impl Call for TimeOffset {
    fn strace(&self) -> String {
        let (text, length) = (c_string(self.text().as_ref()), self.text().len());
        format!("write(\"/proc/self/timens_offsets\", {text}, {length})")
    }

    fn by_hand(&self) -> Shell {
        Shell::starts(format!("unshare --time --fork --boottime {}", self.0))
    }

    fn perform(&self) -> nix::Result<()> {
        errno(fs::write("/proc/self/timens_offsets", self.text()))
    }

    fn remedy(&self, errno: Errno) -> Option<String> {
        if errno == Errno::ERANGE {
            return say(
                "the clock cannot be set to before boot or beyond its range: choose a larger or \
                 smaller `--boottime`",
            );
        }
        None
    }
}
