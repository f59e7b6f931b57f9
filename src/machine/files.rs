//! Files below a root that others may write in, and copying trees without ever crossing a mount.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::{File, Permissions};
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::fs::{linkat, mkdirat, openat, openat2, readlinkat, statat, symlinkat, unlinkat};
use rustix::io::Errno;

/// How often openat2(2) is asked again where somebody moves directories on the way meanwhile.
const TRIES: usize = 100;

/// Opens a path as if `root` were `/`: no link on the way leads out of it.
///
/// # Errors
/// What the kernel answered.
pub fn open_in_root(root: BorrowedFd, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    open_by(root, path, flags, ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS)
}

/// Opens a path on which there is no link.
///
/// # Errors
/// What the kernel answered; ELOOP when there is one.
pub fn open_straight(path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    open_by(CWD, path, flags, ResolveFlags::NO_SYMLINKS)
}

/// Opens a path below `dir` on which there is no link at all.
fn open_beneath(dir: BorrowedFd, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    open_by(dir, path, flags, ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS)
}

fn open_by(dir: BorrowedFd, path: &Path, flags: OFlags, how: ResolveFlags) -> io::Result<OwnedFd> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    for _ in 0..TRIES {
        match openat2(dir, path, flags | OFlags::CLOEXEC, Mode::empty(), how) {
            Err(Errno::AGAIN) => {}
            opened => return Ok(opened?),
        }
    }
    Err(Errno::AGAIN.into())
}

/// What is in a plain file of no more than so many bytes. Links to it are followed; what is something
/// else, a pipe or a device, is not waited for.
///
/// # Errors
/// What cannot be read, is no plain file, or is larger.
pub fn read_plain(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no plain file"));
    }
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::Error::other(format!("it is larger than {} KiB", most / 1024)));
    }
    Ok(bytes)
}

/// Copies the file `from`, with its mode, to this name in `dir`, in place of what is there.
///
/// # Errors
/// What cannot be read or written.
pub fn copy_file(from: &Path, dir: BorrowedFd, name: &OsStr) -> io::Result<()> {
    make_room(dir, name)?;
    write_new(&mut File::open(from)?, dir, name)
}

/// Copies what is in the directory `from` into the directory `to`, in place of what has the same name
/// there and is no directory: directories, files, symlinks and hard links with their modes. Owners
/// become the copier, devices and sockets are left out, so is what the copier may not read, and what
/// lies on another filesystem is not entered. Whatever others do in the two meanwhile, nothing outside
/// of them is read or written.
///
/// # Errors
/// The first thing that cannot be read or written.
pub fn copy_directory(from: &Path, to: BorrowedFd) -> io::Result<()> {
    let from = File::open(from)?;
    let device = rustix::fs::fstat(&from)?.st_dev;
    Copy { from: from.as_fd(), to, device, copied: HashMap::new() }.directory(Path::new(""))
}

struct Copy<'a> {
    from: BorrowedFd<'a>,
    to: BorrowedFd<'a>,
    device: u64,
    /// Where the first name of a file with several was copied to.
    copied: HashMap<u64, PathBuf>,
}

impl Copy<'_> {
    /// No directory is held open while those in it are copied: they may be nested deeper than there
    /// may be descriptors.
    fn directory(&mut self, path: &Path) -> io::Result<()> {
        for (name, about) in self.all_but_directories(path)? {
            let path = path.join(name);
            if about.st_dev == self.device {
                readable(self.directory(&path))?;
            }
            let made = open_beneath(self.to, &path, OFlags::RDONLY | OFlags::DIRECTORY)?;
            File::from(made).set_permissions(mode(&about))?;
        }
        Ok(())
    }

    /// Copies what is in a directory, makes the directories in it, and returns these.
    fn all_but_directories(&mut self, path: &Path) -> io::Result<Vec<(OsString, Stat)>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let from = open_beneath(self.from, path, flags)?;
        let to = open_beneath(self.to, path, flags)?;
        let mut directories = Vec::new();
        for entry in Dir::read_from(&from)? {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name == "." || name == ".." {
                continue;
            }
            let about = statat(&from, name, AtFlags::SYMLINK_NOFOLLOW)?;
            match FileType::from_raw_mode(about.st_mode) {
                FileType::Directory => {
                    if !make_room(to.as_fd(), name)? {
                        mkdirat(&to, name, Mode::RWXU)?;
                    }
                    directories.push((name.to_owned(), about));
                }
                FileType::Symlink => {
                    make_room(to.as_fd(), name)?;
                    let leads_to = readlinkat(&from, name, Vec::new())?;
                    symlinkat(&leads_to, &to, name)?;
                }
                FileType::RegularFile => {
                    make_room(to.as_fd(), name)?;
                    readable(self.file(&from, &to, &path.join(name), &about))?;
                }
                _ => {}
            }
        }
        Ok(directories)
    }

    fn file(&mut self, from: &OwnedFd, to: &OwnedFd, path: &Path, about: &Stat) -> io::Result<()> {
        let name = path.file_name().unwrap_or_default();
        if let Some(first) = self.copied.get(&about.st_ino) {
            let above = first.parent().unwrap_or(Path::new(""));
            let dir = open_beneath(self.to, above, OFlags::PATH | OFlags::DIRECTORY)?;
            return Ok(linkat(
                dir,
                first.file_name().unwrap_or_default(),
                to,
                name,
                AtFlags::empty(),
            )?);
        }
        // It may be a pipe by now, and never be opened by anybody else.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let mut source = File::from(openat(from, name, flags, Mode::empty())?);
        if source.metadata()?.is_file() {
            write_new(&mut source, to.as_fd(), name)?;
            if about.st_nlink > 1 {
                self.copied.insert(about.st_ino, path.to_owned());
            }
        }
        Ok(())
    }
}

fn write_new(source: &mut File, dir: BorrowedFd, name: &OsStr) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let mut file = File::from(openat(dir, name, flags, Mode::RUSR | Mode::WUSR)?);
    io::copy(source, &mut file)?;
    file.set_permissions(source.metadata()?.permissions())
}

/// Removes what has this name and is no directory. Returns whether a directory has it.
fn make_room(dir: BorrowedFd, name: &OsStr) -> io::Result<bool> {
    match statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(errno.into()),
        Ok(about) if FileType::from_raw_mode(about.st_mode) == FileType::Directory => Ok(true),
        Ok(_) => Ok(unlinkat(dir, name, AtFlags::empty()).map(|()| false)?),
    }
}

fn mode(about: &Stat) -> Permissions {
    Permissions::from_mode(about.st_mode & 0o7777)
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
    use std::fs;
    use std::os::unix::fs::{MetadataExt, symlink};

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
        copy_directory(&from, File::open(&to).unwrap().as_fd()).unwrap();
        assert_eq!(fs::metadata(to.join("bin/ls")).unwrap().nlink(), 2);
        assert_eq!(fs::read_link(to.join("bin/sh")).unwrap(), Path::new("busybox"));
        assert_eq!(fs::read_to_string(to.join("bin/busybox")).unwrap(), "x");
    }

    #[test]
    fn a_link_in_the_way_is_replaced_and_what_it_leads_to_stays() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        let outside = dir.path().join("outside");
        fs::create_dir_all(from.join("etc")).unwrap();
        fs::write(from.join("etc/hosts"), "new").unwrap();
        fs::write(from.join("file"), "new").unwrap();
        for made in [&to, &outside] {
            fs::create_dir(made).unwrap();
        }
        fs::write(outside.join("hosts"), "precious").unwrap();
        symlink(&outside, to.join("etc")).unwrap();
        symlink(outside.join("hosts"), to.join("file")).unwrap();
        copy_directory(&from, File::open(&to).unwrap().as_fd()).unwrap();
        assert_eq!(fs::read_to_string(outside.join("hosts")).unwrap(), "precious");
        assert_eq!(fs::read_to_string(to.join("etc/hosts")).unwrap(), "new");
        assert_eq!(fs::read_to_string(to.join("file")).unwrap(), "new");
    }

    #[test]
    fn a_tree_that_is_deeper_than_the_limit_of_descriptors_is_copied() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        let deep = "d/".repeat(1500);
        fs::create_dir_all(from.join(&deep)).unwrap();
        fs::create_dir(&to).unwrap();
        copy_directory(&from, File::open(&to).unwrap().as_fd()).unwrap();
        assert!(to.join(&deep).is_dir());
    }
}
