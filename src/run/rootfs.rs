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
    let (path, layers) = find(root, dry, notes)?;
    if !layers.is_empty() && !spec.has(OVERLAY) {
        return Err(is_layered(root));
    }
    spec.rootfs = path;
    Ok(layers)
}

/// The directory of a rootfs that is not made of layers.
///
/// # Errors
/// When there is no such rootfs, it cannot be made, or it is made of layers.
pub fn directory(root: &Root, dry: bool, notes: &mut Vec<String>) -> Result<PathBuf, Error> {
    let (path, layers) = find(root, dry, notes)?;
    if layers.is_empty() { Ok(path) } else { Err(is_layered(root)) }
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

/// The directory, and the layers over it, topmost first.
fn find(root: &Root, dry: bool, notes: &mut Vec<String>) -> Result<(PathBuf, Vec<PathBuf>), Error> {
    let named = match root {
        Root::At(path) => return Ok((path.clone(), Vec::new())),
        Root::Named(named) => named.clone(),
        Root::Default => Store::DEFAULT.into(),
    };
    if named.as_bytes().contains(&b'/') || named == "." {
        return Ok((this_directory(Path::new(&named))?, Vec::new()));
    }
    let store = Store::open(None)?;
    let name = named.to_string_lossy();
    if let Some(rootfs) = store.get(&name)? {
        return Ok((rootfs.path, rootfs.layers));
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
        return Ok((store.path_of(&name)?, Vec::new()));
    }
    Ok((store.provide(&Progress::stderr())?.path, Vec::new()))
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
