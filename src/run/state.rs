//! What sandboxes put on the host: a directory each, with a lock and a journal.
//!
//! The journal is written before anything is put anywhere. The lock is held for as long as the
//! process that waits for the sandbox lives, and the kernel lets go of it when that process dies in
//! whatever way; its children die with it. So a directory whose lock can be taken belongs to
//! nobody, and its journal says what to take away.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use nix::unistd::Pid;
use rustix::rand::{GetRandomFlags, getrandom};
use serde::{Deserialize, Serialize};

use crate::cgroups;
use crate::error::Error;
use crate::machine::process;
use crate::plan::step::Undo;

const LOCK: &str = "lock";
const JOURNAL: &str = "journal";
const LABEL: &str = "label.json";

/// What a running sandbox says about itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Label {
    /// Its stages.
    pub stages: Vec<String>,
    /// Its command.
    pub command: Vec<String>,
    /// The process of its command, as the host counts; 0 before it runs.
    pub pid: i32,
    /// When that began; see [`process::started`].
    #[serde(default)]
    pub started: Option<u64>,
    /// The directories of its cgroups.
    #[serde(default)]
    pub cgroups: Vec<PathBuf>,
}

// ANCHOR: state
/// The state of one living sandbox.
pub struct State {
    dir: PathBuf,
    journal: File,
    undos: Vec<Undo>,
    _lock: Flock<File>,
}
// ANCHOR_END: state

impl State {
    /// Makes the directory `dir`, and the one above it, and takes the lock.
    ///
    /// # Errors
    /// When it cannot be made, or the one above it is somebody else's.
    pub fn create(dir: &Path) -> Result<State, Error> {
        let base = dir.parent().unwrap_or(Path::new("/"));
        let _guard = lock_base(base)?;
        let made = (|| {
            DirBuilder::new().mode(mode()).create(dir)?;
            let lock = open(&dir.join(LOCK))?;
            let lock = Flock::lock(lock, FlockArg::LockExclusiveNonblock)
                .map_err(|(_, errno)| io::Error::from(errno))?;
            Ok((lock, open(&dir.join(JOURNAL))?))
        })();
        match made {
            Ok((lock, journal)) => {
                Ok(State { dir: dir.to_owned(), journal, undos: Vec::new(), _lock: lock })
            }
            Err(source) => {
                let _ = remove_state(dir);
                Err(Error::Io {
                    doing: format!("make the state directory `{}`", dir.display()),
                    source,
                })
            }
        }
    }

    /// Writes down how to take away what is about to be put on the host.
    ///
    /// # Errors
    /// When the journal cannot be written; then nothing may be put anywhere.
    pub fn record(&mut self, undo: &Undo) -> Result<(), Error> {
        let line = serde_json::to_string(undo).map_err(Error::io("describe an undo"))?;
        writeln!(self.journal, "{line}").map_err(Error::io("write the journal"))?;
        self.undos.push(undo.clone());
        Ok(())
    }

    /// Writes down what `sandbox ps` shows.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn label(&self, label: &Label, pid: Pid) -> Result<(), Error> {
        let started = process::started(pid.as_raw());
        let label = Label { pid: pid.as_raw(), started, ..label.clone() };
        let json = serde_json::to_vec(&label).map_err(Error::io("describe the sandbox"))?;
        let written = open(&self.dir.join(LABEL)).and_then(|mut file| file.write_all(&json));
        written.map_err(Error::io("describe the sandbox in its state directory"))
    }

    /// Takes everything away again, the newest first, and the state itself.
    ///
    /// # Errors
    /// The first thing that would not go; the journal stays then, for `sandbox clean`.
    pub fn undo(self) -> Result<(), Error> {
        undo_all(&self.undos)?;
        remove_state(&self.dir)
    }
}

/// Draws a name for everything that one sandbox puts on the host.
pub fn new_id() -> String {
    let mut bytes = [0; 4];
    // A kernel that has only just begun may make us wait, and a signal may end that.
    while getrandom(&mut bytes, GetRandomFlags::empty()) != Ok(bytes.len()) {}
    format!("{:08x}", u32::from_ne_bytes(bytes))
}

/// Whether a new sandbox can have this name: a word, and no other's.
///
/// # Errors
/// When it cannot.
pub fn check_name(base: &Path, name: &str) -> Result<(), Error> {
    let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || name.len() > 32 || name.starts_with('-') || !name.chars().all(letter) {
        return Err(Error::usage(
            format!("`{name}` cannot be a name"),
            "use 1 to 32 of a-z, 0-9 and -",
        ));
    }
    if living(base)?.iter().any(|(known, _)| known == name) {
        return Err(Error::usage(
            format!("a sandbox `{name}` runs already"),
            "choose another name; `sandbox ps` lists them",
        ));
    }
    Ok(())
}

/// The sandboxes under `base` that run, by name.
///
/// # Errors
/// When `base` cannot be read.
pub fn living(base: &Path) -> Result<Vec<(String, Label)>, Error> {
    let mut found = Vec::new();
    for dir in directories(base)?.iter().filter(|dir| is_alive(dir)) {
        let label = fs::read(dir.join(LABEL)).ok();
        let label = label.and_then(|bytes| serde_json::from_slice::<Label>(&bytes).ok());
        found.extend(label.map(|label| (name_of(dir), label)));
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(found)
}

/// The label of the sandbox of this name under `base`, which runs.
///
/// # Errors
/// When there is none.
pub fn running(base: &Path, name: &str) -> Result<Label, Error> {
    let found = living(base)?.into_iter().find(|(known, _)| known == name);
    match found {
        Some((_, label)) => Ok(label),
        None => Err(Error::usage(
            format!("no sandbox `{name}` of yours runs"),
            "`sandbox ps` lists those that do",
        )),
    }
}

/// Takes away what the sandboxes under `base` left whose processes are dead. Returns their names.
///
/// # Errors
/// The first thing that would not go. Others are taken away all the same.
pub fn sweep(base: &Path) -> Result<Vec<String>, Error> {
    let (names, error) = each_dead(base, &|dir| {
        undo_all(&read_journal(dir)?)?;
        remove_state(dir)
    })?;
    match error {
        Some(error) => Err(error),
        None => Ok(names),
    }
}

/// The names of the dead sandboxes under `base`, without touching anything.
///
/// # Errors
/// When `base` cannot be read.
pub fn dead(base: &Path) -> Result<Vec<String>, Error> {
    each_dead(base, &|_| Ok(())).map(|(names, _)| names)
}

type Outcome = (Vec<String>, Option<Error>);

fn each_dead(base: &Path, act: &dyn Fn(&Path) -> Result<(), Error>) -> Result<Outcome, Error> {
    if !base.exists() {
        return Ok((Vec::new(), None));
    }
    let _guard = lock_base(base)?;
    let (mut names, mut failure) = (Vec::new(), None);
    for dir in directories(base)?.iter().filter(|dir| !is_alive(dir)) {
        match act(dir) {
            Ok(()) => names.push(name_of(dir)),
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    names.sort();
    Ok((names, failure))
}

fn directories(base: &Path) -> Result<Vec<PathBuf>, Error> {
    let doing = format!("read `{}`", base.display());
    let entries = match fs::read_dir(base) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(Error::io(doing))?,
    };
    Ok(entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect())
}

fn name_of(dir: &Path) -> String {
    dir.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn is_alive(dir: &Path) -> bool {
    let Ok(lock) = OpenOptions::new().read(true).open(dir.join(LOCK)) else { return false };
    Flock::lock(lock, FlockArg::LockExclusiveNonblock).is_err()
}

// ANCHOR: undo
fn undo_all(undos: &[Undo]) -> Result<(), Error> {
    for undo in undos.iter().rev() {
        let (path, removed) = match undo {
            Undo::Rmdir(path) => (path, fs::remove_dir(path)),
            Undo::Tree(path) => (path, remove(path)),
            Undo::Unlink(path) => (path, fs::remove_file(path)),
            Undo::Cgroup(path) => (path, cgroups::remove(path)),
        };
        match removed {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(Error::Undo { path: path.clone(), source: error });
            }
            _ => {}
        }
    }
    Ok(())
}
// ANCHOR_END: undo

/// A line that a kill cut short stands for something that was never made.
fn read_journal(dir: &Path) -> Result<Vec<Undo>, Error> {
    let journal = match File::open(dir.join(JOURNAL)) {
        Ok(journal) => journal,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io("read a journal")(error)),
    };
    let lines = BufReader::new(journal).lines().map_while(Result::ok);
    Ok(lines.filter_map(|line| serde_json::from_str(&line).ok()).collect())
}

/// Removes what is ours; all else in the directory the journal has named.
fn remove_state(dir: &Path) -> Result<(), Error> {
    for file in [LABEL, JOURNAL, LOCK] {
        let _ = fs::remove_file(dir.join(file));
    }
    match fs::remove_dir(dir) {
        // Without its lock it was dead to somebody who swept just now.
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(|source| Error::Undo { path: dir.to_owned(), source }),
    }
}

/// Removes a tree, but nothing that is mounted in it. On a disk that is only read, what was never made
/// is no error.
fn remove(tree: &Path) -> io::Result<()> {
    fs::symlink_metadata(tree)?;
    rootfs_fetch::remove(tree).map_err(io::Error::other)
}

/// Root's state may be walked through, for the processes that leave root behind; a user's is
/// nobody else's business.
fn mode() -> u32 {
    if nix::unistd::geteuid().is_root() { 0o711 } else { 0o700 }
}

fn open(file: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)
}

/// Makes `base` if need be, and keeps everybody else from making or sweeping state in it.
fn lock_base(base: &Path) -> Result<Flock<File>, Error> {
    let doing = || format!("use the state directory `{}`", base.display());
    let made = DirBuilder::new().recursive(true).mode(mode()).create(base);
    made.map_err(Error::io(doing()))?;
    let about = fs::symlink_metadata(base).map_err(Error::io(doing()))?;
    let uid = nix::unistd::geteuid().as_raw();
    if !about.is_dir() || about.uid() != uid || about.mode() & 0o022 != 0 {
        return Err(Error::Usage {
            problem: format!("`{}` is not a private directory of user {uid}", base.display()),
            hint: "somebody else made it: remove it, or set XDG_RUNTIME_DIR".to_owned(),
        });
    }
    let dir = File::open(base).map_err(Error::io(doing()))?;
    Flock::lock(dir, FlockArg::LockExclusive).map_err(|(_, errno)| Error::io(doing())(errno))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_dead_sandbox_left_is_swept_and_what_lives_is_not() {
        let base = tempfile::tempdir().unwrap();
        let leave = |name: &str| {
            let dir = base.path().join(name);
            let mut state = State::create(&dir).unwrap();
            state.record(&Undo::Rmdir(dir.join("root"))).unwrap();
            fs::create_dir(dir.join("root")).unwrap();
            state
        };
        let living = leave("living");
        drop(leave("dead"));
        assert_eq!(dead(base.path()).unwrap(), ["dead"]);
        assert_eq!(sweep(base.path()).unwrap(), ["dead"]);
        assert!(base.path().join("living/root").exists());
        assert!(!base.path().join("dead").exists());
        living.undo().unwrap();
        assert_eq!(fs::read_dir(base.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_journal_whose_last_line_was_cut_off_is_read_up_to_there() {
        let base = tempfile::tempdir().unwrap();
        let dir = base.path().join("cut");
        let mut state = State::create(&dir).unwrap();
        state.record(&Undo::Rmdir(dir.join("root"))).unwrap();
        write!(state.journal, "{{\"rmdir\":\"/ho").unwrap();
        drop(state);
        assert_eq!(sweep(base.path()).unwrap(), ["cut"]);
    }
}
