//! pid: process numbers of one's own.
//!
//! unshare(2) cannot change the number of the process that calls it. It says that the *children*
//! will be in the new namespace, so a fork has to follow; that first child is process 1, and when
//! it ends, the kernel kills all others in there.
//!
//! Numbers are one thing, seeing is another: `ps` reads /proc, and a /proc shows the processes of
//! the namespace in which it was mounted. So a new one is mounted.

// ANCHOR: stage
use std::path::PathBuf;

use nix::mount::MsFlags;
use nix::sched::CloneFlags;

use crate::stage::{About, Spec, Stage, StageName, Step};
use crate::syscall::Syscall;

pub(super) struct Pid;

impl Stage for Pid {
    fn name(&self) -> StageName {
        "pid"
    }

    fn about(&self) -> About {
        About {
            title: "process numbers of one's own",
            isolates: "processes: those outside can be neither seen nor signalled",
            leaks: "files, hostname, network; the host sees us all the same",
            since: "Linux 2.6.24 (2008)",
            see: &["pid_namespaces(7)", "unshare(2)", "proc(5)"],
        }
    }

    fn needs(&self) -> &'static [StageName] {
        &["mnt"] // or the new /proc would cover the host's
    }

    fn enter(&self, spec: &Spec) -> Vec<Step> {
        let own_root = spec.changes_root() && spec.has("rootfs");
        let proc = if own_root { spec.in_root("/proc") } else { PathBuf::from("/proc") };
        vec![
            Syscall::Unshare(CloneFlags::CLONE_NEWPID)
                .because("let the children have process numbers of their own"),
            Syscall::Fork.because("be that child: it is process 1"),
            Syscall::DieWithParent.because("a child does not inherit it"),
            Syscall::Mount {
                source: Some(PathBuf::from("proc")),
                target: proc,
                fstype: Some("proc"),
                flags: MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC,
                data: None,
            }
            .because("a /proc that shows the processes of this namespace"),
        ]
    }
}
// ANCHOR_END: stage
