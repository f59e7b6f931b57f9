//! user: root in here, an ordinary user out there.
//!
//! In a user namespace of its own a process has every capability, over that namespace and what
//! is made in it, and none over the host. The two maps say who it is on either side. This is what
//! lets somebody without root build a container.
//!
//! Root itself becomes `nobody` first. Root mapped to root would be exempt from some limits, and
//! files of the host's root would still be its own.

// ANCHOR: stage
use std::path::PathBuf;

use nix::sched::CloneFlags;

use crate::stages::stage::{About, Spec, Stage, StageName, Step};
use crate::syscall::Syscall;

pub(super) struct User;

/// The user and group `nobody`, which own no files.
pub(super) const NOBODY: u32 = 65534;

const WHY_UNSHARE: &str = "enter a user namespace: all capabilities, but only over what is in it";

impl Stage for User {
    fn name(&self) -> StageName {
        "user"
    }

    fn about(&self) -> About {
        About {
            title: "root in here, an ordinary user out there",
            isolates: "user ids and capabilities: root here has no power over the host",
            leaks: "everything that an ordinary user sees",
            since: "Linux 3.8 (2013)",
            see: &["user_namespaces(7)", "capabilities(7)", "unshare(2)"],
        }
    }

    fn enter(&self, spec: &Spec) -> Vec<Step> {
        let mut steps = Vec::new();
        let (mut uid, mut gid) = (spec.host.uid, spec.host.gid);
        if spec.host.machine_root {
            (uid, gid) = (NOBODY, NOBODY);
            if spec.has("rootfs") {
                steps.push(
                    Syscall::Chdir(spec.rootfs.clone())
                        .because("hold on to the rootfs: nobody may not be able to walk to it"),
                );
            }
            steps.extend([
                Syscall::ClearGroups.because("leave root's groups"),
                Syscall::Setresgid(gid).because("leave root's group"),
                Syscall::Setresuid(uid).because("and root itself: outside we are nobody now"),
                Syscall::SetDumpable.because("own /proc/self again, to write the maps below"),
                Syscall::DieWithParent.because("a change of user forgot it"),
            ]);
        }
        if let Some(ids) = spec.host.subids.as_ref().filter(|_| spec.settings.map_auto) {
            steps.extend([
                Syscall::Unshare(CloneFlags::CLONE_NEWUSER).because(WHY_UNSHARE),
                Syscall::MapIds("newuidmap", vec![(0, uid, 1), (1, ids.uid.0, ids.uid.1)])
                    .because("root inside is this user outside, and the rest are ids set aside")
                    .by_parent(),
                Syscall::MapIds("newgidmap", vec![(0, gid, 1), (1, ids.gid.0, ids.gid.1)])
                    .because("and the groups likewise")
                    .by_parent(),
            ]);
            return steps;
        }
        let own = |file: &str| PathBuf::from("/proc/self").join(file);
        steps.extend([
            Syscall::Unshare(CloneFlags::CLONE_NEWUSER).because(WHY_UNSHARE),
            Syscall::Write(own("setgroups"), "deny".to_owned())
                .because("give up setgroups(2): the kernel wants that before the group map"),
            Syscall::Write(own("uid_map"), format!("0 {uid} 1"))
                .because("root inside is this user outside")
                .forgettable(),
            Syscall::Write(own("gid_map"), format!("0 {gid} 1"))
                .because("and the group likewise")
                .forgettable(),
        ]);
        steps
    }
}
// ANCHOR_END: stage
