//! What overlayfs is told.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::stages::names::USER;
use crate::stages::spec::Spec;

/// `lowerdir=TOP:…:BOTTOM,upperdir=…,workdir=…`
pub(super) fn of(spec: &Spec) -> OsString {
    let init = spec.layers.init();
    let mut lowers: Vec<&Path> = vec![&init];
    lowers.extend(spec.layers.lowers.iter().map(PathBuf::as_path));
    lowers.push(&spec.rootfs);
    let mut options = spec.layers.options(&lowers);
    // In a user namespace only attributes of users can be written, and none of `trusted`.
    if spec.has(USER) || !spec.host.machine_root() {
        options.push(",userxattr");
    }
    options
}

/// The layers that are only read, topmost first, without the init layer.
pub(super) fn stack(spec: &Spec) -> Vec<PathBuf> {
    [&spec.layers.lowers[..], std::slice::from_ref(&spec.rootfs)].concat()
}
