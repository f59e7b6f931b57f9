//! What is mounted into a root from outside.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::builder::{OsStringValueParser, TypedValueParser, ValueParserFactory};
use nix::errno::Errno;

use super::view::{Mounted, Shown, View};
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
    /// How large it may become, when it is memory.
    pub size: Option<u64>,
}

impl Volume {
    /// So many bytes of memory at this place.
    pub fn memory(target: PathBuf, size: u64) -> Volume {
        Volume { target, size: Some(size), ..Volume::default() }
    }

    /// Looks at the source.
    ///
    /// # Errors
    /// [`Error::Usage`] when it is not there.
    pub fn find_source(&mut self) -> Result<(), Error> {
        if let Some(source) = &self.source {
            let real = realpath(source)?;
            self.is_file = !real.is_dir();
            self.source = Some(real);
        }
        Ok(())
    }

    /// Looks for the place in the root, where links on the way lead.
    ///
    /// # Errors
    /// [`Error::Usage`] when they lead nowhere.
    pub fn find_target(&mut self, root: &View) -> Result<(), Error> {
        let target = root.follow(&self.target).map_err(|errno| {
            let problem = match errno {
                Errno::ELOOP => "is a link that leads back to itself",
                Errno::ENOTDIR => "leads through a file",
                _ => "leads through what is not there",
            };
            let problem = format!("`{}` {problem}", self.target.display());
            Error::usage(problem, "name its real place in the root")
        })?;
        self.target = target;
        Ok(())
    }

    /// Looks at what is at the place, and what has to be made there.
    ///
    /// # Errors
    /// [`Error::Usage`] when it cannot be mounted there.
    pub fn fit(&mut self, root: &View) -> Result<(), Error> {
        let shown = root.look(&self.target);
        self.new = shown.is_none();
        if shown.is_some_and(|shown| (shown == Shown::File) != self.is_file) {
            let kind = |is_file| if is_file { "a file" } else { "a directory" };
            let (there, here) = (kind(!self.is_file), kind(self.is_file));
            return Err(Error::usage(
                format!(
                    "`{}` is {there}, and {here} is to be mounted on it",
                    self.target.display()
                ),
                "a file is mounted on a file, a directory on a directory",
            ));
        }
        let missing = self.target.ancestors().take_while(|dir| root.look(dir).is_none());
        let skipped = usize::from(self.is_file && self.new);
        self.missing = missing.skip(skipped).map(Path::to_owned).collect();
        self.missing.reverse();
        Ok(())
    }

    /// What it shows once it is mounted.
    pub fn mounted(&self) -> Mounted {
        Mounted {
            at: self.target.clone(),
            layers: self.source.iter().cloned().collect(),
            is_file: self.is_file,
            writable: !self.read_only,
        }
    }

    fn parse(text: &OsStr) -> Result<Volume, String> {
        let form =
            "write `SOURCE:TARGET` or `SOURCE:TARGET:ro`, with a target that begins with `/`";
        let text = text.as_bytes();
        let (text, read_only) = match text.strip_suffix(b":ro") {
            Some(text) => (text, true),
            None => (text.strip_suffix(b":rw").unwrap_or(text), false),
        };
        // Colons can be part of a name, and a target begins with a slash.
        let between =
            text.windows(2).rposition(|two| two == b":/").filter(|at| *at > 0).ok_or(form)?;
        let (source, target) = (OsStr::from_bytes(&text[..between]), &text[between + 1..]);
        let target = place(OsStr::from_bytes(target)).ok_or(form)?;
        Ok(Volume { source: Some(source.into()), target, read_only, ..Volume::default() })
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

/// A name need not be UTF-8.
impl ValueParserFactory for Volume {
    type Parser = clap::builder::ValueParser;

    fn value_parser() -> Self::Parser {
        OsStringValueParser::new().try_map(|text| Volume::parse(&text)).into()
    }
}

impl fmt::Display for Volume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = self.source.as_deref().unwrap_or(Path::new("")).display();
        let target = self.target.as_os_str().as_bytes();
        let how = match self.read_only {
            true => ":ro",
            // A name may end in what looks like such a word.
            false if target.ends_with(b":ro") || target.ends_with(b":rw") => ":rw",
            false => "",
        };
        write!(f, "{source}:{}{how}", self.target.display())
    }
}

scalar!(Volume);

/// A path in the new root, and not that root itself.
pub fn place(target: &OsStr) -> Option<PathBuf> {
    let path: PathBuf = Path::new(target).components().collect();
    let up = path.components().any(|part| part == std::path::Component::ParentDir);
    (path.is_absolute() && !up && path != Path::new("/")).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colons_are_part_of_names_where_no_target_begins() {
        for (text, source, target, read_only) in [
            ("a:/b", "a", "/b", false),
            ("a:ro:/b:ro", "a:ro", "/b", true),
            ("/a:b:/c:d:rw", "/a:b", "/c:d", false),
            ("/x:/y:/z//w/", "/x:/y", "/z/w", false),
        ] {
            let volume: Volume = text.parse().unwrap();
            let told = (volume.source.unwrap(), volume.target, volume.read_only);
            assert_eq!(told, (source.into(), target.into(), read_only), "{text}");
        }
        for wrong in ["a", "a:b", ":/b", "a:/", "a:/b/../c", "a:b:ro"] {
            assert!(wrong.parse::<Volume>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_printed_is_read_the_same() {
        for text in ["a:/b", "a:/b:ro", "a:/b:ro/", "a:/:rw:rw", "a:/b:ro:ro"] {
            let volume: Volume = text.parse().unwrap();
            assert_eq!(volume.to_string().parse(), Ok(volume), "{text}");
        }
    }
}
