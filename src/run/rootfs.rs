//! Which rootfs is meant, and making one when there is none.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rootfs_fetch::{Progress, Store};

use crate::error::Error;
use crate::stages::names::OVERLAY;
use crate::stages::spec::Spec;

/// Which rootfs is meant.
#[derive(Clone, Debug, Default)]
pub enum Root {
    /// The one that is used when none is asked for. It is made when it is not there.
    #[default]
    Default,
    /// The one of this name, or in this directory, which then has a slash in it.
    Named(OsString),
    /// This directory.
    At(PathBuf),
}

impl From<Option<OsString>> for Root {
    fn from(named: Option<OsString>) -> Root {
        named.map_or(Root::Default, Root::Named)
    }
}

/// Provides the rootfs for these stages, if they need one. Returns the layers over it, topmost first.
pub(super) fn provide(
    root: &Root,
    spec: &mut Spec,
    dry: bool,
    notes: &mut Vec<String>,
) -> Result<Vec<PathBuf>, Error> {
    if !spec.uses_rootfs() {
        spec.rootfs = PathBuf::from("/");
        return Ok(Vec::new());
    }
    let found = find(root, dry, notes)?;
    if !found.layers.is_empty() && !spec.has(OVERLAY) {
        return Err(is_layered(root));
    }
    spec.rootfs = found.path;
    spec.shared = found.stored;
    // Who takes a directory as it is, to compare two sides, adds no step of ours to either.
    spec.no_suid = !matches!(root, Root::At(_)) && !spec.host.machine_root();
    Ok(found.layers)
}

/// The directory of a rootfs that is not made of layers.
///
/// # Errors
/// When there is no such rootfs, it cannot be made, or it is made of layers.
pub fn directory(root: &Root, dry: bool, notes: &mut Vec<String>) -> Result<PathBuf, Error> {
    let found = find(root, dry, notes)?;
    if found.layers.is_empty() { Ok(found.path) } else { Err(is_layered(root)) }
}

fn is_layered(root: &Root) -> Error {
    let name = match root {
        Root::Default => Store::DEFAULT.into(),
        Root::Named(name) => name.to_string_lossy().into_owned(),
        Root::At(path) => path.display().to_string(),
    };
    Error::usage(
        format!("`{name}` is made of layers"),
        "only the stage `overlay` can put them together: `--level union`, or `--with overlay`",
    )
}

/// A rootfs that is there.
struct Found {
    path: PathBuf,
    /// The layers over it, topmost first.
    layers: Vec<PathBuf>,
    /// Whether it is one of the store's.
    stored: bool,
}

fn find(root: &Root, dry: bool, notes: &mut Vec<String>) -> Result<Found, Error> {
    let directory = |path| Found { path, layers: Vec::new(), stored: false };
    let named = match root {
        Root::At(path) => return Ok(directory(path.clone())),
        Root::Named(named) => named.clone(),
        Root::Default => Store::DEFAULT.into(),
    };
    if named.as_bytes().contains(&b'/') || named == "." {
        return Ok(directory(this_directory(Path::new(&named))?));
    }
    let store = Store::open(None)?;
    if !dry {
        store.close();
    }
    let name = named.to_string_lossy();
    let stored = |path, layers| Found { path, layers, stored: true };
    if let Some(rootfs) = store.get(&name)? {
        return Ok(stored(rootfs.path, rootfs.layers));
    }
    if name != Store::DEFAULT {
        return Err(Error::usage(
            format!("there is no rootfs `{name}`"),
            "see `sandbox rootfs list`; a directory is written with a slash: `./DIR`",
        ));
    }
    if dry {
        notes.push(format!(
            "not done in a dry run: there is no rootfs `{name}` yet, and one is made"
        ));
        return Ok(stored(store.path_of(&name)?, Vec::new()));
    }
    Ok(stored(store.provide(&Progress::stderr())?.path, Vec::new()))
}

fn this_directory(named: &Path) -> Result<PathBuf, Error> {
    let doing = format!("use `{}` as a rootfs", named.display());
    let dir = fs::canonicalize(named).map_err(Error::io(doing))?;
    if dir.is_dir() {
        return Ok(dir);
    }
    Err(Error::usage(
        format!("`{}` is not a directory", dir.display()),
        "unpack an archive with `sandbox rootfs import FILE NAME`",
    ))
}
