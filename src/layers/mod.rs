//! The layers of a union filesystem: where they are, and what the writable one has changed.
//!
//! Between the read-only layers of the image and the writable one of the container lies a small
//! one of ours, the init layer, with the files that every container has for itself.

mod changes;
pub mod kept;
mod volume;

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::error::Error;

pub use changes::{Change, Kind, Mark, changes, marks};
pub use volume::{Target, Volume};

/// How a container gets its own view of a shared root.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Driver {
    /// overlayfs lays a writable directory over the others
    #[default]
    Overlay,
    /// A copy of all of it
    Vfs,
}

/// The layers of one sandbox.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layers {
    /// How they become one.
    pub driver: Driver,
    /// The read-only layers above the rootfs, topmost first.
    pub lowers: Vec<PathBuf>,
    /// The directory for the writable layer and what belongs to it.
    pub dir: PathBuf,
    /// Whether that directory stays when the sandbox ends.
    pub kept: bool,
    /// Whether it is there already, from an earlier run.
    pub found: bool,
    /// Whether it is in memory, as the disk below cannot serve.
    pub in_memory: bool,
}

impl Layers {
    /// What the sandbox changes.
    pub fn upper(&self) -> PathBuf {
        self.dir.join("upper")
    }

    /// Where the kernel prepares changes.
    pub fn work(&self) -> PathBuf {
        self.dir.join("work")
    }

    /// The files that every container has for itself.
    pub fn init(&self) -> PathBuf {
        self.dir.join("init")
    }

    /// Where it is written what the layers lie on.
    pub fn below(&self) -> PathBuf {
        self.dir.join(kept::BELOW)
    }

    /// How overlayfs is told which directories these are: `lowerdir=TOP:…,upperdir=…,workdir=…`
    pub fn options(&self, lowers: &[&Path]) -> OsString {
        let mut text = b"lowerdir=".to_vec();
        for (i, lower) in lowers.iter().enumerate() {
            if i > 0 {
                text.push(b':');
            }
            text.extend(escaped(lower, b"\\:,"));
        }
        for (name, dir) in [("upperdir", self.upper()), ("workdir", self.work())] {
            text.extend(format!(",{name}=").into_bytes());
            text.extend(escaped(&dir, b"\\,"));
        }
        OsString::from_vec(text)
    }
}

/// The directory for all layers: beside the root filesystems.
///
/// # Errors
/// When this user has no place for data.
pub fn base() -> Result<PathBuf, Error> {
    let store = rootfs_fetch::Store::open(None)?;
    Ok(store.dir().with_file_name("layers"))
}

/// A path in which characters that mean something to overlayfs are marked as plain.
fn escaped(path: &Path, special: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for byte in path.as_os_str().as_bytes() {
        if special.contains(byte) {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out
}

/// Whether this file stands for one that was deleted: a character device 0,0.
pub fn is_whiteout(path: &Path) -> bool {
    fs::symlink_metadata(path)
        .is_ok_and(|about| about.file_type().is_char_device() && about.rdev() == 0)
}

/// Whether this directory hides all that lower layers have in it.
pub fn is_opaque(path: &Path) -> bool {
    ["trusted.overlay.opaque", "user.overlay.opaque"].iter().any(|name| {
        let mut value = [0; 2];
        let read = rustix::fs::lgetxattr(path, *name, &mut value);
        read.is_ok_and(|length| length == 1 && value[0] == b'y')
    })
}

/// Whether tmpfs keeps attributes of users, in which an ordinary user's overlay marks directories.
/// Tries it on a file that has no name.
pub fn tmpfs_keeps_attributes() -> bool {
    use rustix::fs::{MemfdFlags, XattrFlags, fsetxattr, memfd_create};
    let file = memfd_create("attributes", MemfdFlags::CLOEXEC);
    file.is_ok_and(|file| fsetxattr(file, "user.try", b"y", XattrFlags::empty()).is_ok())
}

/// What the layers, topmost first, show at this path; relative to their roots.
pub fn look_up(layers: &[PathBuf], path: &Path) -> Option<PathBuf> {
    for layer in layers {
        let found = layer.join(path);
        if fs::symlink_metadata(&found).is_ok() {
            return (!is_whiteout(&found)).then_some(found);
        }
        // A layer that hides a directory above hides the path with it.
        let hides = |above: &Path| {
            let above = layer.join(above);
            let plain = fs::symlink_metadata(&above).is_ok_and(|about| !about.is_dir());
            plain || is_opaque(&above)
        };
        if path.ancestors().skip(1).any(|above| !above.as_os_str().is_empty() && hides(above)) {
            return None;
        }
    }
    None
}
