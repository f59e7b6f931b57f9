//! pivot-root: another root mount, and the old one gone.
//!
//! chroot(2) moves a pointer of one process; the host's files stay mounted, one trick away.
//! pivot_root(2) works on the mount table instead: the new root's mount takes the place of the old
//! one, and the old one is put where it can be detached. After that there is no path, and no
//! trick with paths, that leads back: the mount namespace holds nothing else.
//!
//! The two dots are one place on purpose. With both arguments ".", the kernel stacks the old root
//! on top of the new one at the same point, and umount2(".") takes the top one off: no directory
//! for the old root has to be made in the new one.

// ANCHOR: stage
use std::path::PathBuf;

use clap::Args;
use nix::errno::Errno;
use nix::mount::MntFlags;
use serde::{Deserialize, Serialize};

use super::chroot::rootfs_is_gone;
use super::names::{CHROOT, MNT, PIVOT_ROOT, ROOTFS};
use super::spec::Spec;
use super::stage::{About, Stage};
use crate::plan::step::{Because, StageName, Step};
use crate::syscall::{self, Chdir, CloseFrom, Syscall, Umount2};

#[derive(Args, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PivotRoot {}

/// Descriptors below this number are the command's stdin, stdout and stderr, and two pipes of the
/// runner that execve(2) closes.
pub(crate) const FIRST_FOREIGN_DESCRIPTOR: u32 = 5;

impl Stage for PivotRoot {
    fn name(&self) -> StageName {
        PIVOT_ROOT
    }

    fn about(&self) -> About {
        About {
            title: "another root mount, the old one detached",
            isolates: "the files, for root too: the host's are not in the mount table any more",
            leaks: "processes, users, hostname, network; a host's /proc still has doors",
            since: "Linux 2.3.41 (2000)",
            see: &["pivot_root(2)", "umount2(2)", "close_range(2)", "pivot_root(8)"],
        }
    }

    fn needs(&self) -> &'static [StageName] {
        // `mnt`: on the host's own mount table this would replace everybody's root.
        // `rootfs`: the new root must be a mount point.
        &[MNT, ROOTFS]
    }

    fn conflicts(&self) -> &'static [StageName] {
        &[CHROOT]
    }

    fn enter(&self, spec: &Spec) -> Vec<Step> {
        let here = PathBuf::from(".");
        vec![
            Chdir(spec.root()).because("stand in the new root"),
            syscall::PivotRoot { new_root: here.clone(), put_old: here.clone() }
                .because("make its mount the root; the old root now lies on top of it"),
            Umount2(here, MntFlags::MNT_DETACH)
                .because("take the old root off: nothing of the host is mounted any more")
                .forgettable(),
            Chdir(PathBuf::from("/")).because("stand in what is left: the new root"),
            CloseFrom(FIRST_FOREIGN_DESCRIPTOR)
                .because("let go of descriptors: one opened before would still lead outside")
                .forgettable(),
        ]
    }

    fn remedy(&self, call: &Syscall, errno: Errno) -> Option<String> {
        rootfs_is_gone(call, errno)
    }
}
// ANCHOR_END: stage
