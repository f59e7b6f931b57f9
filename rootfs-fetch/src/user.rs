//! Whose data directory is used, and who owns what is put there.

use std::env;
use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use nix::unistd::{Uid, User};

use crate::error::Error;

/// The user who called sudo, as the ids that sudo hands on.
fn caller() -> Option<(u32, u32)> {
    let number = |name| env::var(name).ok()?.parse::<u32>().ok();
    let ids = (number("SUDO_UID")?, number("SUDO_GID")?);
    (Uid::effective().is_root() && ids.0 != 0).then_some(ids)
}

/// Where root filesystems are kept: `$SANDBOX_HOME/rootfs`, else `$XDG_DATA_HOME/sandbox/rootfs`,
/// else `~/.local/share/sandbox/rootfs`. Under sudo, `~` is the calling user's.
pub(crate) fn data_dir() -> Result<PathBuf, Error> {
    if let Some(home) = env::var_os("SANDBOX_HOME").filter(|home| !home.is_empty()) {
        let home = std::path::absolute(&home).map_err(Error::io("find", home))?;
        return Ok(home.join("rootfs"));
    }
    let called_by = caller().and_then(|(uid, _)| User::from_uid(Uid::from_raw(uid)).ok().flatten());
    if let Some(user) = called_by {
        return Ok(user.dir.join(".local/share/sandbox/rootfs"));
    }
    let strategy = etcetera::choose_base_strategy().map_err(|_| Error::Unfit {
        problem: "the environment does not say where your home directory is".to_owned(),
        hint: Some("set HOME, or SANDBOX_HOME to a directory of your choice".to_owned()),
    })?;
    Ok(strategy.data_dir().join("sandbox/rootfs"))
}

/// The directories that are for nobody else: what is below a directory that somebody chose, but not
/// that one.
pub(crate) fn private(dir: &Path) -> Vec<PathBuf> {
    let chosen = env::var_os("SANDBOX_HOME").is_some_and(|home| !home.is_empty());
    let above = dir.parent().filter(|_| !chosen);
    above.into_iter().chain([dir]).map(Path::to_owned).collect()
}

/// Lets nobody else into these directories, as far as they are the caller's own: a set-user-ID program
/// that somebody made in a root is for nobody outside of it.
pub(crate) fn close(dirs: &[PathBuf]) {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    for dir in dirs {
        let Ok(dir) = nix::fcntl::open(dir, flags, Mode::empty()).map(File::from) else { continue };
        let Ok(about) = dir.metadata() else { continue };
        let owner = caller().map_or(Uid::effective().as_raw(), |(uid, _)| uid);
        if about.uid() == owner && about.mode() & 0o077 != 0 {
            // On a disk that is only read nothing can be made in it either.
            let _ = dir.set_permissions(Permissions::from_mode(0o700));
        }
    }
}

/// Makes a directory and those above it. Under sudo they belong to the calling user.
pub(crate) fn make_dir(path: &Path) -> Result<(), Error> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        make_dir(parent)?;
    }
    match std::fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        made => made.map_err(Error::io("make the directory", path))?,
    }
    give_to_caller(path)
}

/// Under sudo, hands a file or a tree to the calling user.
pub(crate) fn give_to_caller(path: &Path) -> Result<(), Error> {
    let Some((uid, gid)) = caller() else { return Ok(()) };
    lchown(path, Some(uid), Some(gid)).map_err(Error::io("hand to you", path))?;
    if path.symlink_metadata().is_ok_and(|data| data.is_dir()) {
        // All names first, so that few directories are open, however deep it goes.
        let entries = std::fs::read_dir(path).map_err(Error::io("read", path))?;
        let paths: io::Result<Vec<PathBuf>> = entries.map(|entry| Ok(entry?.path())).collect();
        for path in paths.map_err(Error::io("read", path))? {
            give_to_caller(&path)?;
        }
    }
    Ok(())
}
