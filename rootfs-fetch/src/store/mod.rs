//! Where root filesystems are kept. Each has a directory with two things in it: `rootfs`, the tree,
//! and `about.json`, which says where it came from.

mod import;

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

use crate::archive::limits::{Limits, Means};
use crate::archive::remove;
use crate::error::Error;
use crate::progress::Progress;
use crate::root::skeleton;
use crate::source::{apt, host, registry};
use crate::user;

/// The name of the rootfs that is made when none is asked for.
pub(crate) const DEFAULT: &str = "busybox";

/// The beginning of the names of directories that are not complete yet.
const UNFINISHED: &str = ".new-";

/// Where root filesystems are kept.
pub struct Store {
    dir: PathBuf,
    pub(crate) limits: Limits,
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

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct About {
    pub(crate) source: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) base: Option<String>,
}

/// Where a rootfs can come from without being handed over as a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A static busybox on this machine.
    Host,
    /// The package busybox-static, through apt-get(8).
    Apt,
    /// An image from an OCI registry.
    Registry,
}

impl Source {
    /// All of them, in the order in which they are tried.
    pub const ALL: [Source; 3] = [Source::Host, Source::Apt, Source::Registry];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Source::Host => "host",
            Source::Apt => "apt",
            Source::Registry => "registry",
        }
    }
}

/// What to do with a rootfs that has the name already.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Existing {
    Keep,
    Replace,
}

/// What to fetch.
pub struct Fetch {
    /// The name that it gets.
    pub name: String,
    /// The sources to try, in order.
    pub sources: Vec<Source>,
    /// The image, for the registry: `[HOST[:PORT]/]NAME[:TAG|@DIGEST]`.
    pub image: String,
    /// Speak HTTP with the registry, not HTTPS.
    pub plain_http: bool,
}

impl Default for Fetch {
    fn default() -> Fetch {
        Fetch {
            name: DEFAULT.to_owned(),
            sources: Source::ALL.to_vec(),
            image: "docker.io/library/busybox".to_owned(),
            plain_http: false,
        }
    }
}

impl Store {
    /// The store in `dir`, or in the user's data directory.
    ///
    /// # Errors
    /// When the environment does not say where that is.
    pub fn open(dir: Option<PathBuf>) -> Result<Store, Error> {
        Ok(Store { dir: dir.map_or_else(user::data_dir, Ok)?, limits: Limits::default() })
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

    /// The rootfs of this name.
    ///
    /// # Errors
    /// When the name cannot be one.
    pub fn get(&self, name: &str) -> Result<Option<Rootfs>, Error> {
        check_name(name)?;
        let dir = self.dir.join(name);
        let (path, layer) = (dir.join("rootfs"), dir.join("layer"));
        let about = fs::read(dir.join("about.json")).ok();
        let about = about.and_then(|bytes| serde_json::from_slice::<About>(&bytes).ok());
        let unknown = About { source: "unknown".to_owned(), base: None };
        let About { source, base } = about.unwrap_or(unknown);
        let name = name.to_owned();
        if path.is_dir() {
            return Ok(Some(Rootfs { name, path, source, base: None, layers: Vec::new() }));
        }
        let Some(base) = base.filter(|_| layer.is_dir()) else { return Ok(None) };
        let below = self.get(&base)?.ok_or_else(|| Error::Usage {
            problem: format!("`{name}` is a layer over `{base}`, which is not there any more"),
            hint: Some(
                "remove it with `sandbox rootfs remove`, or fetch the other again".to_owned(),
            ),
        })?;
        let layers = [vec![layer], below.layers].concat();
        Ok(Some(Rootfs { name, path: below.path, source, base: Some(base), layers }))
    }

    /// All of them, by name.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn list(&self) -> Result<Vec<Rootfs>, Error> {
        let entries = match fs::read_dir(&self.dir) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(Error::io("read", &self.dir))?,
        };
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let mut names: Vec<String> = names.filter(|name| check_name(name).is_ok()).collect();
        names.sort();
        let found = names.iter().map(|name| self.get(name));
        found.filter_map(Result::transpose).collect()
    }

    /// The default rootfs: the one that is there, or a new one from the first source that works.
    ///
    /// # Errors
    /// When no source works; each with its reason.
    pub fn provide(&self, progress: &Progress) -> Result<Rootfs, Error> {
        match self.get(DEFAULT)? {
            Some(rootfs) => Ok(rootfs),
            None => self.fetch_or(Existing::Keep, &Fetch::default(), progress),
        }
    }

    /// Makes a rootfs from the first of the sources that works, in place of one of the same name.
    ///
    /// # Errors
    /// When no source works; each with its reason.
    pub fn fetch(&self, fetch: &Fetch, progress: &Progress) -> Result<Rootfs, Error> {
        self.fetch_or(Existing::Replace, fetch, progress)
    }

    fn fetch_or(
        &self,
        existing: Existing,
        fetch: &Fetch,
        progress: &Progress,
    ) -> Result<Rootfs, Error> {
        let mut tried = Vec::new();
        for source in &fetch.sources {
            let fill = |root: &Path| self.fill_from(*source, fetch, root, progress);
            let made = self.make(&fetch.name, existing, fill);
            progress.end();
            match made {
                Ok(rootfs) => return Ok(rootfs),
                Err(error) => tried.push((source.name(), error)),
            }
        }
        match <[_; 1]>::try_from(tried) {
            Ok([(_, error)]) => Err(error),
            Err(tried) => Err(Error::NoSource { tried }),
        }
    }

    /// Fills `root`, and says where it came from.
    fn fill_from(
        &self,
        source: Source,
        fetch: &Fetch,
        root: &Path,
        progress: &Progress,
    ) -> Result<String, Error> {
        match source {
            Source::Host => {
                let busybox = host::busybox()?;
                skeleton::install(&busybox, root)?;
                Ok(format!("this machine's {}", busybox.display()))
            }
            Source::Apt => with_temp(root, |temp| apt::fill(root, temp, progress)),
            Source::Registry => {
                let means = Means { limits: self.limits, progress };
                with_temp(root, |temp| {
                    registry::fill(&fetch.image, fetch.plain_http, root, temp, &means)
                })
            }
        }
    }

    /// Makes a rootfs by filling an empty directory. It gets its name when it is complete.
    pub(crate) fn make(
        &self,
        name: &str,
        existing: Existing,
        fill: impl FnOnce(&Path) -> Result<String, Error>,
    ) -> Result<Rootfs, Error> {
        let mut about = About { source: String::new(), base: None };
        self.make_dir(name, existing, &mut about, |new, about| {
            let root = new.join("rootfs");
            user::make_dir(&root)?;
            let readable = fs::Permissions::from_mode(0o755);
            fs::set_permissions(&root, readable).map_err(Error::io("set the mode of", &root))?;
            about.source = fill(&root)?;
            Ok(())
        })?;
        self.expect(name)
    }

    /// Makes the directory of a rootfs. It gets its name when it is complete.
    pub(crate) fn make_dir(
        &self,
        name: &str,
        existing: Existing,
        about: &mut About,
        fill: impl FnOnce(&Path, &mut About) -> Result<(), Error>,
    ) -> Result<(), Error> {
        check_name(name)?;
        user::make_dir(&self.dir)?;
        let _lock = self.lock()?;
        // Somebody else may have made it while we waited for the lock.
        if existing == Existing::Keep && self.get(name)?.is_some() {
            return Ok(());
        }
        self.sweep();
        let new = self.unfinished(name);
        let made = user::make_dir(&new).and_then(|()| {
            fill(&new, about)?;
            let json = serde_json::to_vec(about).map_err(Error::io("describe", &new))?;
            let file = new.join("about.json");
            fs::write(&file, json).map_err(Error::io("write", file))?;
            user::give_to_caller(&new)?;
            self.put_in_place(&new, name)
        });
        if made.is_err() {
            self.sweep();
        }
        made
    }

    fn put_in_place(&self, new: &Path, name: &str) -> Result<(), Error> {
        let place = self.dir.join(name);
        let old = self.unfinished(&format!("old-{name}"));
        remove::check_unmounted(&place)?;
        if place.exists() {
            fs::rename(&place, &old).map_err(Error::io("replace", &place))?;
        }
        fs::rename(new, &place).map_err(Error::io("replace", &place))?;
        self.sweep();
        Ok(())
    }

    /// The name of something that is not complete yet, or not any more.
    pub(crate) fn unfinished(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{UNFINISHED}{name}"))
    }

    /// Held while the store changes. The kernel lets go of it when the process ends, however.
    pub(crate) fn lock(&self) -> Result<Flock<File>, Error> {
        let dir = File::open(&self.dir).map_err(Error::io("open", &self.dir))?;
        Flock::lock(dir, FlockArg::LockExclusive)
            .map_err(|(_, errno)| Error::io("lock", &self.dir)(errno))
    }

    /// Takes away what was not completed. The lock is held, so nobody works on it.
    pub(crate) fn sweep(&self) {
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
                let _ = remove::remove(&entry.path());
            }
        }
    }
}

/// Gives `fill` an empty directory beside `root`, and takes it away again. Where that fails, it
/// goes with all that is unfinished.
fn with_temp(
    root: &Path,
    fill: impl FnOnce(&Path) -> Result<String, Error>,
) -> Result<String, Error> {
    let temp = root.with_file_name("fetched");
    user::make_dir(&temp)?;
    let source = fill(&temp)?;
    remove::remove(&temp)?;
    Ok(source)
}

/// A name is one directory, and no hidden one.
pub(crate) fn check_name(name: &str) -> Result<(), Error> {
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
