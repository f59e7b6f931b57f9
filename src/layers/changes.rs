//! What a writable layer has changed, told as `docker diff` tells it.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rootfs_fetch::Held;

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
    let (names, opaque) = directory(upper, at)?;
    let mut names = BTreeSet::from_iter(names);
    for name in &names {
        let path = at.join(name);
        found.extend(kind(upper, lowers, &path)?.map(|kind| change(&path, kind)));
        if Held::in_tree(upper, &path)?.about().is_dir() {
            walk(upper, lowers, &path, found)?;
        }
    }
    if opaque {
        for layer in lowers {
            for name in directory(layer, at).map_or(Vec::new(), |(names, _)| names) {
                let path = at.join(&name);
                if names.insert(name) && look_up(lowers, &path).is_some() {
                    found.push(change(&path, Kind::Deleted));
                }
            }
        }
    }
    Ok(())
}

/// All that is in a directory, and whether it is opaque. It is closed again, so that few are open,
/// however deep it goes.
fn directory(layer: &Path, at: &Path) -> io::Result<(Vec<OsString>, bool)> {
    let dir = Held::in_tree(layer, at)?;
    Ok((dir.names()?, dir.is_opaque()))
}

/// What happened to a path that is in the writable layer, if anything.
fn kind(upper: &Path, lowers: &[PathBuf], path: &Path) -> io::Result<Option<Kind>> {
    let new = Held::in_tree(upper, path)?;
    Ok(match look_up(lowers, path) {
        below if new.is_whiteout() => below.map(|_| Kind::Deleted),
        None => Some(Kind::Added),
        // A directory that is there only to hold what is below it.
        Some(old) if new.about().is_dir() && old.about().is_dir() => {
            let holds_some = !new.names()?.is_empty();
            let changed = holds_some || new.is_opaque() || differ(new.about(), old.about());
            changed.then_some(Kind::Changed)
        }
        Some(_) => Some(Kind::Changed),
    })
}

/// Whether two directories differ in mode or owner.
fn differ(one: &Metadata, other: &Metadata) -> bool {
    let about = |about: &Metadata| (about.mode(), about.uid(), about.gid());
    about(one) != about(other)
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
        let held = Held::in_tree(upper, &path).ok();
        let is_opaque = held.as_ref().is_some_and(Held::is_opaque);
        let mark = match change.kind {
            Kind::Deleted if !held.is_some_and(|held| held.is_whiteout()) => return None,
            Kind::Deleted => Mark::Whiteout,
            _ if is_opaque && look_up(lowers, &path).is_some() => Mark::Opaque,
            Kind::Added => Mark::New,
            Kind::Changed => Mark::CopiedUp,
        };
        Some((change.path, mark))
    };
    Ok(found.into_iter().filter_map(mark).collect())
}
