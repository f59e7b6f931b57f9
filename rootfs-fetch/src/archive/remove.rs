//! Removing a tree, whatever is in it: directories without any permission, files that may not be
//! changed, names that are not text, and nests deeper than a path or a stack can be. Links are
//! removed, never followed.

use std::ffi::{CStr, CString};
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat, renameat};
use nix::sys::stat::{Mode, SFlag};
use nix::unistd::{UnlinkatFlags, unlinkat};
use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};

use super::tree::{kind, names, set_mode_of};
use crate::error::Error;
use crate::mounts;

/// Removes a file, a link, or a directory with all that is in it, whatever the modes of directories
/// are and however deep they nest; for root, also what chattr(1) made immutable or append-only. Links are removed, never followed. What is not there, or not any
/// more, is no error.
///
/// # Errors
/// When something is mounted on it or below it, and then nothing is removed; when `path` ends in
/// `..` or is `/`; or when the operating system refuses, as unlink(2) and rmdir(2) do: then a part
/// may be gone.
pub fn remove(path: &Path) -> Result<(), Error> {
    let Some(name) = path.file_name() else {
        let problem = format!("`{}` is not the name of anything", path.display());
        return Err(Error::Usage { problem, hint: None });
    };
    check_unmounted(path)?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    let name = CString::new(name.as_bytes()).map_err(Error::io("remove", path))?;
    match fs::File::open(parent) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::io("open", parent)(error)),
        Ok(parent) => remove_at(parent, &name).map_err(Error::io("remove", path)),
    }
}

/// Whether nothing is mounted at this path or below it: what is mounted is not ours to remove.
///
/// # Errors
/// When something is.
pub(crate) fn check_unmounted(path: &Path) -> Result<(), Error> {
    let mounted = mounts::below(path).map_err(Error::io("find what is mounted below", path))?;
    let Some(mounted) = mounted.first() else { return Ok(()) };
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
    let top = match open_for_removal(&parent, name) {
        Err(Errno::ENOENT) => return Ok(()),
        top => top?,
    };
    let mut moved = 0;
    loop {
        let names = names(&top)?;
        for name in &names {
            if !unlink(&top, name)? {
                or_gone(flatten(&top, name, &mut moved))?;
            }
        }
        if names.is_empty() {
            return or_gone(unlinkat(&parent, name, UnlinkatFlags::RemoveDir));
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

/// Somebody else may remove the same tree: what they took is not missed.
fn or_gone(removed: nix::Result<()>) -> nix::Result<()> {
    match removed {
        Err(Errno::ENOENT) => Ok(()),
        removed => removed,
    }
}

/// Removes anything but a directory. `false` when it is one.
fn unlink(dir: impl AsFd, name: &CStr) -> nix::Result<bool> {
    let unlink = || or_gone(unlinkat(&dir, name, UnlinkatFlags::NoRemoveDir));
    let removed = match unlink() {
        Err(Errno::EPERM) => {
            loosen_file(&dir, name);
            unlink()
        }
        removed => removed,
    };
    match removed {
        Ok(()) => Ok(true),
        Err(Errno::EISDIR) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// Opens a directory that is to be emptied. Its owner may do that whatever its mode is.
fn open_for_removal(parent: impl AsFd, name: &CStr) -> nix::Result<OwnedFd> {
    let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let dir = openat(&parent, name, flags | OFlag::O_PATH, Mode::empty())?;
    // Where that fails, it may be open to us all the same.
    let _ = set_mode_of(&dir, Mode::S_IRWXU);
    let dir = openat(&parent, name, flags | OFlag::O_RDONLY, Mode::empty())?;
    loosen(&dir);
    Ok(dir)
}

/// Takes the flags from an open file or directory that keep it from being changed; see
/// ioctl_iflags(2). Who may not, or where there are none, hears of it when it is removed.
fn loosen(file: &OwnedFd) {
    let fixed = IFlags::IMMUTABLE | IFlags::APPEND;
    if let Ok(flags) = ioctl_getflags(file) {
        if flags.intersects(fixed) {
            let _ = ioctl_setflags(file, flags - fixed);
        }
    }
}

/// The same by name. Only files and directories have such flags, and to open a device may do more.
fn loosen_file(dir: impl AsFd, name: &CStr) {
    if !matches!(kind(&dir, name), Ok(Some(SFlag::S_IFREG | SFlag::S_IFDIR))) {
        return;
    }
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    if let Ok(file) = openat(&dir, name, flags, Mode::empty()) {
        loosen(&file);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

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

    /// Sets a flag, as chattr(1) does. Where that cannot be, it is said.
    fn fix(path: &Path, flag: IFlags) -> bool {
        let file = fs::File::open(path).expect("there");
        let fixed = ioctl_getflags(&file).and_then(|flags| ioctl_setflags(&file, flags | flag));
        if let Err(error) = &fixed {
            eprintln!("SKIPPED: a part of this test, because no flag can be set: {error}");
            let must = nix::unistd::geteuid().is_root();
            assert!(!must || std::env::var_os("SANDBOX_TEST_ALL").is_none(), "{error}");
        }
        fixed.is_ok()
    }

    #[test]
    fn what_may_not_be_changed_goes_and_the_directory_around_it_stays_as_it_is() {
        let dir = tempfile::tempdir().expect("a directory");
        let tree = dir.path().join("tree");
        fs::create_dir_all(tree.join("fixed/deeper/still")).expect("mkdir");
        fs::create_dir_all(tree.join("growing/deeper")).expect("mkdir");
        for file in ["fixed/file", "fixed/deeper/file", "growing/log", "growing/deeper/log"] {
            fs::write(tree.join(file), "here").expect("write");
        }
        let fixed =
            ["fixed/deeper/still", "fixed/deeper/file", "fixed/deeper", "fixed/file", "fixed"];
        let growing = ["growing/deeper/log", "growing/log", "growing"];
        let all = fixed.map(|name| (name, IFlags::IMMUTABLE)).into_iter();
        let all = all.chain(growing.map(|name| (name, IFlags::APPEND)));
        let all = all.chain([("", IFlags::IMMUTABLE)]);
        for (name, flag) in all {
            if !fix(&tree.join(name), flag) {
                return;
            }
        }
        remove(&tree).expect("removed");
        assert!(!tree.exists());
        fs::create_dir(&tree).expect("mkdir");
        assert!(fix(dir.path(), IFlags::APPEND));
        let kept = remove(&tree);
        let around = fs::File::open(dir.path()).expect("there");
        loosen(&around.into());
        kept.expect_err("the directory around it is not ours to change");
    }

    #[test]
    fn what_is_not_there_is_removed_already() {
        let dir = tempfile::tempdir().expect("a directory");
        remove(&dir.path().join("no")).expect("nothing to do");
        remove(&dir.path().join("no/such/tree")).expect("nothing to do");
        for path in ["..", "/", "no/.."] {
            assert!(remove(&dir.path().join(path)).is_err(), "{path}");
        }
    }

    #[test]
    fn two_who_remove_the_same_tree_do_not_fail_each_other() {
        let dir = tempfile::tempdir().expect("a directory");
        let tree = dir.path().join("tree");
        for at in 0..300 {
            fs::create_dir_all(tree.join(format!("{}/{at}/x/y", at % 7))).expect("mkdir");
        }
        std::thread::scope(|scope| {
            let both = [scope.spawn(|| remove(&tree)), scope.spawn(|| remove(&tree))];
            for one in both {
                one.join().expect("no panic").expect("removed");
            }
        });
        assert!(!tree.exists());
    }
}
