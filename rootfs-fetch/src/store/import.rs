//! Taking root filesystems into the store, and out of it.

use std::fs;
use std::path::Path;

use super::{Existing, Rootfs, Store, check_name};
use crate::archive::limits::Means;
use crate::archive::remove;
use crate::error::Error;
use crate::progress::Progress;
use crate::source::file;

impl Store {
    /// Makes a rootfs from a file: a tar archive of a tree, an OCI layout (or its directory), or
    /// what `docker save` writes, each compressed or not. Takes the place of one of the same name.
    ///
    /// # Errors
    /// When the file is none of these, broken or hostile: then nothing of it stays.
    pub fn import(&self, file: &Path, name: &str, progress: &Progress) -> Result<Rootfs, Error> {
        check_name(name)?;
        // What cannot be read should be said before anything is made.
        fs::metadata(file).map_err(Error::io("read", file))?;
        let means = Means { limits: self.limits, progress };
        let made = self.make(name, Existing::Replace, |root| file::fill(file, root, &means));
        progress.end();
        made
    }

    /// Removes a rootfs.
    ///
    /// # Errors
    /// When there is none of this name, something is mounted in it, or the operating system
    /// refuses.
    pub fn remove(&self, name: &str) -> Result<(), Error> {
        check_name(name)?;
        let dir = &self.dir().join(name);
        if !dir.is_dir() {
            self.expect(name)?;
        }
        let _lock = self.lock()?;
        let all = self.list()?;
        if let Some(above) = all.iter().find(|other| other.base.as_deref() == Some(name)) {
            return Err(Error::Usage {
                problem: format!("`{}` is a layer over `{name}`", above.name),
                hint: Some("remove that one first".to_owned()),
            });
        }
        remove::check_unmounted(dir)?;
        // Half a rootfs must not keep the name, should the removal be stopped.
        let gone = self.unfinished(&format!("old-{name}"));
        self.sweep();
        fs::rename(dir, &gone).map_err(Error::io("remove", dir))?;
        remove::remove(&gone)
    }

    /// The rootfs of this name.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn expect(&self, name: &str) -> Result<Rootfs, Error> {
        self.get(name)?.ok_or_else(|| Error::Usage {
            problem: format!("there is no rootfs `{name}`"),
            hint: Some("see `sandbox rootfs list`".to_owned()),
        })
    }
}
