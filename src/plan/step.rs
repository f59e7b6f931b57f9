//! A step: one system call, and why it is made.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::syscall::Syscall;

/// The name of a stage: its file in `src/stages/`, its value on the command line, its book page.
pub type StageName = &'static str;

// ANCHOR: step
/// One system call, why it is made, and what takes its effect off the host again.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The call.
    pub call: Syscall,
    /// Why, in a sentence without a full stop: the text that students read.
    pub why: &'static str,
    /// How the host is rid of it; only what a stage prepares on the host needs one.
    pub undo: Option<Undo>,
    /// Whether `--forget` may leave it out, to show what it is for.
    pub forgettable: bool,
    /// Whether the parent makes it, for a child that is there already and waits meanwhile.
    pub by_parent: bool,
    /// Whether only trying tells that this machine can do it, and the stage has another way.
    pub doubtful: bool,
}
// ANCHOR_END: step

/// What can be undone, as the journal keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Undo {
    /// Remove this empty directory.
    Rmdir(#[serde(with = "any_path")] PathBuf),
    /// Remove this directory with all that is in it.
    Tree(#[serde(with = "any_path")] PathBuf),
    /// Remove this file.
    Unlink(#[serde(with = "any_path")] PathBuf),
    /// End what is in this cgroup and remove it.
    Cgroup(#[serde(with = "any_path")] PathBuf),
}

/// A path as text, or as a list of bytes where it is none.
mod any_path {
    use std::ffi::OsString;
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    use std::path::{Path, PathBuf};

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Text(PathBuf),
        Bytes(Vec<u8>),
    }

    pub(super) fn serialize<S: Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
        match path.to_str() {
            Some(text) => text.serialize(to),
            None => path.as_os_str().as_bytes().serialize(to),
        }
    }

    pub(super) fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<PathBuf, D::Error> {
        Ok(match Written::deserialize(from)? {
            Written::Text(path) => path,
            Written::Bytes(bytes) => OsString::from_vec(bytes).into(),
        })
    }
}

/// Every call can become a step.
pub trait Because {
    /// Makes a step of a call by saying why it is made.
    fn because(self, why: &'static str) -> Step;
}

impl<C: Into<Syscall>> Because for C {
    fn because(self, why: &'static str) -> Step {
        Step {
            call: self.into(),
            why,
            undo: None,
            forgettable: false,
            by_parent: false,
            doubtful: false,
        }
    }
}

impl Step {
    /// Says what takes the step's effect away.
    pub fn undone_by(self, undo: Undo) -> Step {
        Step { undo: Some(undo), ..self }
    }

    /// Lets `--forget` leave the step out. Only for steps whose absence harms nobody but the
    /// sandbox itself.
    pub fn forgettable(self) -> Step {
        Step { forgettable: true, ..self }
    }

    /// Says that the stage has another way, should the kernel refuse it.
    pub fn doubtful(self) -> Step {
        Step { doubtful: true, ..self }
    }

    /// Lets the parent make the call, for the child.
    pub fn by_parent(self) -> Step {
        Step { by_parent: true, ..self }
    }
}
