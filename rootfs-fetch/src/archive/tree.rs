//! Walking through a tree that somebody else may have made, without ever leaving it.
//!
//! Each step opens one directory, relative to the descriptor of the one before, and never follows a
//! symbolic link. Where there is a link, its target is walked in turn: an absolute one from the
//! root of the tree, and `..` stops there, as for a process whose root directory it is.

use std::ffi::{CStr, CString};
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{Mode, SFlag, fstat, fstatat, mkdirat};

use crate::error::Error;
use crate::text::shown;

/// How many symbolic links are followed on one way; see path_resolution(7).
const MAX_LINKS: usize = 40;

/// The most bytes of a path; see limits.h(0p). A process in the tree cannot name longer ones.
pub(crate) const PATH_MAX: usize = 4095;

/// A directory in the tree.
pub(crate) struct Place {
    /// The open directory.
    pub(crate) dir: OwnedFd,
    /// Its inode.
    pub(crate) inode: u64,
    /// The true way from the root of the tree, without links.
    pub(crate) way: Vec<Step>,
}

/// A directory on the way.
pub(crate) struct Step {
    /// The inode of the directory that it is in.
    pub(crate) parent: u64,
    /// Its name.
    pub(crate) name: CString,
    /// Its own inode when it was made on the way.
    pub(crate) made: Option<u64>,
}

/// Why a walk ended early.
#[derive(Debug)]
pub(crate) enum Stop {
    /// There is nothing of this name.
    Missing,
    /// This is why it will not go on.
    Refused(String),
    /// The operating system refused something.
    Io(io::Error),
}

impl From<Errno> for Stop {
    fn from(errno: Errno) -> Stop {
        Stop::Io(errno.into())
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Stop {
        Stop::Io(error)
    }
}

impl Stop {
    /// The error for the entry of this name.
    pub(crate) fn of(self, name: &[u8]) -> Error {
        let entry = shown(name);
        let archive =
            |problem: &str| Error::Archive { entry: entry.clone(), problem: problem.to_owned() };
        match self {
            Stop::Refused(problem) => archive(&problem),
            Stop::Missing => archive("leads to a directory that is not there"),
            Stop::Io(error) if error.raw_os_error() == Some(Errno::ENAMETOOLONG as i32) => {
                archive("has a longer name than files here can have")
            }
            Stop::Io(error) => Error::io("unpack", entry.clone())(error),
        }
    }
}

/// Finds the directory `parts` in the tree `root`. With `make`, directories that are missing are
/// made, though not where a link leads.
pub(crate) fn walk(root: &OwnedFd, parts: &[CString], make: bool) -> Result<Place, Stop> {
    let mut here = Place { dir: root.try_clone()?, inode: inode(root)?, way: Vec::new() };
    // What is left to walk, the next part last, and whether a link says so.
    let mut pending: Vec<(CString, bool)> =
        parts.iter().rev().map(|part| (part.clone(), false)).collect();
    let mut links = 0;
    while let Some((part, from_link)) = pending.pop() {
        if part.as_bytes() == b".." {
            here.leave(root)?;
            continue;
        }
        match open_dir(&here.dir, &part) {
            Ok(dir) => here.enter(dir, part, false)?,
            Err(Errno::ENOENT) if make && !from_link => {
                mkdirat(&here.dir, part.as_c_str(), Mode::S_IRWXU)?;
                here.enter(open_dir(&here.dir, &part)?, part, true)?;
            }
            Err(Errno::ENOENT) if !from_link => return Err(Stop::Missing),
            Err(Errno::ENOENT) => return Err(refuse(&part, "a link names and is not there")),
            Err(Errno::ENOTDIR | Errno::ELOOP) => {
                links += 1;
                if links > MAX_LINKS {
                    return Err(refuse(&part, "is a link to a link, and so on without end"));
                }
                let target = read_link(&here.dir, &part)?;
                if target.starts_with(b"/") {
                    here = Place { dir: root.try_clone()?, inode: inode(root)?, way: Vec::new() };
                }
                pending.extend(steps(&target)?.into_iter().rev().map(|step| (step, true)));
            }
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(here)
}

impl Place {
    fn enter(&mut self, dir: OwnedFd, name: CString, made: bool) -> Result<(), Stop> {
        let parent = std::mem::replace(&mut self.inode, inode(&dir)?);
        self.dir = dir;
        self.way.push(Step { parent, name, made: made.then_some(self.inode) });
        let length: usize = self.way.iter().map(|step| step.name.as_bytes().len() + 1).sum();
        if length > PATH_MAX {
            return Err(Stop::Refused("would lie deeper than a path can say".to_owned()));
        }
        Ok(())
    }

    /// One up, where that is still in the tree.
    fn leave(&mut self, root: &OwnedFd) -> Result<(), Stop> {
        let Some(left) = self.way.pop() else { return Ok(()) };
        self.inode = left.parent;
        self.dir = root.try_clone()?;
        for step in &self.way {
            self.dir = open_dir(&self.dir, &step.name)?;
        }
        Ok(())
    }
}

/// Who goes through a tree.
pub(crate) trait Visitor {
    /// Is told a directory, its inode and a name in it. Says whether to go into that.
    fn each(&mut self, dir: &OwnedFd, inode: u64, name: &CStr) -> Result<bool, Stop>;

    /// Is told a directory and its inode when all in it was seen.
    fn leave(&mut self, _dir: &OwnedFd, _inode: u64) -> Result<(), Stop> {
        Ok(())
    }
}

/// Shows a visitor everything below a directory, names in order. However deep the tree is, there
/// is no recursion, and never more than three directories are open.
pub(crate) fn descend(mut dir: OwnedFd, visitor: &mut impl Visitor) -> Result<(), Stop> {
    let mut levels = vec![(inode(&dir)?, reversed_names(&dir)?)];
    while let Some((here, pending)) = levels.last_mut() {
        if let Some(name) = pending.pop() {
            if visitor.each(&dir, *here, &name)? {
                dir = open_dir(&dir, &name)?;
                levels.push((inode(&dir)?, reversed_names(&dir)?));
            }
            continue;
        }
        let here = *here;
        levels.pop();
        let Some((expected, _)) = levels.last() else { return visitor.leave(&dir, here) };
        let parent = open_dir(&dir, c"..")?;
        if inode(&parent)? != *expected {
            return Err(Stop::Refused("was moved while it was worked on".to_owned()));
        }
        visitor.leave(&dir, here)?;
        dir = parent;
    }
    Ok(())
}

/// What is in a directory, in the order of its bytes.
pub(crate) fn names(dir: impl AsFd) -> nix::Result<Vec<CString>> {
    let flags = OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut dir = Dir::openat(dir, c".", flags, Mode::empty())?;
    let mut names = Vec::new();
    for entry in dir.iter() {
        let entry = entry?;
        if entry.file_name() != c"." && entry.file_name() != c".." {
            names.push(entry.file_name().to_owned());
        }
    }
    names.sort();
    Ok(names)
}

fn reversed_names(dir: &OwnedFd) -> nix::Result<Vec<CString>> {
    let mut names = names(dir)?;
    names.reverse();
    Ok(names)
}

/// Opens the directory `name` in `dir`; not by way of a link.
pub(crate) fn open_dir(dir: impl AsFd, name: &CStr) -> nix::Result<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(dir, name, flags, Mode::empty())
}

/// Sets the mode of what was opened with O_PATH. Such a descriptor cannot be given to fchmod(2), its
/// name in /proc can.
pub(crate) fn set_mode_of(opened: &OwnedFd, mode: Mode) -> io::Result<()> {
    let name = format!("/proc/self/fd/{}", opened.as_raw_fd());
    fs::set_permissions(name, fs::Permissions::from_mode(mode.bits()))
}

/// What `name` in `dir` is; a link is a link. `None` when there is nothing.
pub(crate) fn kind(dir: impl AsFd, name: &CStr) -> nix::Result<Option<SFlag>> {
    match fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()))),
        Err(Errno::ENOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// The inode of an open directory.
pub(crate) fn inode(dir: &OwnedFd) -> nix::Result<u64> {
    Ok(fstat(dir)?.st_ino)
}

fn read_link(dir: impl AsFd, name: &CStr) -> Result<Vec<u8>, Stop> {
    match readlinkat(dir, name) {
        Ok(target) => Ok(target.into_vec()),
        Err(Errno::EINVAL) => Err(refuse(name, "is not a directory")),
        Err(errno) => Err(errno.into()),
    }
}

/// The parts of a path, without empty ones and `.`.
pub(crate) fn steps(path: &[u8]) -> Result<Vec<CString>, Stop> {
    let parts = path.split(|byte| *byte == b'/');
    let parts = parts.filter(|part| !part.is_empty() && *part != b".");
    let parts = parts.map(CString::new).collect::<Result<_, _>>();
    parts.map_err(|_| Stop::Refused("has a NUL byte in a name".to_owned()))
}

fn refuse(part: &CStr, problem: &str) -> Stop {
    Stop::Refused(format!("leads through `{}`, which {problem}", shown(part.to_bytes())))
}
