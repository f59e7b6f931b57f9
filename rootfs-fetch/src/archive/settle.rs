//! What directories get when nothing more is put into them.

use std::collections::HashMap;
use std::ffi::CStr;
use std::os::fd::OwnedFd;

use nix::sys::stat::{Mode, SFlag, fchmod, futimens};
use nix::sys::time::TimeSpec;

use super::tree::{Stop, Visitor, kind};

/// The mode and time of a directory.
#[derive(Clone, Copy)]
pub(crate) struct Attributes {
    pub(crate) mode: Mode,
    pub(crate) time: Option<TimeSpec>,
}

/// Gives directories their modes and times.
pub(crate) struct Settle<'a> {
    pub(crate) directories: &'a HashMap<u64, Attributes>,
}

impl Visitor for Settle<'_> {
    fn each(&mut self, dir: &OwnedFd, _: u64, name: &CStr) -> Result<bool, Stop> {
        Ok(kind(dir, name)? == Some(SFlag::S_IFDIR))
    }

    fn leave(&mut self, dir: &OwnedFd, inode: u64) -> Result<(), Stop> {
        let Some(attributes) = self.directories.get(&inode) else { return Ok(()) };
        if let Some(time) = attributes.time {
            futimens(dir, &time, &time)?;
        }
        Ok(fchmod(dir, attributes.mode)?)
    }
}
