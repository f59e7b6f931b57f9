//! What is mounted into the new root besides: directories of the host, and memory.

use std::path::Path;

use nix::mount::MsFlags;

use super::{bind, mount};
use crate::layers::Volume;
use crate::stages::stage::{Spec, Step};
use crate::syscall::Syscall;

/// The mounts that were asked for, and at the end the root itself read-only.
pub(super) fn steps(spec: &Spec) -> Vec<Step> {
    let mut steps: Vec<Step> =
        spec.settings.volumes.iter().flat_map(|volume| one(volume, spec)).collect();
    if spec.settings.read_only {
        let why = "nothing but what is mounted on it can be written";
        steps.push(read_only(&spec.root(), MsFlags::empty()).because(why));
    }
    steps
}

fn one(volume: &Volume, spec: &Spec) -> Vec<Step> {
    let target = spec.in_root(&volume.target);
    let mut steps: Vec<Step> = volume
        .missing
        .iter()
        .map(|dir| Syscall::Mkdir(spec.in_root(dir), 0o755).because("a place to mount it on"))
        .collect();
    let Some(source) = &volume.source else {
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        let memory = mount("tmpfs", target, flags, Some("mode=1777"));
        steps.push(memory.because("memory, gone when the sandbox ends"));
        return steps;
    };
    if volume.is_file && volume.new {
        steps.push(Syscall::Create(target.clone(), 0o644).because("a place to mount it on"));
    }
    let why = "a volume: what is written there is on the host, and in no layer";
    steps.push(bind(source.clone(), target.clone()).because(why));
    if volume.read_only {
        steps.push(
            read_only(&target, volume.flags.unwrap_or(MsFlags::empty()))
                .because("and may only be read"),
        );
    }
    steps
}

/// What the mount below had forbidden stays so: nobody but its owner may take that back.
fn read_only(target: &Path, flags: MsFlags) -> Syscall {
    let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY | flags;
    let (source, target) = (Some(target.to_owned()), target.to_owned());
    Syscall::Mount { source, target, fstype: None, flags, data: None }
}
