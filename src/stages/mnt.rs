//! mnt: a mount table of one's own.
//!
//! The new mount namespace begins as a copy of the host's mount table, not of its files: a file
//! written here is written there. What is private is the table. And even that only after the
//! second call: on most machines every mount is `shared`, which means that the copies stay in a
//! peer group and tell each other about new mounts.

// ANCHOR: stage
use std::path::PathBuf;

use nix::mount::MsFlags;
use nix::sched::CloneFlags;

use crate::stages::stage::{About, Propagation, Spec, Stage, StageName, Step};
use crate::syscall::Syscall;

pub(super) struct Mnt;

impl Stage for Mnt {
    fn name(&self) -> StageName {
        "mnt"
    }

    fn about(&self) -> About {
        About {
            title: "a mount table of one's own",
            isolates: "what is mounted from now on: the host does not see it",
            leaks: "all files, until the root is changed; processes, hostname, network",
            since: "Linux 2.4.19 (2002)",
            see: &["mount_namespaces(7)", "unshare(2)", "mount(2)"],
        }
    }

    fn enter(&self, spec: &Spec) -> Vec<Step> {
        let (propagation, why) = match spec.settings.propagation {
            Propagation::Private => (
                MsFlags::MS_PRIVATE,
                "leave the peer group, or mounts made here would appear on the host",
            ),
            Propagation::Slave => (
                MsFlags::MS_SLAVE,
                "only listen to the peer group: the host's new mounts appear here, ours not there",
            ),
            Propagation::Shared => (
                MsFlags::MS_SHARED,
                "stay in the peer group: mounts made here appear on the host, and the other way; a \
                 new user namespace leaves it all the same",
            ),
        };
        vec![
            Syscall::Unshare(CloneFlags::CLONE_NEWNS)
                .because("take a private copy of the mount table"),
            Syscall::Mount {
                source: None,
                target: PathBuf::from("/"),
                fstype: None,
                flags: MsFlags::MS_REC | propagation,
                data: None,
            }
            .because(why),
        ]
    }
}
// ANCHOR_END: stage
