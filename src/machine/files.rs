//! Copying directory trees, without ever crossing a mount.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};

/// Copies the file `from` to `to`, or what is in the directory `from` into the existing directory
/// `to`, in place of what has the same name there and is no directory: directories, files, symlinks and hard links with their modes. Owners become the copier,
/// devices and sockets are left out, so is what the copier may not read, and what lies on another
/// filesystem is not entered.
///
/// # Errors
/// The first thing that cannot be read or written.
pub fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let about = fs::metadata(from)?;
    if about.is_file() {
        return fs::copy(from, to).map(drop);
    }
    copy_directory(from, to, about.dev(), &mut HashMap::new())
}

fn copy_directory(
    from: &Path,
    to: &Path,
    device: u64,
    copied: &mut HashMap<u64, PathBuf>,
) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let about = entry.metadata()?;
        let kind = about.file_type();
        // To write through a symlink would be to write somewhere else.
        let there = fs::symlink_metadata(&target).map(|about| about.is_dir());
        if let Ok(false) = there {
            fs::remove_file(&target)?;
        }
        if kind.is_symlink() {
            symlink(fs::read_link(&source)?, &target)?;
        } else if kind.is_dir() {
            if there.is_err() {
                fs::DirBuilder::new().mode(0o700).create(&target)?;
            }
            if about.dev() == device {
                readable(copy_directory(&source, &target, device, copied))?;
            }
            fs::set_permissions(&target, about.permissions())?;
        } else if kind.is_file() {
            match copied.get(&about.ino()) {
                Some(first) => fs::hard_link(first, &target)?,
                None => {
                    readable(fs::copy(&source, &target).map(drop))?;
                    if about.nlink() > 1 && target.exists() {
                        copied.insert(about.ino(), target);
                    }
                }
            }
        }
    }
    Ok(())
}

/// What may not be read is left out.
fn readable(copied: io::Result<()>) -> io::Result<()> {
    match copied {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        copied => copied,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_keeps_links_modes_and_content() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::create_dir_all(from.join("bin")).unwrap();
        fs::create_dir(&to).unwrap();
        fs::write(from.join("bin/busybox"), "x").unwrap();
        fs::hard_link(from.join("bin/busybox"), from.join("bin/ls")).unwrap();
        symlink("busybox", from.join("bin/sh")).unwrap();
        copy(&from, &to).unwrap();
        assert_eq!(fs::metadata(to.join("bin/ls")).unwrap().nlink(), 2);
        assert_eq!(fs::read_link(to.join("bin/sh")).unwrap(), Path::new("busybox"));
        assert_eq!(fs::read_to_string(to.join("bin/busybox")).unwrap(), "x");
    }
}
