//! pid: process numbers of one's own.
//!
//! unshare(2) cannot change the number of the process that calls it. It says that the *children*
//! will be in the new namespace, so a fork has to follow; that first child is process 1, and when
//! it ends, the kernel kills all others in there.
//!
//! Numbers are one thing, seeing is another: `ps` reads /proc, and a /proc shows the processes of
//! the namespace in which it was mounted. So a new one is mounted.

// ANCHOR: stage
use clap::Args;
use nix::sched::CloneFlags;
use serde::{Deserialize, Serialize};

use super::names::{MNT, PID};
use super::spec::Spec;
use super::stage::{About, Stage};
use crate::plan::step::{Because, StageName, Step};
use crate::syscall::{DieWithParent, Fork, Mount, Unshare};

#[derive(Args, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Pid {}

impl Stage for Pid {
    fn name(&self) -> StageName {
        PID
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
        &[MNT] // or the new /proc would cover the host's
    }

    fn enter(&self, spec: &Spec) -> Vec<Step> {
        vec![
            Unshare(CloneFlags::CLONE_NEWPID)
                .because("let the children have process numbers of their own"),
            Fork.because("be that child: it is process 1"),
            DieWithParent.because("a child does not inherit it"),
            Mount::new("proc", spec.proc(), Mount::QUIET)
                .because("a /proc that shows the processes of this namespace"),
        ]
    }
}
// ANCHOR_END: stage
