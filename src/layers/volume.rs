//! What is mounted into a root from outside.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use nix::errno::Errno;
use nix::mount::MsFlags;
use nix::sys::statvfs::{FsFlags, statvfs};

use super::look::look_up;
use crate::error::{Error, errno_words};
use crate::scalar::scalar;

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

    /// What was written; a path need not be text.
    ///
    /// # Errors
    /// How to write it.
    pub fn parse(written: &OsStr) -> Result<Volume, String> {
        let form =
            "write `SOURCE:TARGET` or `SOURCE:TARGET:ro`, with a target that begins with `/`";
        let written = written.as_bytes();
        let (written, read_only) = match written.strip_suffix(b":ro") {
            Some(written) => (written, true),
            None => (written.strip_suffix(b":rw").unwrap_or(written), false),
        };
        let colon = written.iter().rposition(|byte| *byte == b':').ok_or(form)?;
        let (source, target) = (&written[..colon], &written[colon + 1..]);
        let target = place(OsStr::from_bytes(target)).ok_or(form)?;
        if source.is_empty() {
            return Err(form.to_owned());
        }
        let source = Some(PathBuf::from(OsStr::from_bytes(source)));
        Ok(Volume { source, target, read_only, ..Volume::default() })
    }

    /// Looks at the source, and at what the layers, topmost first, have at the place.
    ///
    /// # Errors
    /// [`Error::Usage`] when the source is not there, or the way to the target is a link.
    pub fn find(&mut self, layers: &[PathBuf]) -> Result<(), Error> {
        if let Some(source) = &self.source {
            let real = realpath(source)?;
            self.is_file = !real.is_dir();
            let doing = format!("look at the filesystem of `{}`", real.display());
            let at = statvfs(&real).map_err(Error::io(doing))?;
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
            if look_up(layers, dir).is_some_and(|found| found.is_symlink()) {
                return Err(Error::usage(
                    format!("`/{}` is a link to somewhere else", dir.display()),
                    "name its real place in the root",
                ));
            }
        }
        let is_there = |path: &Path| look_up(layers, path).is_some();
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

/// Where a path of the host really leads.
fn realpath(path: &Path) -> Result<PathBuf, Error> {
    path.canonicalize().map_err(|error| {
        let errno = Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO));
        let problem = format!("`{}` cannot be mounted: {}", path.display(), errno_words(errno));
        Error::usage(problem, "name a file or a directory that is there")
    })
}

impl FromStr for Volume {
    type Err = String;

    fn from_str(text: &str) -> Result<Volume, String> {
        Volume::parse(text.as_ref())
    }
}

impl fmt::Display for Volume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = self.source.as_deref().unwrap_or(Path::new("")).display();
        let read_only = if self.read_only { ":ro" } else { "" };
        write!(f, "{source}:{}{read_only}", self.target.display())
    }
}

/// A path in the new root that leads nowhere else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target(pub PathBuf);

impl Target {
    /// What was written; a path need not be text.
    ///
    /// # Errors
    /// How to write it.
    pub fn parse(written: &OsStr) -> Result<Target, String> {
        let form = "write a path that begins with `/`, and is not `/` itself";
        place(written).map(Target).ok_or_else(|| form.to_owned())
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Target, String> {
        Target::parse(text.as_ref())
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.display())
    }
}

scalar!(Volume, Target);

fn place(target: &OsStr) -> Option<PathBuf> {
    let path = PathBuf::from(target);
    let up = path.components().any(|part| part == std::path::Component::ParentDir);
    (path.is_absolute() && !up && path != Path::new("/")).then_some(path)
}
