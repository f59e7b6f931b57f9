//! What a writable layer has changed, told as `docker diff` tells it.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rootfs_fetch::{is_opaque, is_whiteout};

use super::look::look_up;

/// Something that is not as in the layers below.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// Where, from the root.
    pub path: PathBuf,
    /// What.
    pub kind: Kind,
}

/// What happened to a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// It is new.
    Added,
    /// It was there and is another.
    Changed,
    /// It is gone.
    Deleted,
}

impl Kind {
    /// The letter that docker gives it.
    pub fn letter(self) -> char {
        match self {
            Kind::Added => 'A',
            Kind::Changed => 'C',
            Kind::Deleted => 'D',
        }
    }
}

/// The changes that `upper` makes to `lowers`, which are topmost first. Sorted by path.
///
/// # Errors
/// When a directory cannot be read.
pub fn changes(upper: &Path, lowers: &[PathBuf]) -> io::Result<Vec<Change>> {
    let mut found = Vec::new();
    walk(upper, lowers, Path::new(""), &mut found)?;
    found.sort();
    Ok(found)
}

fn walk(upper: &Path, lowers: &[PathBuf], at: &Path, found: &mut Vec<Change>) -> io::Result<()> {
    let opaque = is_opaque(&upper.join(at));
    let mut names = BTreeSet::new();
    // All names first, so that few directories are open, however deep it goes.
    for entry in fs::read_dir(upper.join(at))? {
        names.insert(entry?.file_name());
    }
    for name in &names {
        let path = at.join(name);
        let full = upper.join(&path);
        let below = look_up(lowers, &path);
        if is_whiteout(&full) {
            found.extend(below.map(|_| change(&path, Kind::Deleted)));
            continue;
        }
        let is_dir = fs::symlink_metadata(&full)?.is_dir();
        let kind = match &below {
            None => Some(Kind::Added),
            // A directory that is there only to hold what is below it.
            Some(old) if is_dir && old.is_dir() => {
                let holds_some = fs::read_dir(&full)?.next().is_some();
                let changed = holds_some || is_opaque(&full) || differ(&full, old)?;
                changed.then_some(Kind::Changed)
            }
            Some(_) => Some(Kind::Changed),
        };
        found.extend(kind.map(|kind| change(&path, kind)));
        if is_dir {
            walk(upper, lowers, &path, found)?;
        }
    }
    if opaque {
        for layer in lowers {
            for entry in fs::read_dir(layer.join(at)).into_iter().flatten().flatten() {
                let path = at.join(entry.file_name());
                if names.insert(entry.file_name()) && look_up(lowers, &path).is_some() {
                    found.push(change(&path, Kind::Deleted));
                }
            }
        }
    }
    Ok(())
}

/// Whether two directories differ in mode or owner.
fn differ(one: &Path, other: &Path) -> io::Result<bool> {
    let about = |path: &Path| {
        let about = fs::symlink_metadata(path)?;
        Ok::<_, io::Error>((about.mode(), about.uid(), about.gid()))
    };
    Ok(about(one)? != about(other)?)
}

fn change(path: &Path, kind: Kind) -> Change {
    Change { path: Path::new("/").join(path), kind }
}

/// What overlayfs made of an entry of the writable layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// It is in no layer below.
    New,
    /// It was copied from a layer below, before it was changed.
    CopiedUp,
    /// It hides what is below at this path.
    Whiteout,
    /// It hides all that is below in this directory.
    Opaque,
}

/// The entries of a writable layer with what they are, sorted by path. Directories that are there
/// only to hold others are left out.
///
/// # Errors
/// When a directory cannot be read.
pub fn marks(upper: &Path, lowers: &[PathBuf]) -> io::Result<Vec<(PathBuf, Mark)>> {
    let found = changes(upper, lowers)?;
    let mark = |change: Change| {
        let path = change.path.strip_prefix("/").unwrap_or(&change.path).to_owned();
        let full = upper.join(&path);
        let mark = match (change.kind, fs::symlink_metadata(&full).is_ok_and(|a| a.is_dir())) {
            (Kind::Deleted, _) if !is_whiteout(&full) => return None,
            (Kind::Deleted, _) => Mark::Whiteout,
            (_, true) if is_opaque(&full) && look_up(lowers, &path).is_some() => Mark::Opaque,
            (Kind::Added, _) => Mark::New,
            (Kind::Changed, _) => Mark::CopiedUp,
        };
        Some((change.path, mark))
    };
    Ok(found.into_iter().filter_map(mark).collect())
}
