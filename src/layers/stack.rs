//! The layers of one sandbox, and where they are.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// Beside the layers of a sandbox: what they lie on, topmost first, a line each.
const BELOW: &str = "below";

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
        self.dir.join("upper")
    }

    /// Where the kernel prepares changes.
    pub fn work(&self) -> PathBuf {
        self.dir.join("work")
    }

    /// The files that every container has for itself.
    pub fn init(&self) -> PathBuf {
        self.dir.join("init")
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
