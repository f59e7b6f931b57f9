//! Looking into layers without mounting them.

use std::path::{Path, PathBuf};

use rootfs_fetch::Held;

/// Whether tmpfs keeps attributes of users, in which an ordinary user's overlay marks directories.
/// Tries it on a file that has no name.
pub fn tmpfs_keeps_attributes() -> bool {
    use rustix::fs::{MemfdFlags, XattrFlags, fsetxattr, memfd_create};
    let file = memfd_create("attributes", MemfdFlags::CLOEXEC);
    file.is_ok_and(|file| fsetxattr(file, "user.try", b"y", XattrFlags::empty()).is_ok())
}

/// What the layers, topmost first, show at this path; relative to their roots. No link is followed,
/// for it leads where its root is, and out here that is another.
pub(super) fn look_up(layers: &[PathBuf], path: &Path) -> Option<Held> {
    for layer in layers {
        if let Ok(found) = Held::in_tree(layer, path) {
            return (!found.is_whiteout()).then_some(found);
        }
        // A layer that hides a directory above hides the path with it.
        let hides = |above: &Path| {
            let above = Held::in_tree(layer, above);
            above.is_ok_and(|above| !above.about().is_dir() || above.is_opaque())
        };
        if path.ancestors().skip(1).any(|above| !above.as_os_str().is_empty() && hides(above)) {
            return None;
        }
    }
    None
}
