//! Removing a rootfs from the store.

use std::fs;

use super::Store;
use crate::archive::remove;
use crate::error::Error;

impl Store {
    /// Removes a rootfs, be it broken.
    ///
    /// # Errors
    /// When there is none of this name, something is mounted in it, or the operating system
    /// refuses.
    pub fn remove(&self, name: &str) -> Result<(), Error> {
        let dir = &self.dir().join(name);
        if !self.has(name)? {
            self.expect(name)?;
        }
        let _lock = self.lock()?;
        let mut all = self.names()?.into_iter();
        if let Some(above) = all.find(|other| self.about(other).base.as_deref() == Some(name)) {
            return Err(Error::Usage {
                problem: format!("`{above}` is a layer over `{name}`"),
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
}
