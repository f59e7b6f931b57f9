//! /sys in the new root: the network devices, and the sandbox's own cgroups.

use std::path::PathBuf;

use nix::mount::MsFlags;

use super::{bind, mount};
use crate::cgroups::Version;
use crate::stages::stage::{Spec, Step};
use crate::syscall::Syscall;

const QUIET: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV).union(MsFlags::MS_NOEXEC);

const WHY_CGROUP: &str = "the files of the sandbox's own cgroup, where programs look for them";

/// The mounts below /sys.
pub(super) fn steps(spec: &Spec) -> Vec<Step> {
    let (sys, fs) = (spec.in_root("/sys"), spec.in_root("/sys/fs"));
    let tree = spec.in_root("/sys/fs/cgroup");
    let cgroups = spec.cgroups();
    let mut steps = Vec::new();
    if spec.has("net") {
        steps.push(
            mount("sysfs", sys, QUIET | MsFlags::MS_RDONLY, None)
                .because("/sys shows the network devices of the namespace it is mounted in"),
        );
    } else if !cgroups.is_empty() {
        steps.push(mount("tmpfs", sys, QUIET, Some("mode=755,size=64k")).because(WHY_CGROUP));
        steps.push(Syscall::Mkdir(fs, 0o755).because(WHY_CGROUP));
        steps.push(Syscall::Mkdir(tree.clone(), 0o755).because(WHY_CGROUP));
    }
    if cgroups.iter().any(|cgroup| cgroup.version == Version::V1) {
        let place = mount("tmpfs", tree.clone(), QUIET, Some("mode=755,size=64k"));
        steps.push(place.because("version 1 has a tree for each controller: make room for them"));
    }
    let mut show = Vec::new();
    for cgroup in &cgroups {
        match cgroup.version {
            Version::V1 => {
                show.extend(cgroup.controllers.iter().map(|name| (&cgroup.dir, tree.join(name))));
            }
            Version::V2 if cgroups.len() > 1 => show.push((&cgroup.dir, tree.join("unified"))),
            Version::V2 => show.push((&cgroup.dir, tree.clone())),
        }
    }
    let made = show.iter().filter(|(_, target)| *target != tree);
    steps.extend(made.map(|(_, target)| {
        Syscall::Mkdir(target.clone(), 0o755).because("a directory for each tree")
    }));
    steps.extend(
        show.iter().map(|(dir, target)| bind((*dir).clone(), target.clone()).because(WHY_CGROUP)),
    );
    // The stand-in host makes cgroups for its sandboxes there.
    if !spec.has("stand-in") {
        steps.extend(show.iter().map(|(_, target)| {
            read_only(target.clone()).because("only to be read: the limits are set from outside")
        }));
    }
    steps
}

fn read_only(target: PathBuf) -> Syscall {
    let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY | QUIET;
    Syscall::Mount { source: Some(target.clone()), target, fstype: None, flags, data: None }
}
