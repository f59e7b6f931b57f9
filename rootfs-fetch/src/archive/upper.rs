//! What a container wrote, as a layer of an image.
//!
//! The upper directory of an overlay becomes two things: a copy that overlayfs can use as a lower
//! layer, whiteouts and all, and an archive in the form of the OCI image specification, in which a
//! deleted file is an empty one called `.wh.NAME` and a directory that hides what is below has an
//! empty file `.wh..wh..opq` in it.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata};
use std::io::{self, BufWriter, Read, Write};
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
use super::overlay;

/// What is written at once, so that zeros in it are seen.
const BUFFER: usize = 64 * 1024;

/// The first path of each file that has more than one, by its inode.
type Links = HashMap<u64, PathBuf>;

/// Copies an upper directory as it is to `to`, which is not there yet, for overlayfs.
///
/// # Errors
/// When something cannot be read or written.
pub(crate) fn copy(upper: &Path, to: &Path) -> io::Result<()> {
    copy_linked(upper, to, &mut Links::new())
}

fn copy_linked(from: &Path, to: &Path, links: &mut Links) -> io::Result<()> {
    let about = fs::symlink_metadata(from)?;
    let kind = about.file_type();
    if !kind.is_dir() && about.nlink() > 1 {
        if let Some(first) = links.get(&about.ino()) {
            return fs::hard_link(first, to);
        }
        links.insert(about.ino(), to.to_owned());
    }
    if kind.is_dir() {
        fs::DirBuilder::new().mode(0o700).create(to)?;
        for name in names(from)? {
            copy_linked(&from.join(&name), &to.join(&name), links)?;
        }
    } else if kind.is_symlink() {
        symlink(fs::read_link(from)?, to)?;
    } else if kind.is_file() {
        copy_file(from, to)?;
    } else {
        let mode = Mode::from_bits_truncate(about.mode() & 0o7777);
        let kind = SFlag::from_bits_truncate(about.mode() & SFlag::S_IFMT.bits());
        mknod(to, kind, mode, about.rdev())?;
    }
    copy_attributes(from, to)?;
    // A change of owner takes the set-user-ID bit away, so the mode comes last.
    if nix::unistd::geteuid().is_root() {
        std::os::unix::fs::lchown(to, Some(about.uid()), Some(about.gid()))?;
    }
    if !kind.is_symlink() {
        fs::set_permissions(to, fs::Permissions::from_mode(about.mode() & 0o7777))?;
    }
    let read = TimeSpec::new(about.atime(), about.atime_nsec());
    let changed = TimeSpec::new(about.mtime(), about.mtime_nsec());
    Ok(utimensat(AT_FDCWD, to, &read, &changed, UtimensatFlags::NoFollowSymlink)?)
}

/// Copies what is in a file, and its holes as holes.
fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    let (from, to) = (File::open(from)?, File::create_new(to)?);
    let mut at = 0;
    loop {
        at = match seek(&from, SeekFrom::Data(at)) {
            Err(Errno::NXIO) => return to.set_len(from.metadata()?.len()),
            start => start?,
        };
        let end = seek(&from, SeekFrom::Hole(at))?;
        for file in [&from, &to] {
            seek(file, SeekFrom::Start(at))?;
        }
        io::copy(&mut (&from).take(end - at), &mut &to)?;
        at = end;
    }
}

/// What is in a directory, in order. It is closed again: however deep a tree is, few are open.
fn names(dir: &Path) -> io::Result<Vec<OsString>> {
    let names = fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name()));
    let mut names = names.collect::<io::Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

fn copy_attributes(from: &Path, to: &Path) -> io::Result<()> {
    for (name, value) in attributes(from)? {
        xattr::set(to, &name, &value)?;
    }
    Ok(())
}

/// The extended attributes of a file that is no link.
fn attributes(path: &Path) -> io::Result<Vec<(OsString, Vec<u8>)>> {
    if fs::symlink_metadata(path)?.is_symlink() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for name in xattr::list(path)? {
        let is_ours =
            name.as_bytes().starts_with(b"user.") || name.as_bytes().starts_with(b"trusted.");
        if let Some(value) = xattr::get(path, &name)?.filter(|_| is_ours) {
            found.push((name, value));
        }
    }
    Ok(found)
}

/// Writes an upper directory as a layer of an OCI image.
///
/// # Errors
/// When something cannot be read or written.
pub fn write_tar(upper: &Path, out: impl Write) -> io::Result<()> {
    let mut tar = Builder::new(BufWriter::with_capacity(BUFFER, out));
    let mut links = HashMap::new();
    append_all(&mut tar, upper, Path::new(""), &mut links)?;
    tar.into_inner()?.flush()
}

fn append_all(
    tar: &mut Builder<impl Write>,
    upper: &Path,
    at: &Path,
    links: &mut Links,
) -> io::Result<()> {
    for name in names(&upper.join(at))? {
        let path = at.join(&name);
        let full = upper.join(&path);
        let about = fs::symlink_metadata(&full)?;
        if overlay::stands_for_nothing(&about) {
            append_empty(tar, &at.join(prefixed(".wh.", &name)))?;
            continue;
        }
        append(tar, &full, &path, &about, links)?;
        if about.is_dir() {
            if overlay::is_opaque(&full) {
                append_empty(tar, &path.join(".wh..wh..opq"))?;
            }
            append_all(tar, upper, &path, links)?;
        }
    }
    Ok(())
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
    full: &Path,
    path: &Path,
    about: &Metadata,
    links: &mut Links,
) -> io::Result<()> {
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
    append_attributes(tar, full)?;
    if kind.is_symlink() {
        header.set_entry_type(EntryType::Symlink);
        return tar.append_link(&mut header, path, fs::read_link(full)?);
    }
    if kind.is_file() {
        header.set_entry_type(EntryType::Regular);
        header.set_size(about.size());
        return tar.append_data(&mut header, path, File::open(full)?);
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
fn append_attributes(tar: &mut Builder<impl Write>, full: &Path) -> io::Result<()> {
    let attributes = attributes(full)?;
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
