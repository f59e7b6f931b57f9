//! What the new root will show before a volume is mounted in it, and what can be made there.

use std::path::Path;

use super::dev;
use super::files;
use crate::error::Error;
use crate::layers::{Mounted, View, Volume};
use crate::stages::names::{NET, OVERLAY};
use crate::stages::spec::Spec;

/// The files alone.
pub(super) fn of_files(spec: &Spec) -> View {
    View::of(root(spec))
}

/// With what is mounted in it: /sys, memory at /tmp, and /dev if it is ours.
pub(super) fn of_all(root: &View, own_dev: bool, read_only: bool, spec: &Spec) -> View {
    let mut view = root.clone();
    let dev = if own_dev { dev::mounted(spec, root) } else { Vec::new() };
    let memory = files::memory(read_only, spec);
    for mounted in dev.into_iter().chain(sys(spec, root)).chain(memory) {
        view.add(mounted, &[]);
    }
    view
}

/// The root without anything mounted on it.
fn root(spec: &Spec) -> Mounted {
    let (mut layers, writable) = (spec.layers.lowers.clone(), spec.has(OVERLAY));
    if writable {
        layers.splice(0..0, [spec.layers.upper(), spec.layers.init()]);
    }
    layers.push(spec.rootfs.clone());
    Mounted { at: "/".into(), layers, is_file: false, writable }
}

/// The network's /sys has what the host's has.
fn sys(spec: &Spec, root: &View) -> Option<Mounted> {
    let is_mounted = spec.has(NET) || !spec.cgroups.is_empty();
    let at = root.follow("/sys".as_ref()).ok().filter(|_| is_mounted)?;
    Some(Mounted { at, layers: vec!["/sys".into()], is_file: false, writable: false })
}

/// A place that is not there is made, in what can be written.
pub(super) fn refuse_to_make(volume: &Volume, view: &View) -> Result<(), Error> {
    let target = volume.target.display();
    match view.mount(&volume.target) {
        Some(mounted) if volume.new && !mounted.writable => {
            let at = mounted.at.display();
            if mounted.at == Path::new("/") {
                return Err(Error::usage(
                    format!("the rootfs has no `{target}` to mount on"),
                    "add `--with overlay`: there the place can be made",
                ));
            }
            Err(Error::usage(
                format!("there is no `{target}` to mount on, and nothing can be made in `{at}`"),
                "name a place that is there, or mount what is around it without `:ro`",
            ))
        }
        _ => Ok(()),
    }
}
