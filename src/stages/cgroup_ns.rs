//! cgroup-ns: the cgroup tree as seen from one's own place.
//!
//! /proc/self/cgroup names the cgroup of a process by its path in the hierarchy. In a new cgroup
//! namespace that path begins where the process stood when it entered: it reads `/`.

// ANCHOR: stage
use nix::sched::CloneFlags;

use crate::stages::stage::{About, Spec, Stage, StageName, Step};
use crate::syscall::Syscall;

pub(super) struct CgroupNs;

impl Stage for CgroupNs {
    fn name(&self) -> StageName {
        "cgroup-ns"
    }

    fn about(&self) -> About {
        About {
            title: "the cgroup tree as seen from one's own place",
            isolates: "the path of the cgroup; not the limits",
            leaks: "everything else: the namespace limits nothing",
            since: "Linux 4.6 (2016)",
            see: &["cgroup_namespaces(7)", "cgroups(7)"],
        }
    }

    fn enter(&self, _: &Spec) -> Vec<Step> {
        vec![
            Syscall::Unshare(CloneFlags::CLONE_NEWCGROUP)
                .because("call our place in the cgroup tree `/`"),
        ]
    }
}
// ANCHOR_END: stage
