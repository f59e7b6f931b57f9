//! What is mounted into a root from outside.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use nix::mount::MsFlags;
use nix::sys::statvfs::{FsFlags, statvfs};
use serde::{Deserialize, Deserializer, de};

/// A mount into the root: a file or directory of the host, or memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Volume {
    /// What is mounted; memory when there is none.
    pub source: Option<PathBuf>,
    /// Where, from the new root.
    pub target: PathBuf,
    /// Whether it may only be read.
    pub read_only: bool,
    /// Whether it is a file.
    pub is_file: bool,
    /// Whether nothing is at the place yet.
    pub new: bool,
    /// The directories that have to be made for it.
    pub missing: Vec<PathBuf>,
    /// What the mount that it comes from forbids.
    pub flags: Option<MsFlags>,
}

impl Volume {
    /// Memory at this place.
    pub fn tmpfs(target: PathBuf) -> Volume {
        Volume { target, ..Volume::default() }
    }

    /// Looks at the source, and at what the layers, topmost first, have at the place.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn find(&mut self, layers: &[PathBuf]) -> Result<(), String> {
        if let Some(source) = &self.source {
            let shown = source.display();
            let real = source.canonicalize().map_err(|error| format!("`{shown}`: {error}"))?;
            self.is_file = !real.is_dir();
            let at = statvfs(&real).map_err(|errno| format!("`{shown}`: {}", errno.desc()))?;
            let forbidden = [
                (FsFlags::ST_NOSUID, MsFlags::MS_NOSUID),
                (FsFlags::ST_NODEV, MsFlags::MS_NODEV),
                (FsFlags::ST_NOEXEC, MsFlags::MS_NOEXEC),
            ];
            let forbidden = forbidden.iter().filter(|(flag, _)| at.flags().contains(*flag));
            self.flags = Some(forbidden.map(|(_, flag)| *flag).collect());
            self.source = Some(real);
        }
        let inside = self.target.strip_prefix("/").unwrap_or(&self.target).to_owned();
        for dir in inside.ancestors() {
            if super::look_up(layers, dir).is_some_and(|found| found.is_symlink()) {
                return Err(format!("`/{}` is a link to somewhere else", dir.display()));
            }
        }
        let is_there = |path: &Path| super::look_up(layers, path).is_some();
        self.new = !is_there(&inside);
        let mut missing: Vec<PathBuf> = inside
            .ancestors()
            .filter(|dir| !dir.as_os_str().is_empty() && !is_there(dir))
            .map(|dir| Path::new("/").join(dir))
            .collect();
        missing.reverse();
        if self.is_file && self.new {
            missing.pop();
        }
        self.missing = missing;
        Ok(())
    }
}

impl FromStr for Volume {
    type Err = String;

    fn from_str(text: &str) -> Result<Volume, String> {
        let form =
            "write `SOURCE:TARGET` or `SOURCE:TARGET:ro`, with a target that begins with `/`";
        let (text, read_only) = match text.strip_suffix(":ro") {
            Some(text) => (text, true),
            None => (text.strip_suffix(":rw").unwrap_or(text), false),
        };
        let (source, target) = text.rsplit_once(':').ok_or(form)?;
        let target = place(target).ok_or(form)?;
        if source.is_empty() {
            return Err(form.to_owned());
        }
        let source = Some(PathBuf::from(source));
        Ok(Volume { source, target, read_only, ..Volume::default() })
    }
}

/// A path in the new root that leads nowhere else.
pub fn place(target: &str) -> Option<PathBuf> {
    let path = PathBuf::from(target);
    let up = path.components().any(|part| part == std::path::Component::ParentDir);
    (path.is_absolute() && !up && path != Path::new("/")).then_some(path)
}

impl<'de> Deserialize<'de> for Volume {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Volume, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}
