//! Looking at a rootfs of the store.

use super::{Rootfs, Store};
use crate::error::Error;
use crate::root::programs::Programs;

/// What is in a rootfs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The rootfs.
    pub rootfs: Rootfs,
    /// The names that lead to busybox, and that it knows.
    pub applets: Vec<String>,
    /// The names of other programs and scripts.
    pub programs: Vec<String>,
    /// What is wrong, in words.
    pub problems: Vec<String>,
}

impl Verified {
    /// Whether a command of this name works.
    pub fn has(&self, name: &str) -> bool {
        let is = |known: &String| known == name;
        self.applets.iter().any(is) || self.programs.iter().any(is)
    }
}

impl Store {
    /// Looks at a rootfs. Nothing of it is run.
    ///
    /// # Errors
    /// When there is none of this name.
    pub fn verify(&self, name: &str) -> Result<Verified, Error> {
        let rootfs = self.expect(name)?;
        let Programs { applets, programs, problems } = Programs::find(&rootfs.path);
        Ok(Verified {
            rootfs,
            applets: applets.into_iter().collect(),
            programs: programs.into_iter().collect(),
            problems: problems.into_iter().collect(),
        })
    }
}
