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

/// A path, and how it may be walked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    path: PathBuf,
    way: Way,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Way {
    /// As the kernel walks any path.
    Any,
    /// Where links on the way lead within this root, which the path begins with.
    Within(PathBuf),
    /// Not at all when there is a link on the way.
    Straight,
}

impl Location {
    /// This path as it looks from `root`.
    pub fn below(root: impl Into<PathBuf>, path: impl AsRef<Path>) -> Location {
        let (root, path) = (root.into(), path.as_ref());
        let path = root.join(path.strip_prefix("/").unwrap_or(path));
        Location { path, way: Way::Within(root) }
    }

    /// What this path led to when it was looked at, if there still is no link on the way.
    pub fn looked_at(path: impl Into<PathBuf>) -> Location {
        Location { path: path.into(), way: Way::Straight }
    }

    /// What has this name in it.
    pub fn join(&self, name: impl AsRef<Path>) -> Location {
        Location { path: self.path.join(name), way: self.way.clone() }
    }

    /// Finds what is there.
    pub(super) fn find(&self) -> nix::Result<Found> {
        match self.way {
            Way::Any => Ok(Found::At(self.path.clone())),
            _ => self.held(&self.path, OFlags::PATH).map(Found::Held),
        }
    }

    /// Opens a file that is there.
    pub(super) fn open(&self, flags: OFlags) -> nix::Result<OwnedFd> {
        let kept = if self.way == Way::Any { OFlags::empty() } else { OFlags::NOFOLLOW };
        self.held(&self.path, flags | kept)
    }

    /// Where something new can be made: a directory, and the name there.
    pub(super) fn new_in(&self) -> nix::Result<(Dir, &OsStr)> {
        if self.way == Way::Any {
            return Ok((Dir(None), self.path.as_os_str()));
        }
        let name = self.path.file_name().ok_or(Errno::EEXIST)?;
        let parent = self.path.parent().unwrap_or(Path::new("/"));
        Ok((Dir(Some(self.held(parent, OFlags::PATH | OFlags::DIRECTORY)?)), name))
    }

    /// Opens a path in the way that is ours.
    fn held(&self, path: &Path, flags: OFlags) -> nix::Result<OwnedFd> {
        let opened = match &self.way {
            Way::Any => {
                openat(CWD, path, flags | OFlags::CLOEXEC, Mode::empty()).map_err(Into::into)
            }
            Way::Within(root) => {
                let dir = raw(openat(CWD, root, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()))?;
                files::open_in_root(dir.as_fd(), path.strip_prefix(root).unwrap_or(path), flags)
            }
            Way::Straight => files::open_straight(path, flags),
        };
        errno(opened)
    }
}

impl<P: Into<PathBuf>> From<P> for Location {
    fn from(path: P) -> Location {
        Location { path: path.into(), way: Way::Any }
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

/// An error as the rest of the program knows it.
pub(super) fn raw<T>(result: rustix::io::Result<T>) -> nix::Result<T> {
    result.map_err(|errno| Errno::from_raw(errno.raw_os_error()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_location_is_found_within_its_root_and_what_became_a_link_is_not_found() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().canonicalize().unwrap();
        let root = base.join("root");
        fs::create_dir_all(root.join("inside")).unwrap();
        fs::write(base.join("file"), "outside").unwrap();
        fs::write(root.join("file"), "inside").unwrap();
        symlink("/file", root.join("absolute")).unwrap();
        symlink("../../../file", root.join("inside/up")).unwrap();
        symlink(base.join("file"), base.join("link")).unwrap();
        let read =
            |location: Location| fs::read_to_string(location.find()?.path()).map_err(raw_error);
        for name in ["/absolute", "/inside/up", "/file", "/../file"] {
            assert_eq!(read(Location::below(&root, name)), Ok("inside".to_owned()), "{name}");
        }
        assert_eq!(read(base.join("link").into()), Ok("outside".to_owned()));
        assert_eq!(read(Location::looked_at(base.join("file"))), Ok("outside".to_owned()));
        assert_eq!(read(Location::looked_at(base.join("link"))), Err(Errno::ELOOP));
    }

    fn raw_error(error: std::io::Error) -> Errno {
        Errno::from_raw(error.raw_os_error().unwrap_or(0))
    }
}
