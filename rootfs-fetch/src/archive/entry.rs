//! The names of entries, and refusing one.

use std::ffi::CString;

use super::tree::{PATH_MAX, Stop, steps};

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
