//! Memory as a place for files, and how much.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::str::FromStr;

use clap::builder::{OsStringValueParser, TypedValueParser, ValueParser, ValueParserFactory};

use crate::cgroups;
use crate::layers::place;
use crate::scalar::scalar;

/// Memory to be mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tmpfs {
    /// Where, from the new root.
    pub(super) target: PathBuf,
    /// How many bytes may be written there.
    pub(super) size: u64,
}

impl Tmpfs {
    /// So much where nobody says how much. Without a size the kernel would give half of the machine's
    /// memory.
    pub(super) const SIZE: u64 = 64 << 20;

    fn parse(text: &OsStr) -> Result<Tmpfs, String> {
        let form = "write a path that begins with `/`, and is not `/` itself, or `PATH:SIZE` with a \
                    size such as `64m`";
        let bytes = text.as_bytes();
        let (target, size) = match bytes.iter().rposition(|byte| *byte == b':') {
            Some(colon) => {
                let size = std::str::from_utf8(&bytes[colon + 1..]).ok().and_then(cgroups::bytes);
                // Nothing stands for no limit.
                (&bytes[..colon], size.filter(|size| *size > 0).ok_or(form)?)
            }
            None => (bytes, Tmpfs::SIZE),
        };
        Ok(Tmpfs { target: place(OsStr::from_bytes(target)).ok_or(form)?, size })
    }
}

impl FromStr for Tmpfs {
    type Err = String;

    fn from_str(text: &str) -> Result<Tmpfs, String> {
        Tmpfs::parse(text.as_ref())
    }
}

/// A name need not be UTF-8.
impl ValueParserFactory for Tmpfs {
    type Parser = ValueParser;

    fn value_parser() -> ValueParser {
        OsStringValueParser::new().try_map(|text| Tmpfs::parse(&text)).into()
    }
}

impl fmt::Display for Tmpfs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.target.display(), self.size)
    }
}

scalar!(Tmpfs);
