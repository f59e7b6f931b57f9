//! Which parts of which lessons somebody has been through, kept in the user's state directory.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::path::PathBuf;

/// The parts that were gone through, by lesson.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    done: BTreeMap<String, BTreeSet<String>>,
    file: Option<PathBuf>,
}

impl Progress {
    /// What was kept. Nothing, where there is no place to keep it.
    pub fn read() -> Progress {
        let Some(file) = file() else { return Progress::default() };
        let done = fs::read(&file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Progress { done: done.unwrap_or_default(), file: Some(file) }
    }

    /// Whether a part was gone through.
    pub fn has(&self, lesson: &str, part: &str) -> bool {
        self.done.get(lesson).is_some_and(|parts| parts.contains(part))
    }

    /// Keeps that a part was gone through. A lesson is not worth less where that cannot be written.
    pub fn add(&mut self, lesson: &str, part: &str) {
        if !self.done.entry(lesson.to_owned()).or_default().insert(part.to_owned()) {
            return;
        }
        let (Some(file), Ok(json)) = (&self.file, serde_json::to_vec(&self.done)) else { return };
        let dir = file.with_file_name("");
        let written = fs::create_dir_all(dir).and_then(|()| {
            let new = file.with_extension("new");
            fs::write(&new, json)?;
            fs::rename(new, file)
        });
        drop(written);
    }
}

/// `$XDG_STATE_HOME/sandbox/progress.json`, else below `~/.local/state`.
fn file() -> Option<PathBuf> {
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|dir| dir.is_absolute());
    let state =
        absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))?;
    Some(state.join("sandbox/progress.json"))
}
