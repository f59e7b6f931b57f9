//! Packing a tree into a bundle.
//!
//! A bundle is a tar archive of the tree, compressed by gzip, which any tar(1) can unpack. The same
//! tree gives the same bytes: names are in order, and owners and times of today are left out.

use std::collections::HashMap;
use std::ffi::{CStr, OsStr};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod, fstatat};
use tar::{Builder, EntryType, Header};

use super::header::set_time;
use super::meter::Counted;
use super::tree::{Stop, Visitor, descend, open_dir, set_mode_of};
use crate::error::Error;
use crate::progress::Progress;
use crate::text::shown;

/// What whoever hands on a bundle must know.
pub const SOURCE_NOTICE: &str = "\
The busybox in this bundle is free software under the GNU General Public License, version 2. \
Whoever hands the bundle on must offer the source of busybox too: it is at \
https://busybox.net/downloads/, and that of Debian and Ubuntu comes with `apt-get source busybox`.";

/// Writes the tree `root` to the file `part`, in place of one that a stopped call left.
///
/// # Errors
/// When something cannot be read or written.
pub(crate) fn pack(root: &Path, part: &Path, progress: &Progress) -> Result<(), Error> {
    let _ = fs::remove_file(part);
    let file = File::create_new(part).map_err(Error::io("write", part))?;
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let dir = open(root, flags, Mode::empty()).map_err(Error::io("open", root))?;
    progress.begin("packing", None);
    let mut packer = Packer {
        builder: Builder::new(GzEncoder::new(BufWriter::new(&file), Compression::default())),
        path: Vec::new(),
        ends: Vec::new(),
        known: HashMap::new(),
        closed: HashMap::new(),
        progress,
    };
    let packed = packer.notice().map_err(Stop::Io).and_then(|()| descend(dir, &mut packer));
    let path = root.join(shown(&packer.path));
    packed.map_err(|stop| match stop {
        Stop::Io(error) => Error::io("pack", path)(error),
        stop => stop.of(path.as_os_str().as_bytes()),
    })?;
    let finish = || packer.builder.into_inner()?.finish()?.flush().and_then(|()| file.sync_all());
    finish().map_err(Error::io("write", part))
}

/// Writes an archive while it goes through a tree.
struct Packer<'a, W: Write> {
    builder: Builder<W>,
    /// Where it is in the tree, and how long that was for each directory above.
    path: Vec<u8>,
    ends: Vec<usize>,
    /// The first name of each file that has several.
    known: HashMap<u64, PathBuf>,
    /// Directories that their owner may not read, and what their modes are.
    closed: HashMap<u64, Mode>,
    progress: &'a Progress,
}

impl<W: Write> Packer<'_, W> {
    /// A comment before everything else, which tar(1) passes over.
    fn notice(&mut self) -> io::Result<()> {
        let record = pax_record("comment", SOURCE_NOTICE);
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::XGlobalHeader);
        header.set_path("pax_global_header")?;
        header.set_mode(0o644);
        header.set_size(record.len() as u64);
        header.set_cksum();
        self.builder.append(&header, record.as_bytes())
    }

    fn write(&mut self, dir: &OwnedFd, name: &CStr, stat: &FileStat) -> Result<(), Stop> {
        let path = PathBuf::from(OsStr::from_bytes(&self.path));
        let mut header = Header::new_gnu();
        header.set_mode(stat.st_mode & 0o7777);
        set_time(&mut header, stat.st_mtime);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(0);
        match kind_of(stat) {
            SFlag::S_IFDIR => {
                header.set_entry_type(EntryType::Directory);
                self.builder.append_data(&mut header, path, io::empty())?;
            }
            SFlag::S_IFLNK => {
                header.set_entry_type(EntryType::Symlink);
                self.link(header, &path, readlinkat(dir, name)?.as_bytes())?;
            }
            SFlag::S_IFREG => match self.known.get(&stat.st_ino).cloned() {
                Some(first) => {
                    header.set_entry_type(EntryType::Link);
                    self.link(header, &path, first.as_os_str().as_bytes())?;
                }
                None => {
                    let file = open_file(dir, name, stat)?;
                    header.set_entry_type(EntryType::Regular);
                    header.set_size(file.metadata()?.len());
                    let counted = Counted::new(file, self.progress);
                    self.builder.append_data(&mut header, &path, counted)?;
                    if stat.st_nlink > 1 {
                        self.known.insert(stat.st_ino, path);
                    }
                }
            },
            // Sockets and pipes mean something only to the processes that made them.
            _ => {}
        }
        Ok(())
    }

    /// A link, with its target byte for byte.
    fn link(&mut self, mut header: Header, path: &Path, target: &[u8]) -> io::Result<()> {
        if header.set_link_name_literal(target).is_ok() {
            return self.builder.append_data(&mut header, path, io::empty());
        }
        self.builder.append_link(&mut header, path, Path::new(OsStr::from_bytes(target)))
    }
}

impl<W: Write> Visitor for Packer<'_, W> {
    /// Adds what `name` in `dir` is, and goes into it when that is a directory.
    fn each(&mut self, dir: &OwnedFd, _: u64, name: &CStr) -> Result<bool, Stop> {
        let end = self.path.len();
        if end > 0 {
            self.path.push(b'/');
        }
        self.path.extend(name.to_bytes());
        let stat = fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        let is_dir = kind_of(&stat) == SFlag::S_IFDIR;
        self.write(dir, name, &stat)?;
        if is_dir {
            self.ends.push(end);
            if stat.st_mode & 0o500 != 0o500 && open_dir(dir, name).is_err() {
                let mode = Mode::from_bits_truncate(stat.st_mode);
                set_mode(dir, name, mode | Mode::S_IRWXU)?;
                self.closed.insert(stat.st_ino, mode);
            }
        } else {
            self.path.truncate(end);
        }
        Ok(is_dir)
    }

    fn leave(&mut self, dir: &OwnedFd, inode: u64) -> Result<(), Stop> {
        self.path.truncate(self.ends.pop().unwrap_or(0));
        match self.closed.remove(&inode) {
            Some(mode) => Ok(fchmod(dir, mode)?),
            None => Ok(()),
        }
    }
}

fn kind_of(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits())
}

/// Opens a file for reading. Its owner may, whatever its mode is, which it has again afterwards.
fn open_file(dir: &OwnedFd, name: &CStr, stat: &FileStat) -> Result<File, Stop> {
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    match openat(dir, name, flags, Mode::empty()) {
        Err(Errno::EACCES) => {
            let mode = Mode::from_bits_truncate(stat.st_mode);
            set_mode(dir, name, mode | Mode::S_IRUSR)?;
            let opened = openat(dir, name, flags, Mode::empty());
            set_mode(dir, name, mode)?;
            Ok(File::from(opened?))
        }
        opened => Ok(File::from(opened?)),
    }
}

/// Sets the mode of what `name` in `dir` is; not of what a link leads to.
fn set_mode(dir: &OwnedFd, name: &CStr, mode: Mode) -> Result<(), Stop> {
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let file = openat(dir, name, flags, Mode::empty())?;
    Ok(set_mode_of(&file, mode)?)
}

/// A record of an extended header, which begins with its own length; see pax(1).
fn pax_record(key: &str, value: &str) -> String {
    let rest = format!(" {key}={value}\n");
    let mut length = rest.len();
    while length != rest.len() + length.to_string().len() {
        length = rest.len() + length.to_string().len();
    }
    format!("{length}{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_counts_its_own_length() {
        assert_eq!(pax_record("a", "b"), "6 a=b\n");
        assert_eq!(pax_record("a", "bcdef"), "11 a=bcdef\n");
    }
}
