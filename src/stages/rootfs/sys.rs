//! /sys in the new root: the network devices, and the sandbox's own cgroups.

use nix::mount::MsFlags;

use crate::cgroups::Version;
use crate::plan::step::{Because, Step};
use crate::stages::names::{NET, STAND_IN};
use crate::stages::spec::Spec;
use crate::syscall::{Mkdir, Mount};

const WHY_CGROUP: &str = "the files of the sandbox's own cgroup, where programs look for them";

/// The mounts below /sys.
pub(super) fn steps(spec: &Spec) -> Vec<Step> {
    let (sys, fs) = (spec.in_root("/sys"), spec.in_root("/sys/fs"));
    let tree = spec.in_root("/sys/fs/cgroup");
    let cgroups = &spec.cgroups;
    let mut steps = Vec::new();
    if spec.has(NET) {
        steps.push(
            Mount::new("sysfs", sys, Mount::QUIET | MsFlags::MS_RDONLY)
                .because("/sys shows the network devices of the namespace it is mounted in"),
        );
    } else if !cgroups.is_empty() {
        let memory = Mount::new("tmpfs", sys, Mount::QUIET).with("mode=755,size=64k");
        steps.push(memory.because(WHY_CGROUP));
        steps.push(Mkdir(fs, 0o755).because(WHY_CGROUP));
        steps.push(Mkdir(tree.clone(), 0o755).because(WHY_CGROUP));
    }
    if cgroups.iter().any(|cgroup| cgroup.version == Version::V1) {
        let place = Mount::new("tmpfs", tree.clone(), Mount::QUIET).with("mode=755,size=64k");
        steps.push(place.because("version 1 has a tree for each controller: make room for them"));
    }
    let mut shown = Vec::new();
    for cgroup in cgroups {
        match cgroup.version {
            Version::V1 => {
                let named = cgroup.controllers.iter().map(|name| (&cgroup.dir, tree.join(name)));
                shown.extend(named);
            }
            Version::V2 if cgroups.len() > 1 => shown.push((&cgroup.dir, tree.join("unified"))),
            Version::V2 => shown.push((&cgroup.dir, tree.clone())),
        }
    }
    for (_, at) in shown.iter().filter(|(_, at)| *at != tree) {
        steps.push(Mkdir(at.clone(), 0o755).because("a directory for each tree"));
    }
    for (dir, at) in &shown {
        steps.push(Mount::bind(*dir, at.clone()).recursive().because(WHY_CGROUP));
    }
    // The stand-in host makes cgroups for its sandboxes there.
    if !spec.has(STAND_IN) {
        for (_, at) in &shown {
            let why = "only to be read: the limits are set from outside";
            steps.push(Mount::read_only(at.clone(), Mount::QUIET).because(why));
        }
    }
    steps
}
