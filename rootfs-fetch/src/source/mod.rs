//! Where root filesystems come from, a file for each source.

pub(crate) mod apt;
pub(crate) mod deb;
pub(crate) mod file;
pub(crate) mod host;
pub(crate) mod registry;
