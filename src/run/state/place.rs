//! Where the state of sandboxes is, and whether it is to be believed.
//!
//! What stands there is obeyed: processes are stopped, files are removed. So a directory is believed
//! only when it is one, belongs to this user and nobody else may write in it, a file only when it is
//! a plain one of this user's. Both are opened without following links and without waiting, and
//! looked at once they are open; from there on they are named by their descriptors.

use std::fs::{DirBuilder, File};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, mkdirat};
use nix::unistd::{UnlinkatFlags, geteuid, unlinkat};
use rustix::fs::{FlockOperation, flock};

use crate::error::Error;
use crate::machine::process;

const LOCK: &str = "lock";
pub(super) const JOURNAL: &str = "journal";
pub(super) const LABEL: &str = "label.json";

/// More than a file of ours ever has.
const LARGEST: u64 = 1 << 20;

/// How long one is waited for who is dying.
const PATIENCE: Duration = Duration::from_secs(2);

/// The directory for the state of all sandboxes of this user.
pub(super) struct Base {
    dir: OwnedFd,
    path: PathBuf,
}

/// The directory of one sandbox.
pub(super) struct Place {
    dir: OwnedFd,
    /// Its name, which is the sandbox's.
    pub(super) name: String,
    /// Its path, for those who are told it.
    pub(super) path: PathBuf,
}

impl Base {
    /// Opens it; `None` where there is none.
    pub(super) fn find(path: &Path) -> Result<Option<Base>, Error> {
        let dir = match open(path, directory(), Mode::empty()) {
            Err(Errno::ENOENT) => return Ok(None),
            Err(Errno::ENOTDIR | Errno::ELOOP) => return Err(not_ours(path, "is no directory")),
            dir => dir.map_err(Error::io(using(path)))?,
        };
        let about = fstat(&dir).map_err(Error::io(using(path)))?;
        match private(&about) {
            Some(problem) => Err(not_ours(path, &problem)),
            None => Ok(Some(Base { dir, path: path.to_owned() })),
        }
    }

    /// Opens it, makes it if need be, and keeps everybody else from making or sweeping state in it for
    /// as long as this lives.
    pub(super) fn hold(path: &Path) -> Result<Base, Error> {
        let made = DirBuilder::new().recursive(true).mode(mode().bits()).create(path);
        match made {
            // What it is instead is told in its own words.
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                return Err(Error::io(using(path))(error));
            }
            _ => {}
        }
        let gone = || Error::io(using(path))(Errno::ENOENT);
        let base = Base::find(path)?.ok_or_else(gone)?;
        lock(&base.dir).map_err(Error::io(using(path)))?;
        Ok(base)
    }

    /// The names that sandboxes can have, of what is in it.
    pub(super) fn names(&self) -> Result<Vec<String>, Error> {
        let reading = || format!("read `{}`", self.path.display());
        let flags = OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let mut dir =
            Dir::openat(&self.dir, ".", flags, Mode::empty()).map_err(Error::io(reading()))?;
        let mut names = Vec::new();
        for entry in dir.iter() {
            let entry = entry.map_err(Error::io(reading()))?;
            let name = entry.file_name().to_str().ok().filter(|name| is_name(name));
            names.extend(name.map(str::to_owned));
        }
        names.sort();
        Ok(names)
    }

    /// The place of this name.
    ///
    /// # Errors
    /// ENOTDIR for what is no directory, and so no place of anybody's; [`ErrorKind::Other`] for one
    /// that is not to be believed.
    pub(super) fn place(&self, name: &str) -> io::Result<Place> {
        let dir = openat(&self.dir, name, directory(), Mode::empty())?;
        match private(&fstat(&dir)?) {
            Some(problem) => Err(io::Error::other(problem)),
            None => Ok(Place { dir, name: name.to_owned(), path: self.path.join(name) }),
        }
    }

    /// Makes a place of this name, which is not there yet.
    pub(super) fn make(&self, name: &str) -> io::Result<Place> {
        mkdirat(&self.dir, name, mode())?;
        self.place(name).inspect_err(|_| drop(self.remove(name)))
    }

    /// Removes the directory of a place, which is empty by now.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        match unlinkat(&self.dir, name, UnlinkatFlags::RemoveDir) {
            Err(Errno::ENOENT) => Ok(()),
            removed => Ok(removed?),
        }
    }
}

impl Place {
    /// Makes the lock, and holds it for as long as it is open. Who holds it is written in it.
    pub(super) fn hold(&self) -> io::Result<File> {
        let mut file = self.create(LOCK)?;
        // Somebody may be looking whether it is held, who lets go of it at once.
        lock(&file)?;
        write!(file, "{}", std::process::id())?;
        Ok(file)
    }

    /// Whether the one lives who holds the lock. For one who is dying this waits a moment.
    pub(super) fn is_alive(&self) -> io::Result<bool> {
        let mut lock = match self.open(LOCK) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            lock => lock?,
        };
        let until = Instant::now() + PATIENCE;
        let mut holder = String::new();
        loop {
            // Shared, so as not to be in the way of others who look.
            match flock(&lock, FlockOperation::NonBlockingLockShared) {
                Ok(()) => return Ok(false),
                Err(rustix::io::Errno::WOULDBLOCK) => {}
                Err(errno) => return Err(errno.into()),
            }
            lock.read_to_string(&mut holder)?;
            let dying = holder.parse().is_ok_and(process::is_dying);
            if !dying || Instant::now() > until {
                return Ok(true);
            }
            sleep(Duration::from_millis(1));
        }
    }

    /// Makes a file, which is not there yet.
    pub(super) fn create(&self, file: &str) -> io::Result<File> {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
        let made = openat(&self.dir, file, flags, Mode::S_IRUSR | Mode::S_IWUSR)?;
        Ok(File::from(made))
    }

    /// What is in a file.
    ///
    /// # Errors
    /// [`ErrorKind::Other`] for one that is not to be believed.
    pub(super) fn read(&self, file: &str) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.open(file)?.take(LARGEST).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn open(&self, file: &str) -> io::Result<File> {
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let strange = || io::Error::other(format!("`{file}` in it is no plain file of yours"));
        let opened = match openat(&self.dir, file, flags, Mode::empty()) {
            Err(Errno::ELOOP | Errno::ENXIO) => return Err(strange()),
            opened => opened?,
        };
        let about = fstat(&opened)?;
        let plain = kind(&about) == SFlag::S_IFREG && about.st_uid == geteuid().as_raw();
        if plain { Ok(File::from(opened)) } else { Err(strange()) }
    }

    /// Removes the files that are ours; all else in it the journal has named.
    pub(super) fn empty(&self) {
        for file in [LABEL, JOURNAL, LOCK] {
            let _ = unlinkat(&self.dir, file, UnlinkatFlags::NoRemoveDir);
        }
    }
}

/// A word, and one directory.
pub(super) fn is_name(name: &str) -> bool {
    let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !name.is_empty() && name.len() <= 32 && !name.starts_with('-') && name.chars().all(letter)
}

/// What is wrong with a directory that should be this user's alone.
fn private(about: &FileStat) -> Option<String> {
    let uid = geteuid().as_raw();
    if about.st_uid != uid {
        return Some(format!("belongs to user {}, and not to {uid}", about.st_uid));
    }
    (about.st_mode & 0o022 != 0).then(|| "is one that others may write to".to_owned())
}

fn kind(about: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(about.st_mode & SFlag::S_IFMT.bits())
}

/// Root's state may be walked through, for the processes that leave root behind; a user's is
/// nobody else's business.
fn mode() -> Mode {
    let others = if geteuid().is_root() { 0o011 } else { 0 };
    Mode::from_bits_truncate(0o700 | others)
}

fn directory() -> OFlag {
    OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC
}

/// Waits until nobody else has this lock. It is held until all copies of the descriptor are closed.
fn lock(file: impl AsFd) -> io::Result<()> {
    loop {
        match flock(&file, FlockOperation::LockExclusive) {
            Err(rustix::io::Errno::INTR) => {}
            locked => return Ok(locked?),
        }
    }
}

fn using(path: &Path) -> String {
    format!("use the state directory `{}`", path.display())
}

fn not_ours(path: &Path, problem: &str) -> Error {
    Error::usage(
        format!("`{}` is not a private directory of yours: it {problem}", path.display()),
        "nothing in it is believed. Set XDG_RUNTIME_DIR to a directory of your own: `mkdir -m 700 \
         ~/.run; export XDG_RUNTIME_DIR=~/.run`; or remove this one, if it is yours",
    )
}
