//! Looking into layers without mounting them.

use std::fs;
use std::path::{Path, PathBuf};

use rootfs_fetch::{is_opaque, is_whiteout};

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
