//! Calls about files.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use nix::errno::Errno;
use nix::fcntl::{FlockArg, OFlag};
use nix::sys::stat::Mode;
use nix::unistd::{Gid, Uid};
use rustix::fs::{OFlags, openat, symlinkat};

use super::call::{Call, Shell, say};
use super::location::{self, Location, raw};
use super::quote::{c_string, errno, sh_path, sh_word};
use crate::machine::files;

/// open(2) with O_CREAT: an empty file, which was not there.
#[derive(Clone, Debug, PartialEq)]
pub struct Create(pub Location, pub u32);

impl Call for Create {
    fn strace(&self) -> String {
        format!("open({}, O_WRONLY|O_CREAT|O_EXCL, 0{:o})", c_string(self.0.as_os_str()), self.1)
    }

    fn by_hand(&self) -> Shell {
        Shell::line(format!(": > {}", sh_path(&self.0)))
    }

    fn perform(&self) -> nix::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let (dir, name) = self.0.new_in()?;
        raw(openat(dir, name, flags, self.1.into())).map(drop)
    }

    fn remedy(&self, errno: Errno) -> Option<String> {
        location::remedy(errno)
    }
}

/// chown(2), to this user and the group of the same number.
#[derive(Clone, Debug, PartialEq)]
pub struct Chown(pub PathBuf, pub u32);

impl Call for Chown {
    fn strace(&self) -> String {
        format!("chown({}, {id}, {id})", c_string(self.0.as_os_str()), id = self.1)
    }

    fn by_hand(&self) -> Shell {
        Shell::line(format!("chown {id}:{id} {}", sh_path(&self.0), id = self.1))
    }

    fn perform(&self) -> nix::Result<()> {
        let (uid, gid) = (Uid::from_raw(self.1), Gid::from_raw(self.1));
        nix::unistd::chown(&self.0, Some(uid), Some(gid))
    }
}

/// truncate(2): a file of so many bytes, none of them on the disk.
#[derive(Clone, Debug, PartialEq)]
pub struct Truncate(pub PathBuf, pub u64);

impl Call for Truncate {
    fn strace(&self) -> String {
        format!("truncate({}, {})", c_string(self.0.as_os_str()), self.1)
    }

    fn by_hand(&self) -> Shell {
        Shell::line(format!("truncate -s {} {}", self.1, sh_path(&self.0)))
    }

    fn perform(&self) -> nix::Result<()> {
        let size = i64::try_from(self.1).map_err(|_| Errno::EFBIG)?;
        nix::unistd::truncate(&self.0, size)
    }
}

/// open(2) and write(2), to a file that is there.
#[derive(Clone, Debug, PartialEq)]
pub struct Write(pub Location, pub OsString);

impl Call for Write {
    fn strace(&self) -> String {
        let (file, text) = (c_string(self.0.as_os_str()), c_string(&self.1));
        format!("write({file}, {text}, {})", self.1.len())
    }

    fn by_hand(&self) -> Shell {
        if self.0.starts_with("/proc/self") {
            return Shell::Nothing("unshare --map-root-user did it");
        }
        let (text, file) = (sh_word(&self.1), sh_path(&self.0));
        // Some shells' echo reads backslashes.
        let echo =
            if self.1.to_string_lossy().contains(['\\', '\n']) { "printf %s" } else { "echo" };
        Shell::line(format!("{echo} {text} > {file}"))
    }

    fn perform(&self) -> nix::Result<()> {
        let mut file = File::from(self.0.open(OFlags::WRONLY | OFlags::TRUNC)?);
        errno(file.write_all(self.1.as_bytes()))
    }

    fn remedy(&self, errno: Errno) -> Option<String> {
        match errno {
            Errno::EACCES | Errno::EPERM | Errno::EROFS => say(
                "the file is not yours to write; `sandbox doctor` tells what this machine allows",
            ),
            _ => None,
        }
    }
}

/// symlink(2): where it leads, and where it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Symlink(pub PathBuf, pub Location);

impl Call for Symlink {
    fn strace(&self) -> String {
        format!("symlink({}, {})", c_string(self.0.as_os_str()), c_string(self.1.as_os_str()))
    }

    fn by_hand(&self) -> Shell {
        Shell::line(format!("ln -s {} {}", sh_path(&self.0), sh_path(&self.1)))
    }

    fn perform(&self) -> nix::Result<()> {
        let (dir, name) = self.1.new_in()?;
        raw(symlinkat(&self.0, dir, name))
    }
}

/// Copies a file, or all that is in a directory: many calls, one idea.
#[derive(Clone, Debug, PartialEq)]
pub struct CopyTree(pub PathBuf, pub Location);

impl Call for CopyTree {
    fn strace(&self) -> String {
        format!("copy({}, {})", c_string(self.0.as_os_str()), c_string(self.1.as_os_str()))
    }

    fn by_hand(&self) -> Shell {
        Shell::line(format!("cp -RdT --preserve=mode {} {}", sh_path(&self.0), sh_path(&self.1)))
    }

    fn perform(&self) -> nix::Result<()> {
        if self.0.is_file() {
            let (dir, name) = self.1.new_in()?;
            return errno(files::copy_file(&self.0, dir.as_fd(), name));
        }
        let to = self.1.open(OFlags::RDONLY | OFlags::DIRECTORY)?;
        errno(files::copy_directory(&self.0, to.as_fd()))
    }

    fn remedy(&self, errno: Errno) -> Option<String> {
        if errno == Errno::ENOSPC {
            return say(
                "the disk or the memory for it is full: free some, or choose a smaller rootfs",
            );
        }
        None
    }
}

/// rename(2)
#[derive(Clone, Debug, PartialEq)]
pub struct Rename(pub PathBuf, pub PathBuf);

impl Call for Rename {
    fn strace(&self) -> String {
        format!("rename({}, {})", c_string(self.0.as_os_str()), c_string(self.1.as_os_str()))
    }

    fn by_hand(&self) -> Shell {
        Shell::line(format!("mv -T {} {}", sh_path(&self.0), sh_path(&self.1)))
    }

    fn perform(&self) -> nix::Result<()> {
        errno(fs::rename(&self.0, &self.1))
    }
}

/// open(2) and flock(2): nobody else gets this lock for as long as this process lives.
#[derive(Clone, Debug, PartialEq)]
pub struct Flock(pub PathBuf);

impl Call for Flock {
    fn strace(&self) -> String {
        format!("flock({}, LOCK_EX|LOCK_NB)", c_string(self.0.as_os_str()))
    }

    fn by_hand(&self) -> Shell {
        Shell::line(format!("exec 9< {}; flock -n 9", sh_path(&self.0)))
    }

    fn perform(&self) -> nix::Result<()> {
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let file = nix::fcntl::open(&self.0, flags, Mode::empty())?;
        match nix::fcntl::Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => {
                std::mem::forget(lock); // the kernel lets go of it when we end
                Ok(())
            }
            Err((_, errno)) => Err(errno),
        }
    }
}
