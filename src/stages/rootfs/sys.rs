//! /sys in the new root: the network devices, and the sandbox's own cgroups.

use std::path::PathBuf;

use nix::mount::MsFlags;

use super::{bind, mount};
use crate::cgroups::Version;
use crate::stage::{Spec, Step};
use crate::syscall::Syscall;

const QUIET: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV).union(MsFlags::MS_NOEXEC);

const WHY_CGROUP: &str = "the files of the sandbox's own cgroup, where programs look for them";

/// The mounts below /sys.
pub(super) fn steps(spec: &Spec) -> Vec<Step> {
    let at = |path: &str| spec.in_root("/sys").join(path);
    let cgroups = spec.cgroups();
    let mut steps = Vec::new();
    if spec.has("net") {
        steps.push(
            mount("sysfs", at(""), QUIET | MsFlags::MS_RDONLY, None)
                .because("/sys shows the network devices of the namespace it is mounted in"),
        );
    } else if !cgroups.is_empty() {
        steps.push(mount("tmpfs", at(""), QUIET, Some("mode=755,size=64k")).because(WHY_CGROUP));
        steps.push(Syscall::Mkdir(at("fs"), 0o755).because(WHY_CGROUP));
        steps.push(Syscall::Mkdir(at("fs/cgroup"), 0o755).because(WHY_CGROUP));
    }
    if cgroups.iter().any(|cgroup| cgroup.version == Version::V1) {
        let place = mount("tmpfs", at("fs/cgroup"), QUIET, Some("mode=755,size=64k"));
        steps.push(place.because("version 1 has a tree for each controller: make room for them"));
    }
    for cgroup in &cgroups {
        let names: Vec<&str> = match cgroup.version {
            Version::V1 => cgroup.controllers.iter().map(String::as_str).collect(),
            Version::V2 if cgroups.len() > 1 => vec!["unified"],
            Version::V2 => vec![""],
        };
        for name in names {
            let target = at("fs/cgroup").join(name);
            if !name.is_empty() {
                steps.push(Syscall::Mkdir(target.clone(), 0o755).because(WHY_CGROUP));
            }
            steps.push(bind(cgroup.dir.clone(), target.clone()).because(WHY_CGROUP));
            // The stand-in host makes cgroups for its sandboxes there.
            if !spec.has("stand-in") {
                steps
                    .push(read_only(target).because("to be read: the limits are set from outside"));
            }
        }
    }
    steps
}

fn read_only(target: PathBuf) -> Syscall {
    let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY | QUIET;
    Syscall::Mount { source: Some(target.clone()), target, fstype: None, flags, data: None }
}
