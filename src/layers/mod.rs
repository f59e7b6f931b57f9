//! The layers of a union filesystem: where they are, and what the writable one has changed.
//!
//! Between the read-only layers of the image and the writable one of the container lies a small
//! one of ours, the init layer, with the files that every container has for itself.

mod changes;
mod volume;

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::machine::host::Host;

pub use changes::{Change, Kind, Mark, changes, marks};
pub use volume::{Volume, place};

/// How a container gets its own view of a shared root.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Driver {
    /// overlayfs lays a writable directory over the others.
    #[default]
    Overlay,
    /// A copy of all of it.
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
    /// The name servers, for the init layer.
    pub resolv_conf: String,
}

impl Layers {
    /// Layers for one run, with nothing between the rootfs and what is written.
    pub fn new(host: &Host, id: &str, driver: Driver) -> Layers {
        Layers {
            driver,
            dir: host.layers_base.join(id),
            in_memory: host.layers_in_memory && driver == Driver::Overlay,
            resolv_conf: host.resolv_conf.clone(),
            ..Layers::default()
        }
    }

    /// How overlayfs is told which directories these are.
    pub(crate) fn options(&self, lowers: &[&Path]) -> String {
        let lowers: Vec<String> = lowers.iter().map(|dir| escaped(dir, "\\:,")).collect();
        let (upper, work) = (escaped(&self.upper(), "\\,"), escaped(&self.work(), "\\,"));
        format!("lowerdir={},upperdir={upper},workdir={work}", lowers.join(":"))
    }

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
}

/// A path in which characters that mean something to overlayfs are marked as plain.
fn escaped(path: &Path, special: &str) -> String {
    let mut out = String::new();
    for c in path.to_string_lossy().chars() {
        if special.contains(c) {
            out.push('\\');
        }
        out.push(c);
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
