//! Removing a tree, whatever is in it: directories without any permission, names that are not
//! text, and nests deeper than a path or a stack can be. Links are removed, never followed.

use std::ffi::{CStr, CString, OsStr};
use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat, renameat};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::tree::names;
use crate::error::Error;

/// Removes a file, a link or a directory with all that is in it.
///
/// # Errors
/// When something is mounted in it, or the operating system refuses.
pub(crate) fn remove(path: &Path) -> Result<(), Error> {
    check_unmounted(path)?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    let name = CString::new(path.file_name().unwrap_or_default().as_bytes())
        .map_err(Error::io("remove", path))?;
    let parent = fs::File::open(parent).map_err(Error::io("open", parent))?;
    remove_at(parent, &name).map_err(Error::io("remove", path))
}

/// Whether nothing is mounted at this path or below it: what is mounted is not ours to remove.
///
/// # Errors
/// When something is.
pub(crate) fn check_unmounted(path: &Path) -> Result<(), Error> {
    let Some(mounted) = mounted_below(path)? else { return Ok(()) };
    Err(Error::Usage {
        problem: format!("`{}` stays: {} is mounted", path.display(), mounted.display()),
        hint: Some("see `sandbox clean`, or unmount it with umount(8)".to_owned()),
    })
}

/// Removes `name` from the directory `parent` with all that is in it.
pub(crate) fn remove_at(parent: impl AsFd, name: &CStr) -> nix::Result<()> {
    if unlink(&parent, name)? {
        return Ok(());
    }
    let top = open_for_removal(&parent, name)?;
    let mut moved = 0;
    loop {
        let names = names(&top)?;
        for name in &names {
            if !unlink(&top, name)? {
                flatten(&top, name, &mut moved)?;
            }
        }
        if names.is_empty() {
            return unlinkat(&parent, name, UnlinkatFlags::RemoveDir);
        }
    }
}

/// Empties and removes the directory `name` in `top`. The directories in it move up into `top`,
/// where they get their turn: so it never goes deeper than this, however deep they nest.
fn flatten(top: &OwnedFd, name: &CStr, moved: &mut u64) -> nix::Result<()> {
    let dir = open_for_removal(top, name)?;
    for child in names(&dir)? {
        if !unlink(&dir, &child)? {
            open_for_removal(&dir, &child)?;
            move_up(&dir, &child, top, moved)?;
        }
    }
    unlinkat(top, name, UnlinkatFlags::RemoveDir)
}

fn move_up(dir: &OwnedFd, child: &CStr, top: &OwnedFd, moved: &mut u64) -> nix::Result<()> {
    loop {
        *moved += 1;
        let name = format!(".removed-{moved}");
        match renameat(dir, child, top, name.as_str()) {
            // The archive brought this name: take the next one.
            Err(Errno::EEXIST | Errno::ENOTEMPTY | Errno::ENOTDIR) => {}
            result => return result,
        }
    }
}

/// Removes anything but a directory. `false` when it is one.
fn unlink(dir: impl AsFd, name: &CStr) -> nix::Result<bool> {
    match unlinkat(dir, name, UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => Ok(true),
        Err(Errno::EISDIR) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// Opens a directory that is to be emptied. Its owner may do that whatever its mode is.
fn open_for_removal(parent: impl AsFd, name: &CStr) -> nix::Result<OwnedFd> {
    let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let dir = openat(&parent, name, flags | OFlag::O_PATH, Mode::empty())?;
    let link = format!("/proc/self/fd/{}", dir.as_raw_fd());
    // A descriptor opened with O_PATH cannot be given to fchmod(2), its name in /proc can.
    let _ = fs::set_permissions(link, fs::Permissions::from_mode(0o700));
    openat(&parent, name, flags | OFlag::O_RDONLY, Mode::empty())
}

/// What is mounted at this path or below it, as this process sees it.
fn mounted_below(path: &Path) -> Result<Option<PathBuf>, Error> {
    let parent = path.parent().unwrap_or(Path::new("/"));
    let parent = fs::canonicalize(parent).map_err(Error::io("find", parent))?;
    let path = parent.join(path.file_name().unwrap_or_default());
    let table = "/proc/self/mountinfo";
    let text = fs::read(table).map_err(Error::io("read", table))?;
    let points = text.split(|byte| *byte == b'\n').filter_map(mount_point);
    let mut points = points.map(|point| PathBuf::from(OsStr::from_bytes(&point).to_owned()));
    Ok(points.find(|point| point.starts_with(&path)))
}

/// The mount point in a line of /proc/self/mountinfo: the fifth field; see proc_pid_mountinfo(5).
fn mount_point(line: &[u8]) -> Option<Vec<u8>> {
    let field = line.split(|byte| *byte == b' ').nth(4)?;
    let mut point = Vec::new();
    let mut rest = field;
    while let Some((first, tail)) = rest.split_first() {
        // Spaces, tabs, line ends and backslashes are written as three octal digits.
        let escaped = tail.get(..3).filter(|_| *first == b'\\');
        let byte = escaped
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        point.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &tail[3..] } else { tail };
    }
    Some(point)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn closed_directories_and_deep_nests_go_and_what_links_lead_to_stays() {
        let dir = tempfile::tempdir().expect("a directory");
        let kept = dir.path().join("kept");
        fs::create_dir(&kept).expect("mkdir");
        fs::write(kept.join("file"), "kept").expect("write");
        let tree = dir.path().join("tree");
        let mut deep = tree.clone();
        for _ in 0..200 {
            deep.push("d");
        }
        fs::create_dir_all(&deep).expect("mkdir");
        symlink(&kept, tree.join("link")).expect("symlink");
        fs::write(tree.join(".removed-1"), "in the way").expect("write");
        fs::set_permissions(tree.join("d/d"), fs::Permissions::from_mode(0o0)).expect("chmod");
        remove(&tree).expect("removed");
        assert!(!tree.exists());
        assert!(kept.join("file").exists());
    }

    #[test]
    fn what_has_a_mount_in_it_stays() {
        assert!(mounted_below(Path::new("/proc")).expect("a table").is_some());
        assert_eq!(mount_point(b"1 2 0:1 / /a\\040b rw"), Some(b"/a b".to_vec()));
    }
}
