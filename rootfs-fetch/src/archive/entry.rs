//! An entry of an archive: what it asks for, apart from its bytes.

use std::ffi::CString;
use std::io::Read;

use nix::sys::stat::Mode;
use nix::sys::time::TimeSpec;
use tar::EntryType;

use super::tree::{PATH_MAX, Stop, steps};

/// An entry of an archive, apart from its bytes.
pub(crate) struct Entry {
    /// Its name, as the archive has it.
    pub(crate) name: Vec<u8>,
    /// What it is.
    pub(crate) kind: EntryType,
    /// The size of the file, with its holes.
    pub(crate) size: u64,
    /// Where a link leads.
    pub(crate) link: Vec<u8>,
    /// Its permissions.
    pub(crate) mode: Mode,
    /// When it was changed.
    pub(crate) time: TimeSpec,
}

impl Entry {
    /// Reads what describes an entry.
    pub(crate) fn read<R: Read>(raw: &mut tar::Entry<R>, name: &[u8]) -> Result<Entry, Stop> {
        if raw.header().entry_type() == EntryType::Regular && has_sparse_map(raw)? {
            return Err(refuse("is sparse in a way that is not known: use `tar --format=gnu`"));
        }
        let header = raw.header();
        let mode = header.mode().map_err(|_| refuse("has a mode that is not a number"))?;
        // Old archives have no type for directories.
        let kind = match header.entry_type() {
            EntryType::Regular if name.ends_with(b"/") => EntryType::Directory,
            kind => kind,
        };
        let time = header.mtime().ok().and_then(|time| i64::try_from(time).ok()).unwrap_or(0);
        Ok(Entry {
            name: name.to_owned(),
            kind,
            size: raw.size(),
            link: raw.link_name_bytes().unwrap_or_default().into_owned(),
            // Whoever unpacks owns the files, and everybody on this machine may reach them: a
            // program that was set-user-ID root would run as that user for all others.
            mode: Mode::from_bits_truncate(mode & 0o1777),
            time: TimeSpec::new(time, 0),
        })
    }
}

/// Whether a file is sparse in one of the ways that `tar --format=pax` has.
fn has_sparse_map<R: Read>(raw: &mut tar::Entry<R>) -> Result<bool, Stop> {
    let Some(mut extensions) = raw.pax_extensions()? else { return Ok(false) };
    Ok(extensions.any(|one| one.is_ok_and(|one| one.key_bytes().starts_with(b"GNU.sparse."))))
}

/// The parts of the name of an entry. A slash at the beginning means nothing, as for tar(1).
pub(crate) fn parts(name: &[u8]) -> Result<Vec<CString>, Stop> {
    if name.is_empty() {
        return Err(refuse("has no name"));
    }
    if name.len() > PATH_MAX {
        return Err(refuse("has a longer name than a path can be"));
    }
    let parts = steps(name)?;
    if parts.iter().any(|part| part.as_bytes() == b"..") {
        return Err(refuse("has `..` in its name, which leads out of the archive"));
    }
    Ok(parts)
}

pub(crate) fn refuse(problem: &str) -> Stop {
    Stop::Refused(problem.to_owned())
}
