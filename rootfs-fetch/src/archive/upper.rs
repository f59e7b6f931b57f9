//! What a container wrote, as a layer of an image.
//!
//! The upper directory of an overlay becomes two things: a copy that overlayfs can use as a lower
//! layer, whiteouts and all, and an archive in the form of the OCI image specification, in which a
//! deleted file is an empty one called `.wh.NAME` and a directory that hides what is below has an
//! empty file `.wh..wh..opq` in it.

use std::collections::HashMap;
use std::ffi::{CStr, OsStr, OsString};
use std::fs::{self, File, Metadata};
use std::io::{self, BufWriter, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use nix::fcntl::AT_FDCWD;
use nix::sys::stat::{Mode, SFlag, UtimensatFlags, major, minor, mknod, utimensat};
use nix::sys::time::TimeSpec;
use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;
use tar::{Builder, EntryType, Header};

use super::header::set_time;
use super::held::Held;
use super::overlay;
use super::tree::{Stop, Visitor, descend};

/// What is written at once, so that zeros in it are seen.
const BUFFER: usize = 64 * 1024;

/// The first path of each file that has more than one, by its inode.
type Links = HashMap<u64, PathBuf>;

/// Copies an upper directory as it is to `to`, which is not there yet, for overlayfs.
///
/// # Errors
/// When something cannot be read or written.
pub(crate) fn copy(upper: &Path, to: &Path) -> io::Result<()> {
    make_dir(to)?;
    go_through(upper, &mut Copier { to: to.to_owned(), links: Links::new() })
}

/// Shows a visitor all of an upper directory, in which somebody may still be at work.
fn go_through(upper: &Path, visitor: &mut impl Visitor) -> io::Result<()> {
    descend(File::open(upper)?.into(), visitor).map_err(|stop| match stop {
        Stop::Io(error) => error,
        Stop::Refused(problem) => io::Error::other(format!("a directory {problem}")),
        Stop::Missing => io::ErrorKind::NotFound.into(),
    })
}

/// Copies what it is shown.
struct Copier {
    /// Where the directory is copied to that it is shown.
    to: PathBuf,
    links: Links,
}

impl Copier {
    fn copy(&mut self, from: &Held, to: &Path) -> io::Result<()> {
        let about = from.about();
        let kind = about.file_type();
        if about.nlink() > 1 {
            if let Some(first) = self.links.get(&about.ino()) {
                return fs::hard_link(first, to);
            }
            self.links.insert(about.ino(), to.to_owned());
        }
        if kind.is_symlink() {
            symlink(from.target()?, to)?;
        } else if kind.is_file() {
            copy_file(&from.open()?, to)?;
        } else {
            let mode = Mode::from_bits_truncate(about.mode() & 0o7777);
            let kind = SFlag::from_bits_truncate(about.mode() & SFlag::S_IFMT.bits());
            mknod(to, kind, mode, about.rdev())?;
        }
        copy_attributes(from, to)
    }
}

impl Visitor for Copier {
    fn each(&mut self, dir: &OwnedFd, _: u64, name: &CStr) -> Result<bool, Stop> {
        let name = OsStr::from_bytes(name.to_bytes());
        let from = Held::below(dir, Path::new(name))?;
        let is_dir = from.about().is_dir();
        let to = self.to.join(name);
        if is_dir {
            make_dir(&to)?;
            self.to = to;
        } else {
            self.copy(&from, &to)?;
        }
        Ok(is_dir)
    }

    fn leave(&mut self, dir: &OwnedFd, _: u64) -> Result<(), Stop> {
        copy_attributes(&Held::below(dir, Path::new(""))?, &self.to)?;
        self.to.pop();
        Ok(())
    }
}

fn make_dir(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o700).create(path)
}

/// Gives what was copied all that is besides its content.
fn copy_attributes(from: &Held, to: &Path) -> io::Result<()> {
    for (name, value) in from.attributes()? {
        xattr::set(to, &name, &value)?;
    }
    let about = from.about();
    // A change of owner takes the set-user-ID bit away, so the mode comes last.
    if nix::unistd::geteuid().is_root() {
        std::os::unix::fs::lchown(to, Some(about.uid()), Some(about.gid()))?;
    }
    if !about.is_symlink() {
        fs::set_permissions(to, fs::Permissions::from_mode(about.mode() & 0o7777))?;
    }
    let read = TimeSpec::new(about.atime(), about.atime_nsec());
    let changed = TimeSpec::new(about.mtime(), about.mtime_nsec());
    Ok(utimensat(AT_FDCWD, to, &read, &changed, UtimensatFlags::NoFollowSymlink)?)
}

/// Copies what is in a file, and its holes as holes.
fn copy_file(from: &File, to: &Path) -> io::Result<()> {
    let to = File::create_new(to)?;
    let mut at = 0;
    loop {
        at = match seek(from, SeekFrom::Data(at)) {
            Err(Errno::NXIO) => return to.set_len(from.metadata()?.len()),
            start => start?,
        };
        let end = seek(from, SeekFrom::Hole(at))?;
        for file in [from, &to] {
            seek(file, SeekFrom::Start(at))?;
        }
        io::copy(&mut from.take(end - at), &mut &to)?;
        at = end;
    }
}

/// Writes an upper directory as a layer of an OCI image.
///
/// # Errors
/// When something cannot be read or written.
pub fn write_tar(upper: &Path, out: impl Write) -> io::Result<()> {
    let tar = Builder::new(BufWriter::with_capacity(BUFFER, out));
    let mut archiver = Archiver { tar, at: PathBuf::new(), links: Links::new() };
    go_through(upper, &mut archiver)?;
    archiver.tar.into_inner()?.flush()
}

/// Writes what it is shown to an archive.
struct Archiver<W: Write> {
    tar: Builder<W>,
    /// The directory that it is shown.
    at: PathBuf,
    links: Links,
}

impl<W: Write> Visitor for Archiver<W> {
    fn each(&mut self, dir: &OwnedFd, _: u64, name: &CStr) -> Result<bool, Stop> {
        let name = OsStr::from_bytes(name.to_bytes());
        let held = Held::below(dir, Path::new(name))?;
        if held.is_whiteout() {
            append_empty(&mut self.tar, &self.at.join(prefixed(".wh.", name)))?;
            return Ok(false);
        }
        let path = self.at.join(name);
        append(&mut self.tar, &held, &path, &mut self.links)?;
        if held.is_opaque() {
            append_empty(&mut self.tar, &path.join(".wh..wh..opq"))?;
        }
        let is_dir = held.about().is_dir();
        if is_dir {
            self.at = path;
        }
        Ok(is_dir)
    }

    fn leave(&mut self, _: &OwnedFd, _: u64) -> Result<(), Stop> {
        self.at.pop();
        Ok(())
    }
}

fn prefixed(prefix: &str, name: &OsStr) -> OsString {
    let mut whole = OsString::from(prefix);
    whole.push(name);
    whole
}

fn append_empty(tar: &mut Builder<impl Write>, path: &Path) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o644);
    header.set_size(0);
    tar.append_data(&mut header, path, io::empty())
}

fn append(
    tar: &mut Builder<impl Write>,
    held: &Held,
    path: &Path,
    links: &mut Links,
) -> io::Result<()> {
    let about = held.about();
    let kind = about.file_type();
    if kind.is_socket() {
        return Ok(()); // a socket is nothing without its process, and no archive has them
    }
    let mut header = Header::new_gnu();
    header.set_mode(about.mode() & 0o7777);
    set_time(&mut header, about.mtime());
    let (uid, gid) = owner(about);
    header.set_uid(uid.into());
    header.set_gid(gid.into());
    header.set_size(0);
    if kind.is_file() && about.nlink() > 1 {
        if let Some(first) = links.get(&about.ino()) {
            header.set_entry_type(EntryType::Link);
            return tar.append_link(&mut header, path, first);
        }
        links.insert(about.ino(), path.to_owned());
    }
    append_attributes(tar, held)?;
    if kind.is_symlink() {
        header.set_entry_type(EntryType::Symlink);
        return tar.append_link(&mut header, path, held.target()?);
    }
    if kind.is_file() {
        header.set_entry_type(EntryType::Regular);
        header.set_size(about.size());
        // Who still writes to it must not make it longer or shorter than is said before it.
        let content = held.open()?.chain(io::repeat(0)).take(about.size());
        return tar.append_data(&mut header, path, content);
    }
    header.set_entry_type(if kind.is_dir() {
        EntryType::Directory
    } else if kind.is_fifo() {
        EntryType::Fifo
    } else if kind.is_block_device() {
        EntryType::Block
    } else {
        EntryType::Char
    });
    if kind.is_block_device() || kind.is_char_device() {
        let number = |n: u64| u32::try_from(n).map_err(io::Error::other);
        header.set_device_major(number(major(about.rdev()))?)?;
        header.set_device_minor(number(minor(about.rdev()))?)?;
    }
    tar.append_data(&mut header, path, io::empty())
}

/// What overlayfs marked for itself is not the image's business.
fn append_attributes(tar: &mut Builder<impl Write>, held: &Held) -> io::Result<()> {
    let attributes = held.attributes()?;
    let attributes = attributes.iter().filter_map(|(name, value)| {
        let name = name.to_str()?;
        (!overlay::is_mark(name)).then(|| (format!("SCHILY.xattr.{name}"), value.as_slice()))
    });
    let attributes: Vec<_> = attributes.collect();
    if attributes.is_empty() {
        return Ok(());
    }
    tar.append_pax_extensions(attributes.iter().map(|(name, value)| (name.as_str(), *value)))
}

/// An ordinary user's files belong to root in the container, who is that user.
fn owner(about: &Metadata) -> (u32, u32) {
    if nix::unistd::geteuid().is_root() { (about.uid(), about.gid()) } else { (0, 0) }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use rustix::fs::{CWD, RenameFlags, renameat_with};

    use super::*;

    #[test]
    fn nothing_outside_is_read_while_somebody_exchanges_a_directory_and_a_link() {
        let dir = tempfile::tempdir().expect("a directory");
        let [upper, outside] = ["upper", "outside"].map(|name| dir.path().join(name));
        for (at, file) in [(upper.join("dir"), "own"), (outside.clone(), "secret")] {
            fs::create_dir_all(&at).expect("a directory");
            fs::write(at.join(file), file).expect("a file");
        }
        symlink(&outside, upper.join("link")).expect("a link");
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let (one, other) = (upper.join("dir"), upper.join("link"));
                while !done.load(Ordering::Relaxed) {
                    let _ = renameat_with(CWD, &one, CWD, &other, RenameFlags::EXCHANGE);
                }
            });
            let mut read = None;
            for turn in 0..2000 {
                let to = dir.path().join(turn.to_string());
                let mut tar = Vec::new();
                // An error is right too: something was moved.
                let _ = (copy(&upper, &to), write_tar(&upper, &mut tar));
                let is_copied = |name| {
                    let copied = to.join(name);
                    copied.join("secret").exists() && !copied.is_symlink()
                };
                if is_copied("dir") || is_copied("link") || tar.windows(6).any(|t| t == b"secret") {
                    read = Some(turn);
                    break;
                }
            }
            done.store(true, Ordering::Relaxed);
            assert_eq!(read, None);
        });
    }
}
