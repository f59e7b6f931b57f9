//! Removing a rootfs from the store.

use std::fs;

use super::{Store, check_name};
use crate::archive::remove;
use crate::error::Error;

impl Store {
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
}
