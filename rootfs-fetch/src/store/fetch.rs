//! Fetching a rootfs from the first source that has one.

use std::path::Path;

use super::change::Existing;
use super::{Rootfs, Store, check_name};
use crate::archive::limits::Means;
use crate::archive::remove;
use crate::error::Error;
use crate::progress::Progress;
use crate::source::{apt, host, registry};
use crate::user;

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
            name: Store::DEFAULT.to_owned(),
            sources: Source::ALL.to_vec(),
            image: "docker.io/library/busybox".to_owned(),
            plain_http: false,
        }
    }
}

impl Store {
    /// The default rootfs: the one that is there, or a new one from the first source that works.
    ///
    /// # Errors
    /// When no source works; each with its reason.
    pub fn provide(&self, progress: &Progress) -> Result<Rootfs, Error> {
        match self.get(Store::DEFAULT)? {
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
        check_name(&fetch.name)?;
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
            Source::Host => host::fill(root),
            Source::Apt => with_temp(root, |temp| apt::fill(root, temp, progress)),
            Source::Registry => {
                let means = Means { limits: self.limits, progress };
                with_temp(root, |temp| {
                    registry::fill(&fetch.image, fetch.plain_http, root, temp, &means)
                })
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
