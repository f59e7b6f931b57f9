//! What a rootfs needs besides programs: a few directories and files, and a name for each applet.

use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::resolve::resolve_in;
use crate::error::Error;

const DIRS: [(&str, u32); 15] = [
    ("bin", 0o755),
    ("dev", 0o755),
    ("etc", 0o755),
    ("home", 0o755),
    ("mnt", 0o755),
    ("proc", 0o555),
    ("root", 0o755),
    ("run", 0o755),
    ("sbin", 0o755),
    ("sys", 0o555),
    ("tmp", 0o1777),
    ("usr", 0o755),
    ("usr/bin", 0o755),
    ("usr/sbin", 0o755),
    ("var", 0o755),
];

const FILES: [(&str, &str); 5] = [
    ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"),
    ("etc/group", "root:x:0:\nnobody:x:65534:\n"),
    ("etc/hosts", "127.0.0.1 localhost\n::1 localhost\n"),
    ("etc/resolv.conf", "# no name server: a sandbox has no network unless you give it one\n"),
    ("etc/profile", "export PATH=/bin:/sbin:/usr/bin:/usr/sbin\nPS1='\\u@\\h:\\w\\$ '\n"),
];

/// Makes the directories and files that are not there yet. What an image brought stays.
pub(crate) fn complete(root: &Path) -> Result<(), Error> {
    for (dir, mode) in DIRS {
        let Some(path) = place_in(root, dir) else { continue };
        if path.symlink_metadata().is_ok() {
            continue;
        }
        match fs::create_dir(&path) {
            // An image may close its directories even to their owner.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => continue,
            made => made.map_err(Error::io("make the directory", &path))?,
        }
        let permissions = Permissions::from_mode(mode);
        fs::set_permissions(&path, permissions).map_err(Error::io("set the mode of", &path))?;
    }
    for (file, text) in FILES {
        let Some(path) = place_in(root, file) else { continue };
        match write_new(&path, text.as_bytes(), 0o644) {
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::PermissionDenied => {}
            written => written?,
        }
    }
    Ok(())
}

/// Where something belongs. An image may have links in place of directories: they lead somewhere
/// in the root, as for a process in it, or nowhere.
fn place_in(root: &Path, path: &str) -> Option<PathBuf> {
    let path = Path::new(path);
    let parent = resolve_in(root, path.parent()?).ok().filter(|parent| parent.is_dir())?;
    Some(parent.join(path.file_name()?))
}

/// Writes a file that is not there yet; neither follows nor replaces one that is.
fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Error> {
    match fs::OpenOptions::new().write(true).create_new(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(Error::io("write", path)(error)),
        Ok(mut file) => file
            .write_all(bytes)
            .and_then(|()| file.set_permissions(Permissions::from_mode(mode)))
            .map_err(Error::io("write", path)),
    }
}

/// Puts a busybox into an empty root, with a link for each of its applets where tradition has it.
pub(crate) fn install(busybox: &Path, root: &Path) -> Result<(), Error> {
    complete(root)?;
    let bytes = fs::read(busybox).map_err(Error::io("read", busybox))?;
    write_new(&root.join("bin/busybox"), &bytes, 0o755)?;
    for applet in applets(busybox)? {
        let depth = applet.components().count() - 1;
        let up = "../".repeat(depth);
        let link = root.join(&applet);
        match symlink(format!("{up}bin/busybox"), &link) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => made.map_err(Error::io("make the link", &link))?,
        }
    }
    Ok(())
}

/// The applets of a busybox with their places, as in `usr/bin/env`.
pub(crate) fn applets(busybox: &Path) -> Result<Vec<PathBuf>, Error> {
    let output = Command::new(busybox)
        .arg("--list-full")
        .env_clear()
        .output()
        .map_err(Error::io("ask for its applets", busybox))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let applets: Vec<PathBuf> = text.lines().map(str::trim).filter_map(place).collect();
    if applets.is_empty() {
        let problem = format!("`{} --list-full` lists nothing", busybox.display());
        return Err(Error::Unfit { problem, hint: Some("use another busybox".to_owned()) });
    }
    Ok(applets)
}

/// The place of an applet in one of the four directories for programs; `/linuxrc` and the like
/// have none.
fn place(line: &str) -> Option<PathBuf> {
    let (dir, name) = line.rsplit_once('/')?;
    let known = ["bin", "sbin", "usr/bin", "usr/sbin"].contains(&dir);
    (known && !name.is_empty() && name != "." && name != "..").then(|| PathBuf::from(line))
}
