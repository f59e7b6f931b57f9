//! Taking a rootfs out of the store, for classrooms without a network.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Rootfs, Store};
use crate::archive::pack::pack;
use crate::error::Error;
use crate::progress::Progress;
use crate::user;

impl Store {
    /// Writes a rootfs to a new file, which [`Store::import`] takes.
    ///
    /// # Errors
    /// When there is no such rootfs, when the file is there already, or cannot be written.
    pub fn bundle(&self, name: &str, file: &Path, progress: &Progress) -> Result<Rootfs, Error> {
        let rootfs = self.expect(name)?;
        let _lock = self.lock()?;
        if file.symlink_metadata().is_ok() {
            return Err(Error::Usage {
                problem: format!("`{}` is there already", file.display()),
                hint: Some("choose another name, or remove it first".to_owned()),
            });
        }
        let mut part = file.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        let written = pack(&rootfs.path, &part, progress).and_then(|()| {
            user::give_to_caller(&part)?;
            fs::rename(&part, file).map_err(Error::io("write", file))
        });
        progress.end();
        if written.is_err() {
            let _ = fs::remove_file(&part);
        }
        written.map(|()| rootfs)
    }
}
