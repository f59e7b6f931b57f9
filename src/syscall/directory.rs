//! Calls about where a process stands, and about directories.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use nix::errno::Errno;
use rustix::fs::mkdirat;

use super::call::{Call, Shell, say};
use super::location::{self, Location, raw};
use super::quote::{c_string, errno, sh_path};
use crate::machine::kernel;

/// chroot(2)
#[derive(Clone, Debug, PartialEq)]
pub struct Chroot(pub PathBuf);

impl Call for Chroot {
    fn strace(&self) -> String {
        format!("chroot({})", c_string(self.0.as_os_str()))
    }

    fn by_hand(&self) -> Shell {
        Shell::starts(format!("chroot {}", sh_path(&self.0)))
    }

    fn perform(&self) -> nix::Result<()> {
        nix::unistd::chroot(&self.0)
    }

    fn remedy(&self, errno: Errno) -> Option<String> {
        match errno {
            Errno::EPERM => say("chroot(2) needs CAP_SYS_CHROOT: add `--with user`"),
            Errno::ENOENT | Errno::ENOTDIR => say("there is no such directory"),
            _ => None,
        }
    }
}

/// chdir(2)
#[derive(Clone, Debug, PartialEq)]
pub struct Chdir(pub PathBuf);

impl Call for Chdir {
    fn strace(&self) -> String {
        format!("chdir({})", c_string(self.0.as_os_str()))
    }

    fn by_hand(&self) -> Shell {
        Shell::line(format!("cd {}", sh_path(&self.0)))
    }

    fn perform(&self) -> nix::Result<()> {
        nix::unistd::chdir(&self.0)
    }

    fn remedy(&self, errno: Errno) -> Option<String> {
        match errno {
            Errno::ENOENT | Errno::ENOTDIR => say("there is no such directory"),
            _ => None,
        }
    }
}

/// open(2) of a directory, kept as this descriptor, also across execve(2).
#[derive(Clone, Debug, PartialEq)]
pub struct OpenAs(pub PathBuf, pub i32);

impl Call for OpenAs {
    fn strace(&self) -> String {
        format!("open({}, O_RDONLY|O_DIRECTORY) = {}", c_string(self.0.as_os_str()), self.1)
    }

    fn by_hand(&self) -> Shell {
        Shell::line(format!("exec {}<{}", self.1, sh_path(&self.0)))
    }

    fn perform(&self) -> nix::Result<()> {
        kernel::open_as(&self.0, self.1)
    }
}

/// open(2) of a directory, only to go there later, kept as this descriptor until execve(2) closes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Hold(pub PathBuf, pub i32);

impl Call for Hold {
    fn strace(&self) -> String {
        let file = c_string(self.0.as_os_str());
        format!("open({file}, O_PATH|O_DIRECTORY|O_CLOEXEC) = {}", self.1)
    }

    fn by_hand(&self) -> Shell {
        Shell::Nothing("nsenter(1) does it")
    }

    fn perform(&self) -> nix::Result<()> {
        kernel::hold(&self.0, self.1)
    }
}

/// fchdir(2)
#[derive(Clone, Debug, PartialEq)]
pub struct Fchdir(pub i32);

impl Call for Fchdir {
    fn strace(&self) -> String {
        format!("fchdir({})", self.0)
    }

    fn by_hand(&self) -> Shell {
        Shell::line(format!("cd /proc/self/fd/{}", self.0))
    }

    fn perform(&self) -> nix::Result<()> {
        kernel::fchdir(self.0)
    }
}

/// close_range(2): closes every descriptor from this number on.
#[derive(Clone, Debug, PartialEq)]
pub struct CloseFrom(pub u32);

impl Call for CloseFrom {
    fn strace(&self) -> String {
        format!("close_range({}, {}, 0)", self.0, u32::MAX)
    }

    fn by_hand(&self) -> Shell {
        Shell::Nothing("a script opens no descriptor that it leaves open")
    }

    fn perform(&self) -> nix::Result<()> {
        kernel::close_from(self.0)
    }
}

/// mkdir(2)
#[derive(Clone, Debug, PartialEq)]
pub struct Mkdir(pub Location, pub u32);

impl Call for Mkdir {
    fn strace(&self) -> String {
        format!("mkdir({}, 0{:o})", c_string(self.0.as_os_str()), self.1)
    }

    fn by_hand(&self) -> Shell {
        Shell::line(format!("mkdir -m {:o} {}", self.1, sh_path(&self.0)))
    }

    fn perform(&self) -> nix::Result<()> {
        let (dir, name) = self.0.new_in()?;
        raw(mkdirat(dir, name, self.1.into()))
    }

    fn remedy(&self, errno: Errno) -> Option<String> {
        match errno {
            Errno::ENOSPC => say("the disk is full: free some space"),
            Errno::EACCES | Errno::EROFS => say("nothing can be made there: see `sandbox doctor`"),
            _ => location::remedy(errno),
        }
    }
}

/// mkdir(2) for each directory on the way that is missing; one that is there by now is no error.
#[derive(Clone, Debug, PartialEq)]
pub struct MkdirAll(pub PathBuf, pub u32);

impl Call for MkdirAll {
    fn strace(&self) -> String {
        format!("mkdir({}, 0{:o})", c_string(self.0.as_os_str()), self.1)
    }

    fn by_hand(&self) -> Shell {
        Shell::line(format!("mkdir -p -m {:o} {}", self.1, sh_path(&self.0)))
    }

    fn perform(&self) -> nix::Result<()> {
        errno(fs::DirBuilder::new().mode(self.1).recursive(true).create(&self.0))
    }
}
