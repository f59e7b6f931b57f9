//! The marks that overlayfs leaves in an upper directory; see the kernel's
//! Documentation/filesystems/overlayfs.rst.

use std::fs::Metadata;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

/// The names under which overlayfs keeps its own marks, as root and in a user namespace.
const MARKS: [&str; 2] = ["trusted.overlay.", "user.overlay."];

/// Whether this file is a whiteout, which stands for one that was deleted: a character device 0,0.
pub(crate) fn stands_for_nothing(about: &Metadata) -> bool {
    about.file_type().is_char_device() && about.rdev() == 0
}

/// Whether this directory is opaque, which hides all that lower layers have in it: overlayfs gives
/// it the extended attribute `trusted.overlay.opaque`, or `user.overlay.opaque` when it was mounted
/// in a user namespace. Only the machine's root sees the former. What cannot be looked at hides
/// nothing.
pub(crate) fn is_opaque(dir: &Path) -> bool {
    MARKS.iter().any(|prefix| {
        let value = xattr::get_deref(dir, format!("{prefix}opaque"));
        value.is_ok_and(|value| value.as_deref() == Some(b"y"))
    })
}

/// Whether an extended attribute of this name is one of overlayfs's own.
pub(crate) fn is_mark(name: &str) -> bool {
    MARKS.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use std::{fs, io};

    use nix::sys::stat::{Mode, SFlag, mknod};

    use super::*;

    /// Whether what a test needs was made. Where not, that is said.
    fn made(what: &str, made: io::Result<()>) -> bool {
        if let Err(error) = &made {
            eprintln!("SKIPPED: a part of this test, because {what} cannot be made: {error}");
            assert!(std::env::var_os("SANDBOX_TEST_ALL").is_none(), "{what}: {error}");
        }
        made.is_ok()
    }

    #[test]
    fn a_device_0_0_is_a_whiteout_and_nothing_else_is() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("file");
        let is_whiteout =
            |file: &Path| fs::symlink_metadata(file).is_ok_and(|about| stands_for_nothing(&about));
        for other in [Path::new("/dev/null"), dir.path(), &file] {
            assert!(!is_whiteout(other), "{}", other.display());
        }
        let device = mknod(&file, SFlag::S_IFCHR, Mode::S_IRUSR, 0);
        if made("a whiteout", device.map_err(io::Error::from)) {
            assert!(is_whiteout(&file));
        }
    }

    #[test]
    fn a_directory_with_the_mark_is_opaque_and_no_other() {
        let dir = tempfile::tempdir().expect("a directory");
        assert!(!is_opaque(dir.path()) && !is_opaque(&dir.path().join("no")));
        if made("an attribute", xattr::set(dir.path(), "user.overlay.opaque", b"x")) {
            assert!(!is_opaque(dir.path()));
            xattr::set(dir.path(), "user.overlay.opaque", b"y").expect("another value");
            assert!(is_opaque(dir.path()));
        }
        assert!(is_mark("user.overlay.opaque") && !is_mark("user.overlayed"));
    }
}
