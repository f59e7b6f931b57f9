//! Where root filesystems are kept. Each has a directory with two things in it: `rootfs`, the tree,
//! and `about.json`, which says where it came from. One that is a layer over another has `layer`
//! in place of `rootfs`, and `layer.tar`, the same as an archive.
//!
//! What is in this file only reads. What changes the store goes by way of [`change`].

mod bundle;
mod change;
mod commit;
pub(crate) mod fetch;
mod import;
mod remove;
pub(crate) mod verify;

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::archive::limits::Limits;
use crate::error::Error;
use crate::user;

/// The most layers that lie on one another; overlayfs takes no more.
const MAX_LAYERS: usize = 500;

/// Where root filesystems are kept.
pub struct Store {
    dir: PathBuf,
    /// The directories that are for nobody else.
    private: Vec<PathBuf>,
    limits: Limits,
}

/// A rootfs in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rootfs {
    /// Its name.
    pub name: String,
    /// The directory that becomes `/`.
    pub path: PathBuf,
    /// Where it came from, in words.
    pub source: String,
    /// The name of the rootfs that it is a layer over.
    pub base: Option<String>,
    /// Its layers above `path`, topmost first; none when it is a whole tree.
    pub layers: Vec<PathBuf>,
}

/// What stands in the store under a name.
#[derive(Debug)]
pub struct Listed {
    /// The name.
    pub name: String,
    /// The rootfs, or why it is broken.
    pub found: Result<Rootfs, Error>,
}

/// What `about.json` says.
#[derive(Serialize, Deserialize)]
struct About {
    source: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base: Option<String>,
}

impl Store {
    /// The name of the rootfs that is made when none is asked for.
    pub const DEFAULT: &str = "busybox";

    /// The store in `dir`, or in the user's data directory. Nothing is made there, and nothing is
    /// looked at: whoever puts something in makes the directory.
    ///
    /// # Errors
    /// When the environment does not say where that is.
    pub fn open(dir: Option<PathBuf>) -> Result<Store, Error> {
        let (dir, private) = match dir {
            Some(dir) => (dir.clone(), vec![dir]),
            None => {
                let dir = user::data_dir()?;
                let private = user::private(&dir);
                (dir, private)
            }
        };
        Ok(Store { dir, private, limits: Limits::default() })
    }

    /// The same store, with other limits on what is unpacked.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Store {
        Store { limits, ..self }
    }

    /// Where it is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Lets nobody else in, where somebody could come in until now.
    pub fn close(&self) {
        user::close(&self.private);
    }

    /// The rootfs of this name. Only reads, whether it is there or not.
    ///
    /// # Errors
    /// When the name cannot be one, or when it is a layer over one that is not there any more.
    pub fn get(&self, name: &str) -> Result<Option<Rootfs>, Error> {
        check_name(name)?;
        let dir = self.dir.join(name);
        let about = self.about(name);
        let source = about.source;
        if dir.join("rootfs").is_dir() {
            let (name, path) = (name.to_owned(), dir.join("rootfs"));
            return Ok(Some(Rootfs { name, path, source, base: None, layers: Vec::new() }));
        }
        let layer = dir.join("layer");
        let Some(base) = about.base.filter(|_| layer.is_dir()) else { return Ok(None) };
        if self.depth(name) == MAX_LAYERS {
            let problem = format!("`{name}` lies on layers that lie on one another without end");
            return Err(Error::Unfit { problem, hint: None });
        }
        let below = self.get(&base)?.ok_or_else(|| Error::Unfit {
            problem: format!("`{name}` is a layer over `{base}`, which is not there any more"),
            hint: Some(
                "remove it with `sandbox rootfs remove`, or fetch the other again".to_owned(),
            ),
        })?;
        let name = name.to_owned();
        let layers = [vec![layer], below.layers].concat();
        Ok(Some(Rootfs { name, path: below.path, source, base: Some(base), layers }))
    }

    /// What is written down about a rootfs.
    fn about(&self, name: &str) -> About {
        let bytes = fs::read(self.dir.join(name).join("about.json")).ok();
        let about = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        about.unwrap_or(About { source: "unknown".to_owned(), base: None })
    }

    /// Over how many others a rootfs lies, whether these are there or not.
    pub fn depth(&self, name: &str) -> usize {
        let bases = std::iter::successors(self.about(name).base, |base| self.about(base).base);
        bases.take(MAX_LAYERS).count()
    }

    /// Whether there is a rootfs of this name, be it broken.
    ///
    /// # Errors
    /// When the name cannot be one.
    pub fn has(&self, name: &str) -> Result<bool, Error> {
        check_name(name)?;
        Ok(self.dir.join(name).is_dir())
    }

    /// Where the rootfs of this name is, or would be if it were made now: the path that
    /// [`Rootfs::path`] says. Only reads, so it is for those who say what they would do.
    ///
    /// # Errors
    /// As for [`Store::get`].
    pub fn path_of(&self, name: &str) -> Result<PathBuf, Error> {
        match self.get(name)? {
            Some(rootfs) => Ok(rootfs.path),
            None => Ok(self.dir.join(name).join("rootfs")),
        }
    }

    /// The rootfs of this name, which must be there.
    fn expect(&self, name: &str) -> Result<Rootfs, Error> {
        self.get(name)?.ok_or_else(|| Error::Usage {
            problem: format!("there is no rootfs `{name}`"),
            hint: Some("see `sandbox rootfs list`".to_owned()),
        })
    }

    /// All of them, by name.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn list(&self) -> Result<Vec<Listed>, Error> {
        let one = |name: String| {
            let found = self.get(&name).and_then(|found| found.ok_or_else(|| no_tree(&name)));
            Listed { name, found }
        };
        Ok(self.names()?.into_iter().map(one).collect())
    }

    /// The names of all, sorted.
    fn names(&self) -> Result<Vec<String>, Error> {
        let entries = match fs::read_dir(&self.dir) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(Error::io("read", &self.dir))?,
        };
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let mut names: Vec<String> =
            names.filter(|name| self.has(name).is_ok_and(|has| has)).collect();
        names.sort();
        Ok(names)
    }
}

fn no_tree(name: &str) -> Error {
    Error::Unfit {
        problem: format!("`{name}` has neither a tree nor a layer"),
        hint: Some("remove it with `sandbox rootfs remove`, or fetch it again".to_owned()),
    }
}

/// A name is one directory, and no hidden one.
fn check_name(name: &str) -> Result<(), Error> {
    let letter = |c: char| c.is_ascii_alphanumeric() || ['-', '_', '.'].contains(&c);
    if !name.is_empty()
        && name.len() <= 128
        && !name.starts_with(['.', '-'])
        && name.chars().all(letter)
    {
        return Ok(());
    }
    Err(Error::Usage {
        problem: format!("`{name}` cannot be the name of a rootfs"),
        hint: Some("use a-z, A-Z, 0-9, `_`, `-` and `.`, not `-` or `.` first".to_owned()),
    })
}
