//! Something in a tree that others may change meanwhile, held by a descriptor: what has its name by
//! now may be another, and a link to somewhere else.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2, readlinkat};

use super::{overlay, tree};

/// A file, directory, link or whatever else is in a tree.
#[derive(Debug)]
pub struct Held {
    file: File,
    about: Metadata,
}

impl Held {
    /// What is at a path below the directory `root`; nothing at all is that directory. No link is
    /// followed on the way, and one at its end is what is held.
    ///
    /// # Errors
    /// What the kernel answered; ELOOP or ENOTDIR where a link is on the way.
    pub fn in_tree(root: &Path, path: &Path) -> io::Result<Held> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Held::below(rustix::fs::open(root, flags, Mode::empty())?, path)
    }

    /// The same below an open directory.
    pub(crate) fn below(dir: impl AsFd, path: &Path) -> io::Result<Held> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let straight = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let file = File::from(openat2(dir, path, flags, Mode::empty(), straight)?);
        Ok(Held { about: file.metadata()?, file })
    }

    /// What it is.
    pub fn about(&self) -> &Metadata {
        &self.about
    }

    /// Whether it is a whiteout of overlayfs, which stands for something that was deleted.
    pub fn is_whiteout(&self) -> bool {
        overlay::stands_for_nothing(&self.about)
    }

    /// Whether it is a directory that hides all that lower layers have in it.
    pub fn is_opaque(&self) -> bool {
        self.about.is_dir() && overlay::is_opaque(&self.name())
    }

    /// What is in this directory, in order.
    ///
    /// # Errors
    /// When it is no directory, or may not be read.
    pub fn names(&self) -> io::Result<Vec<OsString>> {
        let names = tree::names(&self.file)?.into_iter();
        Ok(names.map(|name| OsString::from_vec(name.into_bytes())).collect())
    }

    /// Where this link leads.
    ///
    /// # Errors
    /// When it is none.
    pub fn target(&self) -> io::Result<PathBuf> {
        let target = readlinkat(&self.file, "", Vec::new())?;
        Ok(OsStr::from_bytes(target.to_bytes()).into())
    }

    /// Opens this plain file for reading.
    pub(crate) fn open(&self) -> io::Result<File> {
        File::open(self.name())
    }

    /// The extended attributes that users and overlayfs gave it; a link has none.
    pub(crate) fn attributes(&self) -> io::Result<Vec<(OsString, Vec<u8>)>> {
        if self.about.is_symlink() {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        for name in xattr::list_deref(self.name())? {
            let is_ours =
                name.as_bytes().starts_with(b"user.") || name.as_bytes().starts_with(b"trusted.");
            if let Some(value) = xattr::get_deref(self.name(), &name)?.filter(|_| is_ours) {
                found.push((name, value));
            }
        }
        Ok(found)
    }

    /// A name that leads to what is held, whatever is done in the tree.
    fn name(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.file.as_raw_fd()).into()
    }
}
