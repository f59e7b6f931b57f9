//! Layers that are kept under a name, for a later run to go on with.
//!
//! A kept layer is made under the id of its run, and gets its name when it has become a root: so what
//! has a name is whole, and what has none the journal takes away.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

use super::stack::{KEPT, Layers, base};
use crate::error::Error;

/// The layers that were, or will be, kept under this name in `base`.
///
/// # Errors
/// A name that cannot be one.
pub fn named(base: &Path, name: &str) -> Result<Layers, Error> {
    let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || name.len() > 32 || name.starts_with('-') || !name.chars().all(letter) {
        return Err(Error::usage(
            format!("`{name}` cannot be a name"),
            "use 1 to 32 of a-z, 0-9 and -",
        ));
    }
    let dir = base.join(format!("{KEPT}{name}"));
    let found = dir.exists();
    Ok(Layers { dir, found, ..Layers::default() })
}

/// The layers that are kept under this name, whether they are whole or not.
///
/// # Errors
/// When nothing is kept under it.
pub fn there(name: &str) -> Result<Layers, Error> {
    let layers = named(&base()?, name)?;
    if layers.found {
        return Ok(layers);
    }
    Err(Error::usage(
        format!("nothing was kept as `{name}`"),
        "`sandbox run --level union --keep NAME -- …` keeps what it writes",
    ))
}

/// The layers that are kept under this name, and those that they lie on, topmost first, the init
/// layer among them.
///
/// # Errors
/// When nothing is kept under it.
pub fn find(name: &str) -> Result<(Layers, Vec<PathBuf>), Error> {
    let layers = there(name)?;
    let lowers = [vec![layers.init()], lies_on(&layers)?].concat();
    Ok((layers, lowers))
}

/// The layers that a kept one lies on, topmost first, without the init layer.
///
/// # Errors
/// When it cannot be read what these are.
pub fn lies_on(layers: &Layers) -> Result<Vec<PathBuf>, Error> {
    let bytes = match fs::read(layers.below()) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(Error::io("read what the layer lies on")(error)),
    };
    if bytes.is_empty() {
        return Err(Error::usage(
            format!("the layer in `{}` is not whole", layers.dir.display()),
            "`sandbox layers NAME --remove` takes it away",
        ));
    }
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    Ok(lines.map(|line| PathBuf::from(std::ffi::OsStr::from_bytes(line))).collect())
}

/// The names of all that is kept, sorted.
///
/// # Errors
/// When this user has no place for data.
pub fn names() -> Result<Vec<String>, Error> {
    let entries = fs::read_dir(base()?).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> =
        names.filter_map(|name| Some(name.strip_prefix(KEPT)?.to_owned())).collect();
    names.sort();
    Ok(names)
}

/// The right to write the layer, which nobody else has meanwhile.
///
/// # Errors
/// When another sandbox is writing it.
pub fn hold(layers: &Layers, name: &str) -> Result<Flock<File>, Error> {
    let file = File::open(layers.below()).map_err(Error::io("open the kept layer"))?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock)
        .map_err(|_| Error::usage(format!("another sandbox is writing `{name}`"), BUSY))
}

/// What to do when another sandbox writes the layer.
pub const BUSY: &str = "wait until it ends, or keep this one under another name";
