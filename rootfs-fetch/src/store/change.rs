//! Changing the store: by one process at a time, and so that a rootfs has its name only while it
//! is complete.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::{About, Rootfs, Store, check_name};
use crate::archive::remove;
use crate::error::Error;
use crate::user;

/// The beginning of the names of directories that are not complete.
const UNFINISHED: &str = ".new-";

/// What to do with a rootfs that has the name already.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Existing {
    /// It stays, and nothing is made.
    Keep,
    /// The new one takes its place.
    Replace,
    /// It stays, and that is an error.
    Refuse,
}

impl Store {
    /// Makes a rootfs of one tree: `fill` fills an empty directory and says where it came from.
    pub(super) fn make(
        &self,
        name: &str,
        existing: Existing,
        fill: impl FnOnce(&Path) -> Result<String, Error>,
    ) -> Result<Rootfs, Error> {
        self.make_dir(name, existing, |new| {
            let root = new.join("rootfs");
            user::make_dir(&root)?;
            let readable = fs::Permissions::from_mode(0o755);
            fs::set_permissions(&root, readable).map_err(Error::io("set the mode of", &root))?;
            Ok(About { source: fill(&root)?, base: None })
        })
    }

    /// Makes the directory of a rootfs, which `fill` fills. It gets its name when it is complete.
    pub(super) fn make_dir(
        &self,
        name: &str,
        existing: Existing,
        fill: impl FnOnce(&Path) -> Result<About, Error>,
    ) -> Result<Rootfs, Error> {
        check_name(name)?;
        user::make_dir(&self.dir)?;
        self.close();
        let _lock = self.lock()?;
        // Somebody else may have made it while we waited for the lock.
        match existing {
            Existing::Keep => {
                if let Some(rootfs) = self.get(name)? {
                    return Ok(rootfs);
                }
            }
            Existing::Refuse if self.has(name)? => return Err(taken(name)),
            Existing::Refuse | Existing::Replace => {}
        }
        self.sweep();
        let new = self.unfinished(name);
        let made = user::make_dir(&new).and_then(|()| {
            let about = fill(&new)?;
            let json = serde_json::to_vec(&about).map_err(Error::io("describe", &new))?;
            let file = new.join("about.json");
            fs::write(&file, json).map_err(Error::io("write", file))?;
            user::give_to_caller(&new)?;
            self.put_in_place(&new, name)
        });
        if let Err(error) = made {
            self.sweep();
            return Err(error);
        }
        self.expect(name)
    }

    fn put_in_place(&self, new: &Path, name: &str) -> Result<(), Error> {
        let place = self.dir.join(name);
        let old = self.unfinished(&format!("old-{name}"));
        remove::check_unmounted(&place)?;
        // Where both cannot change places, the name has nothing for a moment.
        if renameat_with(CWD, new, CWD, &place, RenameFlags::EXCHANGE).is_err() {
            if place.exists() {
                fs::rename(&place, &old).map_err(Error::io("replace", &place))?;
            }
            fs::rename(new, &place).map_err(Error::io("replace", &place))?;
        }
        self.sweep();
        Ok(())
    }

    /// The name of something that is not complete yet, or not any more.
    pub(super) fn unfinished(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{UNFINISHED}{name}"))
    }

    /// Held while the store changes. The kernel lets go of it when the process ends, however.
    pub(super) fn lock(&self) -> Result<Flock<File>, Error> {
        let dir = File::open(&self.dir).map_err(Error::io("open", &self.dir))?;
        Flock::lock(dir, FlockArg::LockExclusive)
            .map_err(|(_, errno)| Error::io("lock", &self.dir)(errno))
    }

    /// Takes away what was not completed. The lock is held, so nobody works on it.
    pub(super) fn sweep(&self) {
        for path in self.all_unfinished() {
            let _ = remove::remove(&path);
        }
    }

    fn all_unfinished(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        let paths = entries.map(|entry| entry.path());
        let unfinished = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default();
            name.as_encoded_bytes().starts_with(UNFINISHED.as_bytes())
        };
        let mut paths: Vec<PathBuf> = paths.filter(unfinished).collect();
        paths.sort();
        paths
    }

    /// What changes left that were killed. While somebody changes the store, there is none.
    ///
    /// # Errors
    /// When the store cannot be opened.
    pub fn left_behind(&self) -> Result<Vec<PathBuf>, Error> {
        Ok(self.try_lock()?.map_or(Vec::new(), |_lock| self.all_unfinished()))
    }

    /// Takes away what changes left that were killed, and says what that was. While somebody
    /// changes the store, nothing is taken away.
    ///
    /// # Errors
    /// When something would not go.
    pub fn clean(&self) -> Result<Vec<PathBuf>, Error> {
        let Some(_lock) = self.try_lock()? else { return Ok(Vec::new()) };
        let left = self.all_unfinished();
        left.iter().try_for_each(|path| remove::remove(path))?;
        Ok(left)
    }

    /// The lock, unless somebody has it, or there is no store yet.
    fn try_lock(&self) -> Result<Option<Flock<File>>, Error> {
        let dir = match File::open(&self.dir) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            dir => dir.map_err(Error::io("open", &self.dir))?,
        };
        Ok(Flock::lock(dir, FlockArg::LockExclusiveNonblock).ok())
    }
}

fn taken(name: &str) -> Error {
    Error::Usage {
        problem: format!("there is a rootfs `{name}` already"),
        hint: Some("choose another name, or `sandbox rootfs remove` it first".to_owned()),
    }
}
