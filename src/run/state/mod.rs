//! What sandboxes put on the host: a directory each, with a lock and a journal.
//!
//! The journal is written before anything is put anywhere. The lock is held for as long as the
//! process that waits for the sandbox lives, and the kernel lets go of it when that process dies in
//! whatever way; its children die with it. So a directory whose lock can be taken belongs to
//! nobody, and its journal says what to take away.

mod place;
mod undo;

use std::fs::File;
use std::io::{ErrorKind, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use nix::unistd::Pid;
use rustix::rand::{GetRandomFlags, getrandom};
use serde::{Deserialize, Serialize};

use crate::cgroups;
use crate::error::Error;
use crate::machine::process;
use crate::plan::step::Undo;
use place::{Base, JOURNAL, LABEL, Place};

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
    base: PathBuf,
    place: Place,
    journal: File,
    undos: Vec<Undo>,
    /// Let go of when it is closed everywhere: by us, for no child of ours keeps it.
    _lock: File,
}
// ANCHOR_END: state

impl State {
    /// Makes the directory `dir`, and the one above it, and takes the lock.
    ///
    /// # Errors
    /// When another sandbox has the name, it cannot be made, or the one above it is not to be
    /// believed.
    pub fn create(dir: &Path) -> Result<State, Error> {
        let path = dir.parent().unwrap_or(Path::new("/"));
        let name = dir.file_name().unwrap_or_default().to_string_lossy();
        let making = || Error::io(format!("make the state directory `{}`", dir.display()));
        let base = Base::hold(path)?;
        let place = match base.make(&name) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(taken(&name)),
            place => place.map_err(making())?,
        };
        let begin = || Ok((place.hold()?, place.create(JOURNAL)?));
        match begin() {
            Ok((lock, journal)) => {
                Ok(State { base: path.to_owned(), place, journal, undos: Vec::new(), _lock: lock })
            }
            Err(error) => {
                place.empty();
                let _ = base.remove(&place.name);
                Err(making()(error))
            }
        }
    }

    /// Writes down how to take away what is about to be put on the host.
    ///
    /// # Errors
    /// When the journal cannot be written; then nothing may be put anywhere.
    pub fn record(&mut self, undo: &Undo) -> Result<(), Error> {
        let line = serde_json::to_string(undo).map_err(Error::io("describe an undo"))?;
        self.journal
            .write_all(format!("{line}\n").as_bytes())
            .map_err(Error::io("write the journal"))?;
        self.undos.push(undo.clone());
        Ok(())
    }

    /// Forgets what was written down last: nothing was put there, so what is there is another's.
    pub(super) fn forget_last(&mut self) {
        self.undos.pop();
        let lines = self.undos.iter().filter_map(|undo| serde_json::to_string(undo).ok());
        let text: String = lines.map(|line| format!("{line}\n")).collect();
        let cut = self.journal.set_len(text.len() as u64);
        let _ = cut.and_then(|()| self.journal.seek(SeekFrom::End(0)));
    }

    /// Writes down what `sandbox ps` shows.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn label(&self, label: &Label, pid: Pid) -> Result<(), Error> {
        let started = process::started(pid.as_raw());
        let label = Label { pid: pid.as_raw(), started, ..label.clone() };
        let json = serde_json::to_vec(&label).map_err(Error::io("describe the sandbox"))?;
        let written = self.place.create(LABEL).and_then(|mut file| file.write_all(&json));
        written.map_err(Error::io("describe the sandbox in its state directory"))
    }

    /// Takes everything away again, the newest first, and the state itself.
    ///
    /// # Errors
    /// The first thing that would not go; the journal stays then, for `sandbox clean`.
    pub fn undo(self) -> Result<(), Error> {
        undo::all(&self.undos)?;
        // Nobody else may take the name while this goes.
        remove(&Base::hold(&self.base)?, &self.place)
    }
}

fn remove(base: &Base, place: &Place) -> Result<(), Error> {
    place.empty();
    let path = || place.path.clone();
    base.remove(&place.name).map_err(|source| Error::Undo { path: path(), source })
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
    if !place::is_name(name) {
        return Err(Error::usage(
            format!("`{name}` cannot be a name"),
            "use 1 to 32 of a-z, 0-9 and -",
        ));
    }
    if living(base)?.iter().any(|(known, _)| known == name) {
        return Err(taken(name));
    }
    Ok(())
}

fn taken(name: &str) -> Error {
    Error::usage(
        format!("a sandbox `{name}` runs already, or has left something that is not gone yet"),
        "choose another name; `sandbox ps` lists those that run, and `sandbox clean` takes away what \
         others left",
    )
}

/// The sandboxes under `base` that run, by name. What is not to be believed is none.
///
/// # Errors
/// When `base` cannot be read, or is not to be believed.
pub fn living(base: &Path) -> Result<Vec<(String, Label)>, Error> {
    let Some(base) = Base::find(base)? else { return Ok(Vec::new()) };
    let label = |name: &String| {
        let place = base.place(name).ok()?;
        let alive = place.is_alive().unwrap_or(false);
        let label = label_in(&place)?;
        alive.then(|| (name.clone(), label))
    };
    Ok(base.names()?.iter().filter_map(label).collect())
}

fn label_in(place: &Place) -> Option<Label> {
    let mut label: Label = serde_json::from_slice(&place.read(LABEL).ok()?).ok()?;
    label.cgroups.retain(|dir| cgroups::is_of(dir, &place.name));
    Some(label)
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

/// What became of what dead sandboxes left.
#[derive(Debug, Default)]
pub struct Swept {
    /// The names of those of whom nothing is left.
    pub removed: Vec<String>,
    /// The names of the others, and why.
    pub stayed: Vec<(String, Error)>,
}

/// Takes away what the sandboxes under `base` left whose processes are dead.
///
/// # Errors
/// When `base` cannot be used. What would not go is no error: it keeps nobody from going on.
pub fn sweep(base: &Path) -> Result<Swept, Error> {
    each_dead(base, &|base, place| {
        let reading = format!("read the journal in `{}`", place.path.display());
        let (undos, strange) = undo::journal(place).map_err(Error::io(reading))?;
        // A command can see to it that it does not die with its parent.
        if let Some(Label { pid, started, .. }) = label_in(place) {
            process::end(pid, started);
        }
        undo::all(&undos)?;
        remove(base, place)?;
        match strange {
            None => Ok(()),
            Some(line) => Err(Error::not_here(
                format!(
                    "its journal says what no sandbox of that name would, and is not obeyed: {line}"
                ),
                "somebody else wrote it: what it names is as it was, and the journal is gone",
            )),
        }
    })
}

/// What the journal of a sandbox of this name, with its state in `dir`, has us take away, and what it says
/// that is not obeyed.
#[cfg(fuzzing)]
pub fn obeyed(journal: &[u8], dir: &Path, name: &str) -> (Vec<Undo>, Option<String>) {
    undo::lines(journal, dir, name)
}

/// What there is to take away, and what would not go, without touching anything.
///
/// # Errors
/// When `base` cannot be used.
pub fn dead(base: &Path) -> Result<Swept, Error> {
    each_dead(base, &|_, _| Ok(()))
}

fn each_dead(
    path: &Path,
    act: &dyn Fn(&Base, &Place) -> Result<(), Error>,
) -> Result<Swept, Error> {
    let mut swept = Swept::default();
    if Base::find(path)?.is_none() {
        return Ok(swept);
    }
    let base = Base::hold(path)?;
    for name in base.names()? {
        let looking = || Error::io(format!("believe `{}`", path.join(&name).display()));
        let done = match base.place(&name) {
            // It is no directory, and so none of ours.
            Err(error) if error.kind() == ErrorKind::NotADirectory => continue,
            Err(error) => Err(looking()(error)),
            Ok(place) => match place.is_alive() {
                Ok(true) => continue,
                Ok(false) => act(&base, &place),
                Err(error) => Err(looking()(error)),
            },
        };
        match done {
            Ok(()) => swept.removed.push(name),
            Err(error) => swept.stayed.push((name, error)),
        }
    }
    Ok(swept)
}

#[cfg(test)]
mod tests {
    use std::fs;

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
        assert_eq!(dead(base.path()).unwrap().removed, ["dead"]);
        assert_eq!(sweep(base.path()).unwrap().removed, ["dead"]);
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
        assert_eq!(sweep(base.path()).unwrap().removed, ["cut"]);
    }
}
