//! Unpacking archives that may be hostile.
//!
//! [`Reader`] reads; every file is made here, in directories that are found by [`walk`], which never
//! leaves the target. What an archive asks for is done as for a process whose root directory
//! the target is, or refused with the name of the entry.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, BufRead, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::rc::Rc;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat};
use nix::sys::stat::{Mode, SFlag, UtimensatFlags, fchmod, futimens, mkdirat, utimensat};
use nix::unistd::{linkat, symlinkat};

use super::compression;
use super::entry::{parts, refuse};
use super::holes::Holes;
use super::limits::Limits;
use super::meter::{Allowance, Metered};
use super::reader::{Entry, Reader};
use super::remove::remove_at;
use super::settle::{Attributes, Settle};
use super::tree::{PATH_MAX, Place, Stop, Visitor, descend, inode, kind, open_dir, walk};
use crate::error::Error;
use crate::text::shown;

/// The most bytes that may describe one entry: its header, long names and attributes.
const HEADERS: u64 = 1024 * 1024;

/// Unpacks archives one over the other into a directory.
pub(crate) struct Unpacker {
    root: OwnedFd,
    limits: Limits,
    left: Limits,
    /// What may still come out of the decompression of all archives.
    stream: Allowance,
    /// What directories, by their inodes, get in the end. Until then their owner can work in them.
    directories: HashMap<u64, Attributes>,
    /// What the present layer brought, and the directories above: the inode of the directory that
    /// it is in, and its name.
    brought: HashSet<(u64, CString)>,
    /// What cannot be made here, in the same way: links to it cannot be made either.
    left_out: HashSet<(u64, CString)>,
    /// What other programs noted for themselves in the present layer.
    notes: HashSet<Vec<CString>>,
    skipped: u64,
}

impl Unpacker {
    /// Unpacks into this directory, which is empty.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub(crate) fn new(root: &Path, limits: Limits) -> Result<Unpacker, Error> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let root = open(root, flags, Mode::empty()).map_err(Error::io("open", root))?;
        // Headers, padding and the end of an archive are in no file, but come out as well.
        let stream = limits.bytes.saturating_add(limits.entries.saturating_mul(2048));
        Ok(Unpacker {
            root,
            limits,
            left: limits,
            stream: Rc::new(Cell::new(stream.saturating_add(HEADERS))),
            directories: HashMap::new(),
            brought: HashSet::new(),
            left_out: HashSet::new(),
            notes: HashSet::new(),
            skipped: 0,
        })
    }

    /// Unpacks a layer over what is there. An entry `.wh.NAME` in it takes NAME away, and
    /// `.wh..wh..opq` all that lower layers have in that directory.
    ///
    /// # Errors
    /// When the layer is broken or hostile.
    pub(crate) fn layer(&mut self, reader: impl BufRead) -> Result<(), Error> {
        self.archive(reader, true)
    }

    /// Unpacks an archive of a whole tree, in which names that begin with `.wh.` are names.
    ///
    /// # Errors
    /// When the archive is broken or hostile.
    pub(crate) fn tree(&mut self, reader: impl BufRead) -> Result<(), Error> {
        self.archive(reader, false)
    }

    fn archive(&mut self, reader: impl BufRead, whiteouts: bool) -> Result<(), Error> {
        self.brought.clear();
        let mut last = Vec::new();
        let headers = Rc::new(Cell::new(HEADERS));
        let allowances = [
            (self.stream.clone(), "it unpacks to more than is allowed"),
            (headers.clone(), "its header is too long"),
        ];
        let plain = compression::plain(reader).map_err(|error| unreadable(&last, &error))?;
        let mut archive = Reader::new(Metered::new(plain, allowances));
        while let Some(entry) = archive.next().map_err(|error| unreadable(&last, &error))? {
            headers.set(u64::MAX);
            let unpacked = self.entry(&entry, &mut archive, whiteouts);
            unpacked.map_err(|stop| stop.of(&entry.name))?;
            archive.skip().map_err(|error| unreadable(&entry.name, &error))?;
            headers.set(HEADERS);
            last = entry.name;
        }
        // The checksum of a compressed file is at its end.
        headers.set(u64::MAX);
        let rest = io::copy(&mut archive.into_inner(), &mut io::sink());
        rest.map_err(|error| unreadable(&last, &error))?;
        self.take_notes_away().map_err(|stop| stop.of(&last))
    }

    fn entry(&mut self, entry: &Entry, bytes: &mut impl Read, whiteouts: bool) -> Result<(), Stop> {
        // A comment, the name of a volume, and a list of who may do what.
        if matches!(entry.kind.as_byte(), b'g' | b'V' | b'A') {
            return Ok(());
        }
        let mut parents = parts(&entry.name)?;
        if whiteouts {
            self.note_notes(&parents);
        }
        let Some(name) = parents.pop() else {
            // The root of the tree is there, and has the mode that every root has.
            return if entry.kind.is_dir() { Ok(()) } else { Err(refuse("is no directory")) };
        };
        if let Some(hidden) = name.as_bytes().strip_prefix(b".wh.").filter(|_| whiteouts) {
            if !is_note(&name) {
                return self.whiteout(&parents, hidden);
            }
        }
        self.count()?;
        let place = walk(&self.root, &parents, true)?;
        self.note(&place, &name)?;
        match entry.kind.as_byte() {
            // The last is a directory with a list of what was in it once.
            b'5' | b'D' => self.directory(&place, &name, entry),
            b'2' => symlink(&place, &name, entry),
            b'1' => self.hard_link(&place, &name, entry),
            b'0' | b'7' | b'S' => self.file(&place, &name, entry, bytes),
            // A sandbox gets its devices when it starts.
            b'3' | b'4' | b'6' => {
                self.skipped += 1;
                self.leave_out(&place, &name)
            }
            b'M' => Err(refuse("goes on where another archive ended: join them first")),
            other => {
                let letter = char::from(other).escape_default();
                Err(Stop::Refused(format!("is of the unknown type `{letter}`")))
            }
        }
    }

    fn count(&mut self) -> Result<(), Stop> {
        match self.left.entries.checked_sub(1) {
            Some(left) => self.left.entries = left,
            None => {
                let problem = format!("is one more than the {} allowed", self.limits.entries);
                return Err(Stop::Refused(problem));
            }
        }
        Ok(())
    }

    /// Remembers that this layer brought `name`, and the directories that were made for it.
    fn note(&mut self, place: &Place, name: &CStr) -> Result<(), Stop> {
        for step in &place.way {
            self.brought.insert((step.parent, step.name.clone()));
            if let Some(made) = step.made {
                self.count()?;
                let mode = Mode::from_bits_truncate(0o755);
                self.directories.insert(made, Attributes { mode, time: None });
            }
        }
        self.brought.insert((place.inode, name.to_owned()));
        self.left_out.remove(&(place.inode, name.to_owned()));
        Ok(())
    }

    /// What cannot be made takes the place of what was there all the same.
    fn leave_out(&mut self, place: &Place, name: &CStr) -> Result<(), Stop> {
        self.left_out.insert((place.inode, name.to_owned()));
        Ok(remove_at(&place.dir, name)?)
    }

    /// Remembers the notes of other programs that these are the way to: links may lead there, so
    /// they stay for as long as the layer is unpacked.
    fn note_notes(&mut self, way: &[CString]) {
        if let Some(at) = way.iter().position(|part| is_note(part)) {
            self.notes.insert(way[..=at].to_vec());
        }
    }

    fn take_notes_away(&mut self) -> Result<(), Stop> {
        for mut way in self.notes.drain() {
            let name = way.pop().unwrap_or_default();
            match walk(&self.root, &way, false) {
                Err(Stop::Missing) => {}
                place => remove_at(place?.dir, &name)?,
            }
        }
        Ok(())
    }

    fn directory(&mut self, place: &Place, name: &CStr, entry: &Entry) -> Result<(), Stop> {
        if kind(&place.dir, name)? != Some(SFlag::S_IFDIR) {
            remove_at(&place.dir, name)?;
            mkdirat(&place.dir, name, Mode::S_IRWXU)?;
        }
        let dir = open_dir(&place.dir, name)?;
        let attributes = Attributes { mode: mode(entry)?, time: Some(entry.time) };
        self.directories.insert(inode(&dir)?, attributes);
        Ok(())
    }

    fn file(
        &mut self,
        place: &Place,
        name: &CStr,
        entry: &Entry,
        bytes: &mut impl Read,
    ) -> Result<(), Stop> {
        let left = self.left.bytes.checked_sub(entry.size);
        self.left.bytes = left.ok_or_else(|| {
            let (size, allowed) = (entry.size, self.limits.bytes);
            Stop::Refused(format!("has {size} bytes, which makes more than the {allowed} allowed"))
        })?;
        remove_at(&place.dir, name)?;
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
        let file = openat(&place.dir, name, flags | OFlag::O_NOFOLLOW, Mode::S_IRUSR)?;
        let file = File::from(file);
        let mut holes = Holes::new(&file);
        for piece in &entry.pieces {
            holes.go_on_at(piece.offset);
            copy(bytes, &mut holes, piece.length)?;
        }
        holes.go_on_at(entry.size);
        holes.finish()?;
        fchmod(&file, mode(entry)?)?;
        futimens(&file, &entry.time, &entry.time)?;
        Ok(())
    }

    /// A hard link leads to a file that was unpacked before, as the names in the tree say.
    fn hard_link(&mut self, place: &Place, name: &CStr, entry: &Entry) -> Result<(), Stop> {
        let not_there = || {
            let target = shown(&entry.link);
            Stop::Refused(format!("is a hard link to `{target}`, which is no file in the archive"))
        };
        let mut parents = parts(&entry.link).map_err(|_| not_there())?;
        let target = parents.pop().ok_or_else(not_there)?;
        let from = match walk(&self.root, &parents, false) {
            Err(Stop::Missing | Stop::Refused(_)) => return Err(not_there()),
            found => found?,
        };
        match kind(&from.dir, &target)? {
            Some(SFlag::S_IFREG | SFlag::S_IFLNK) => {}
            None if self.left_out.contains(&(from.inode, target)) => {
                return self.leave_out(place, name);
            }
            _ => return Err(not_there()),
        }
        if from.inode == place.inode && target.as_c_str() == name {
            return Ok(());
        }
        remove_at(&place.dir, name)?;
        match linkat(&from.dir, target.as_c_str(), &place.dir, name, AtFlags::empty()) {
            // It was in the directory whose place the link takes.
            Err(Errno::ENOENT) => Err(not_there()),
            linked => Ok(linked?),
        }
    }

    /// Takes away what lower layers have.
    fn whiteout(&mut self, parents: &[CString], hidden: &[u8]) -> Result<(), Stop> {
        let place = match walk(&self.root, parents, false) {
            Err(Stop::Missing) => return Ok(()),
            found => found?,
        };
        match hidden {
            b".wh..opq" => return self.hide(place.dir),
            b"" | b"." | b".." => return Err(refuse("would take away a directory above it")),
            _ => {}
        }
        let name = CString::new(hidden).map_err(|_| refuse("has a NUL byte in its name"))?;
        if !self.brought.contains(&(place.inode, name.clone())) {
            return Ok(remove_at(&place.dir, &name)?);
        }
        match kind(&place.dir, &name)? {
            Some(SFlag::S_IFDIR) => self.hide(open_dir(&place.dir, &name)?),
            _ => Ok(()),
        }
    }

    /// Takes away everything in a directory that this layer has not brought.
    fn hide(&self, dir: OwnedFd) -> Result<(), Stop> {
        descend(dir, &mut Hide { brought: &self.brought })
    }

    /// Gives the directories their modes and times, each after what is in it. Returns how many
    /// devices and pipes were left out.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub(crate) fn finish(self) -> Result<u64, Error> {
        let root = self.root.try_clone().map_err(Error::io("open", "/"))?;
        let settle = &mut Settle { directories: &self.directories };
        descend(root, settle).map_err(|stop| stop.of(b"/"))?;
        Ok(self.skipped)
    }
}

/// Takes away what is not from the present layer.
struct Hide<'a> {
    brought: &'a HashSet<(u64, CString)>,
}

impl Visitor for Hide<'_> {
    fn each(&mut self, dir: &OwnedFd, inode: u64, name: &CStr) -> Result<bool, Stop> {
        if self.brought.contains(&(inode, name.to_owned())) {
            return Ok(kind(dir, name)? == Some(SFlag::S_IFDIR));
        }
        remove_at(dir, name)?;
        Ok(false)
    }
}

fn symlink(place: &Place, name: &CStr, entry: &Entry) -> Result<(), Stop> {
    let target = CString::new(entry.link.clone());
    let target = target.ok().filter(|target| (1..=PATH_MAX).contains(&target.as_bytes().len()));
    let target = target.ok_or_else(|| refuse("is a link to what cannot be a path"))?;
    remove_at(&place.dir, name)?;
    symlinkat(target.as_c_str(), &place.dir, name)?;
    let flag = UtimensatFlags::NoFollowSymlink;
    Ok(utimensat(&place.dir, name, &entry.time, &entry.time, flag)?)
}

/// Whether other programs noted something for themselves under this name.
fn is_note(name: &CStr) -> bool {
    name.to_bytes().starts_with(b".wh..wh.") && name != c".wh..wh..opq"
}

/// The mode that a file or directory gets. Whoever unpacks owns it, and everybody on this machine
/// may reach it: a program that was set-user-ID root would run as that user for all others.
fn mode(entry: &Entry) -> Result<Mode, Stop> {
    let mode = entry.mode.ok_or_else(|| refuse("has a mode that is not a number"))?;
    Ok(Mode::from_bits_truncate(mode & 0o1777))
}

/// Copies exactly `size` bytes.
fn copy(from: &mut impl Read, to: &mut impl Write, size: u64) -> Result<(), Stop> {
    let mut from = from.take(size);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = match from.read(&mut buffer) {
            Ok(0) if from.limit() == 0 => return Ok(()),
            Ok(0) => return Err(refuse("is cut off: the archive ends in the middle of it")),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                let problem = shown(error.to_string().as_bytes());
                return Err(Stop::Refused(format!("cannot be read: {problem}")));
            }
        };
        to.write_all(&buffer[..count])?;
    }
}

/// The error for an archive that cannot be read on after the entry `last`.
fn unreadable(last: &[u8], error: &io::Error) -> Error {
    let words = error.to_string();
    let problem = match error.kind() {
        io::ErrorKind::UnexpectedEof => "the archive ends in the middle of it".to_owned(),
        _ => shown(words.as_bytes()),
    };
    if last.is_empty() {
        return Error::Unfit {
            problem: format!("this is no tar archive: {problem}"),
            hint: Some(
                "a rootfs can be imported from a tar archive, an OCI layout, or what `docker \
                 save` writes; compressed by gzip, xz, zstd or not at all"
                    .to_owned(),
            ),
        };
    }
    let problem = format!("is followed by what cannot be read: {problem}");
    Error::Archive { entry: shown(last), problem }
}
