//! The layers of one sandbox, and where they are.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// What is in the directory of a sandbox: its layers, and what they lie on, topmost first, a line each.
const UPPER: &str = "upper";
const WORK: &str = "work";
const INIT: &str = "init";
const BELOW: &str = "below";

/// How the names of these directories begin: of those that go with their run, and of those that stay.
const RUN: &str = "run-";
pub(super) const KEPT: &str = "kept-";

/// How a container gets its own view of a shared root.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Driver {
    /// overlayfs lays a writable directory over the others
    #[default]
    Overlay,
    /// A copy of all of it
    Vfs,
}

/// The layers of one sandbox.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layers {
    /// How they become one.
    pub driver: Driver,
    /// The read-only layers above the rootfs, topmost first.
    pub lowers: Vec<PathBuf>,
    /// The directory for the writable layer and what belongs to it.
    pub dir: PathBuf,
    /// The name that directory gets once it is known to serve, to stay when the sandbox ends.
    pub keep_as: Option<PathBuf>,
    /// Whether it is there already, from an earlier run.
    pub found: bool,
    /// Whether it is in memory, as the disk below cannot serve.
    pub in_memory: bool,
}

impl Layers {
    /// What the sandbox changes.
    pub fn upper(&self) -> PathBuf {
        self.dir.join(UPPER)
    }

    /// Where the kernel prepares changes.
    pub fn work(&self) -> PathBuf {
        self.dir.join(WORK)
    }

    /// The files that every container has for itself.
    pub fn init(&self) -> PathBuf {
        self.dir.join(INIT)
    }

    /// Where it is written what the layers lie on.
    pub fn below(&self) -> PathBuf {
        self.dir.join(BELOW)
    }

    /// How overlayfs is told which directories these are: `lowerdir=TOP:…,upperdir=…,workdir=…`
    pub fn options(&self, lowers: &[&Path]) -> OsString {
        let mut text = b"lowerdir=".to_vec();
        for (i, lower) in lowers.iter().enumerate() {
            if i > 0 {
                text.push(b':');
            }
            text.extend(escaped(lower, b"\\:,"));
        }
        for (name, dir) in [("upperdir", self.upper()), ("workdir", self.work())] {
            text.extend(format!(",{name}=").into_bytes());
            text.extend(escaped(&dir, b"\\,"));
        }
        OsString::from_vec(text)
    }
}

/// The directory for the layers of a run, which no kept ones have.
pub fn of_run(base: &Path, id: &str) -> PathBuf {
    base.join(format!("{RUN}{id}"))
}

/// Whether a sandbox of this name can have made this directory for its layers: by its name, and by what
/// is in it, if it is there. A removal that was stopped may have begun with it.
pub fn is_of(dir: &Path, id: &str) -> bool {
    let ours = |name: &str| {
        let begins = [RUN, KEPT, ".removed-"].iter().any(|prefix| name.starts_with(prefix));
        begins || [UPPER, WORK, INIT, BELOW].contains(&name)
    };
    let only_ours = || {
        let names =
            fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.file_name());
        names.into_iter().all(|name| name.to_str().is_some_and(ours))
    };
    let named = dir.file_name() == Some(OsStr::new(&format!("{RUN}{id}")));
    let is_dir = || fs::symlink_metadata(dir).is_ok_and(|about| about.is_dir());
    named && (fs::symlink_metadata(dir).is_err() || is_dir() && only_ours())
}

/// The directory for all layers: beside the root filesystems.
///
/// # Errors
/// When this user has no place for data.
pub fn base() -> Result<PathBuf, Error> {
    let store = rootfs_fetch::Store::open(None)?;
    Ok(store.dir().with_file_name("layers"))
}

/// A path in which characters that mean something to overlayfs are marked as plain.
fn escaped(path: &Path, special: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for byte in path.as_os_str().as_bytes() {
        if special.contains(byte) {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out
}
