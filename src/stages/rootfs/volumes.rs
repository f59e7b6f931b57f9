//! What is mounted into the new root besides: directories of the host, and memory.

use nix::mount::MsFlags;

use crate::error::Error;
use crate::layers::{Target, Volume};
use crate::plan::step::{Because, Step};
use crate::stages::names::OVERLAY;
use crate::stages::spec::Spec;
use crate::syscall::{Create, Mkdir, Mount};

/// Looks at what is to be mounted, and at the places for it in the layers.
pub(super) fn find(
    volumes: &[Volume],
    memory: &[Target],
    spec: &Spec,
) -> Result<Vec<Volume>, Error> {
    let memory = memory.iter().map(|target| Volume::tmpfs(target.0.clone()));
    let mut found: Vec<Volume> = volumes.iter().cloned().chain(memory).collect();
    let layers = &spec.layers;
    let mut below = vec![layers.upper(), layers.init()];
    below.extend(layers.lowers.iter().cloned());
    below.push(spec.rootfs.clone());
    for volume in &mut found {
        volume.find(&below)?;
    }
    Ok(found)
}

/// What is told about the new root says nothing to a command that stays outside; and without a layer
/// to make a place in, the place must be there.
pub(super) fn check(found: &[Volume], told: &[String], spec: &Spec) -> Result<(), Error> {
    if let Some(option) = told.first().filter(|_| !spec.changes_root()) {
        return Err(Error::usage(
            format!("`--{option}` is about the new root, and no stage steps into it"),
            "add `--with chroot` or `--with pivot-root`",
        ));
    }
    match found.iter().find(|volume| volume.new) {
        Some(volume) if !spec.has(OVERLAY) => Err(Error::usage(
            format!("the rootfs has no `{}` to mount on", volume.target.display()),
            "add `--with overlay`: there the place can be made",
        )),
        _ => Ok(()),
    }
}

/// The mounts that were asked for, and at the end the root itself read-only.
pub(super) fn steps(found: &[Volume], read_only: bool, spec: &Spec) -> Vec<Step> {
    let mut steps: Vec<Step> = found.iter().flat_map(|volume| one(volume, spec)).collect();
    if read_only {
        let why = "nothing but what is mounted on it can be written";
        steps.push(Mount::read_only(spec.root(), MsFlags::empty()).because(why));
    }
    steps
}

fn one(volume: &Volume, spec: &Spec) -> Vec<Step> {
    let target = spec.in_root(&volume.target);
    let why_place = "a place to mount it on";
    let mut steps = Vec::new();
    for dir in &volume.missing {
        steps.push(Mkdir(spec.in_root(dir), 0o755).because(why_place));
    }
    let Some(source) = &volume.source else {
        let memory = Mount::new("tmpfs", target, MsFlags::MS_NOSUID | MsFlags::MS_NODEV);
        let why = "memory, gone when the sandbox ends";
        steps.push(memory.with("mode=1777").because(why));
        return steps;
    };
    if volume.is_file && volume.new {
        steps.push(Create(target.clone(), 0o644).because(why_place));
    }
    let why = "a volume: what is written there is on the host, and in no layer";
    steps.push(Mount::bind(source, target.clone()).recursive().because(why));
    if volume.read_only {
        let kept = volume.flags.unwrap_or(MsFlags::empty());
        steps.push(Mount::read_only(target, kept).because("and may only be read"));
    }
    steps
}
