//! Taking a file into the store.

use std::fs;
use std::path::Path;

use super::change::Existing;
use super::{Rootfs, Store, check_name};
use crate::archive::limits::Means;
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
}
