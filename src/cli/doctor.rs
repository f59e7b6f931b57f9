//! `sandbox doctor`
use super::Global;
use crate::error::Error;
pub(crate) fn doctor(_: &Global) -> Result<u8, Error> {
    Ok(0)
}
