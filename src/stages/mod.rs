//! The stages: one isolation mechanism, one file.

mod cgroup_ns;
mod cgroups;
mod chroot;
mod ipc;
mod mnt;
mod net;
mod overlay;
mod pid;
mod pivot_root;
mod rlimits;
mod rootfs;
pub mod stage;
mod stand_in;
mod time;
mod user;
mod uts;

use crate::machine::host::Host;
use crate::stages::stage::{Stage, StageName};

/// Every stage, in the order in which they run. The order of teaching is the lessons' business.
pub const STAGES: &[&dyn Stage] = &[
    &cgroups::Cgroups,    // before `user`: the place in the tree is the host's to give
    &user::User,          // then this: it grants the privilege that all others need
    &cgroup_ns::CgroupNs, // before the mounts, so that a cgroup mount shows the new root
    &mnt::Mnt,            // before anything is mounted, so that no mount reaches the host
    &uts::Uts,            // these three are independent of the rest:
    &ipc::Ipc,            // they stand here because a reader
    &net::Net,            // expects the namespaces together
    &stand_in::StandIn,   // makes the directory that `rootfs` would bind
    &overlay::Overlay,    // builds what `rootfs` would bind
    &rootfs::Rootfs,      // lays the root out while the host's files are still in reach
    &time::Time,          // before `pid`, whose fork makes the child that has the new clocks
    &pid::Pid,            // forks and mounts /proc: after a root switch that would be EPERM
    &pivot_root::PivotRoot, // the root switch comes last: what is not in the new root is gone
    &chroot::Chroot,      // the other root switch
    &rlimits::Rlimits,    // at the very end: they are for the command, not for us
];

/// The named, cumulative sets of stages.
pub const LEVELS: &[(&str, &[StageName])] = &[
    ("host", &[]),
    ("chroot", &["mnt", "rootfs", "chroot"]),
    (
        "namespaces",
        &["user", "cgroup-ns", "mnt", "uts", "ipc", "net", "rootfs", "pid", "pivot-root"],
    ),
    (
        "cgroups",
        &[
            "cgroups",
            "user",
            "cgroup-ns",
            "mnt",
            "uts",
            "ipc",
            "net",
            "rootfs",
            "pid",
            "pivot-root",
        ],
    ),
    (
        // For root without `user`, as the files of an image belong to root.
        "union",
        &[
            "cgroups",
            "cgroup-ns",
            "mnt",
            "uts",
            "ipc",
            "net",
            "overlay",
            "rootfs",
            "pid",
            "pivot-root",
        ],
    ),
];

/// The stage of this name.
pub fn find(name: &str) -> Option<&'static dyn Stage> {
    STAGES.iter().copied().find(|stage| stage.name() == name)
}

/// A stage with all that it needs.
pub fn with_needs(stage: StageName) -> Vec<StageName> {
    let mut stages = vec![stage];
    let mut at = 0;
    while let Some(stage) = stages.get(at).and_then(|name| find(name)) {
        let missing = stage.needs().iter().filter(|need| !stages.contains(need)).copied();
        let missing: Vec<StageName> = missing.collect();
        stages.extend(missing);
        at += 1;
    }
    stages
}

/// Who is not root gets the privilege for the other stages from the stage `user`. Says whether it
/// was added.
pub fn join_user(stages: &mut Vec<StageName>, host: &Host) -> bool {
    let joins = !host.privileged && !stages.is_empty() && !stages.contains(&"user");
    if joins {
        stages.insert(0, "user");
    }
    joins
}
