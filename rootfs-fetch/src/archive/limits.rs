//! How much may be unpacked, and who is told.

use crate::progress::Progress;

/// How much an archive may unpack to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes in files. The holes of sparse files count.
    pub bytes: u64,
    /// Files, directories and links.
    pub entries: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { bytes: 4 << 30, entries: 500_000 }
    }
}

/// What an image is unpacked with.
pub(crate) struct Means<'a> {
    /// How much it may unpack to.
    pub(crate) limits: Limits,
    /// Who is told how far it is.
    pub(crate) progress: &'a Progress,
}
