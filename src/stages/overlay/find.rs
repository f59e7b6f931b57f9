//! Where the layers are, and what cannot be.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;

use super::options::{self, stack};
use crate::error::Error;
use crate::layers::{self, Driver, Layers, kept};
use crate::stages::names::USER;
use crate::stages::spec::Spec;

/// The most bytes of options that mount(2) takes, the last of which is NUL.
const PAGE: usize = 4096;

/// What was found besides.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Found {
    /// The name servers, as in /etc/resolv.conf.
    pub(super) resolv_conf: OsString,
    /// Whether there is no directory for layers yet.
    pub(super) makes_base: bool,
}

/// Finds the layers of a run, or those that are kept under a name.
pub(super) fn look(
    keep: Option<&str>,
    storage: Option<Driver>,
    spec: &mut Spec,
) -> Result<Found, Error> {
    let base = match &spec.layers_base {
        Some(base) => base.clone(),
        None => layers::base()?,
    };
    let new = Layers { dir: layers::of_run(&base, &spec.id), ..Layers::default() };
    let own = match keep {
        Some(name) => match kept::named(&base, name)? {
            kept if kept.found => kept,
            kept => Layers { keep_as: Some(kept.dir), ..new },
        },
        None => new,
    };
    let (driver, lowers) = (storage.unwrap_or_default(), spec.layers.lowers.clone());
    spec.layers = Layers { driver, lowers, ..own };
    Ok(Found {
        resolv_conf: OsString::from_vec(fs::read("/etc/resolv.conf").unwrap_or_default()),
        makes_base: spec.layers_base.is_none() && !base.exists(),
    })
}

pub(super) fn check(keep: Option<&str>, spec: &Spec) -> Result<(), Error> {
    if spec.has(USER) && spec.host.machine_root() {
        return Err(Error::stages(
            "root that becomes nobody cannot write over files that belong to root",
            "leave out one of the stages `user` and `overlay`; the level `union` has no `user`. Root \
             without CAP_SYS_ADMIN, as in most containers, always needs `user`",
        ));
    }
    if spec.layers.driver == Driver::Vfs && !spec.layers.lowers.is_empty() {
        return Err(Error::usage("vfs copies one tree, not layers", "use `--storage overlay`"));
    }
    if spec.layers.driver == Driver::Overlay && options::of(spec).len() >= PAGE {
        let count = spec.layers.lowers.len();
        return Err(Error::usage(
            format!("{count} layers are more than overlayfs can be told: their paths fill a page"),
            "set SANDBOX_HOME to a directory with a shorter path, or take a rootfs of fewer layers",
        ));
    }
    let Some(name) = keep.filter(|_| spec.layers.found) else { return Ok(()) };
    if kept::lies_on(&spec.layers)? != stack(spec) {
        return Err(Error::usage(
            format!("`{name}` lies on another rootfs"),
            "name that one with --rootfs, or choose another name",
        ));
    }
    // Only to tell early: the lock that counts is a step.
    kept::hold(&spec.layers, name).map(drop)
}

/// What is done where the disk cannot hold an upper layer.
pub(super) fn without_disk(keep: Option<&str>, spec: &mut Spec) -> Result<&'static str, Error> {
    if keep.is_some() {
        return Err(Error::usage(
            "the disk below your data directory cannot hold an upper layer",
            "set SANDBOX_HOME to a directory on another filesystem, such as ext4 or tmpfs",
        ));
    }
    spec.layers.in_memory = true;
    spec.layers.dir = layers::of_run(&spec.state_dir(), &spec.id);
    Ok("the disk below your data directory cannot hold an upper layer: it is in memory, and gone \
        when the sandbox ends")
}
