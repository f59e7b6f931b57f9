//! Where a call works: a path, and the directory that the way there must not leave.
//!
//! Others may have written in a root, and may do so now: what was a directory can be a link to
//! anywhere. So the kernel does not walk a path below a root as it walks others. openat2(2) walks it as
//! if that root were `/`, and what it found is used through the descriptor, whatever its name means by
//! then.

use std::ffi::OsStr;
use std::ops::Deref;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use rustix::fs::{CWD, Mode, OFlags, openat};

use super::call::say;
use super::quote::errno;
use crate::machine::files;

/// A path; below a root, wherever links on the way lead within that root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    path: PathBuf,
    root: Option<PathBuf>,
}

impl Location {
    /// This path as it looks from `root`.
    pub fn below(root: impl Into<PathBuf>, path: impl AsRef<Path>) -> Location {
        let (root, path) = (root.into(), path.as_ref());
        let path = root.join(path.strip_prefix("/").unwrap_or(path));
        Location { path, root: Some(root) }
    }

    /// What has this name in it.
    pub fn join(&self, name: impl AsRef<Path>) -> Location {
        Location { path: self.path.join(name), root: self.root.clone() }
    }

    /// Finds what is there.
    pub(super) fn find(&self) -> nix::Result<Found> {
        let Some(root) = &self.root else { return Ok(Found::At(self.path.clone())) };
        let found = within(root, self.from(root), OFlags::PATH)?;
        Ok(Found::Held(found))
    }

    /// Opens a file that is there.
    pub(super) fn open(&self, flags: OFlags) -> nix::Result<OwnedFd> {
        match &self.root {
            Some(root) => within(root, self.from(root), flags | OFlags::NOFOLLOW),
            None => raw(openat(CWD, &self.path, flags | OFlags::CLOEXEC, Mode::empty())),
        }
    }

    /// Where something new can be made: a directory, and the name there.
    pub(super) fn new_in(&self) -> nix::Result<(Dir, &OsStr)> {
        let Some(root) = &self.root else { return Ok((Dir(None), self.path.as_os_str())) };
        let (path, name) = (self.from(root), self.path.file_name().ok_or(Errno::EEXIST)?);
        let parent = path.parent().unwrap_or(Path::new(""));
        Ok((Dir(Some(within(root, parent, OFlags::PATH | OFlags::DIRECTORY)?)), name))
    }

    fn from(&self, root: &Path) -> &Path {
        self.path.strip_prefix(root).unwrap_or(&self.path)
    }
}

impl<P: Into<PathBuf>> From<P> for Location {
    fn from(path: P) -> Location {
        Location { path: path.into(), root: None }
    }
}

impl Deref for Location {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.path
    }
}

/// What to do when there is no such location.
pub(super) fn remedy(errno: Errno) -> Option<String> {
    match errno {
        Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP => {
            say("there is no such place; a link that is in a rootfs leads within that rootfs")
        }
        Errno::ENOSYS => say("finding a place within a root needs Linux 5.6 or newer"),
        _ => None,
    }
}

/// What a location turned out to be.
pub(super) enum Found {
    /// What this path leads to.
    At(PathBuf),
    /// What this descriptor holds.
    Held(OwnedFd),
}

impl Found {
    /// A path that leads there: mount(2) takes nothing else.
    pub(super) fn path(&self) -> PathBuf {
        match self {
            Found::At(path) => path.clone(),
            Found::Held(found) => format!("/proc/self/fd/{}", found.as_raw_fd()).into(),
        }
    }
}

/// A directory to begin at; none is the working directory.
pub(super) struct Dir(Option<OwnedFd>);

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_ref().map_or(CWD, OwnedFd::as_fd)
    }
}

fn within(root: &Path, path: &Path, flags: OFlags) -> nix::Result<OwnedFd> {
    let root = raw(openat(CWD, root, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()))?;
    errno(files::open_in_root(root.as_fd(), path, flags))
}

/// An error as the rest of the program knows it.
pub(super) fn raw<T>(result: rustix::io::Result<T>) -> nix::Result<T> {
    result.map_err(|errno| Errno::from_raw(errno.raw_os_error()))
}
