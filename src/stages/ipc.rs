//! ipc: System V IPC and message queues of one's own.
//!
//! System V shared memory, semaphores and message queues, and POSIX message queues, have names that
//! are not files. A new IPC namespace begins without any.

// ANCHOR: stage
use clap::Args;
use nix::sched::CloneFlags;
use serde::{Deserialize, Serialize};

use super::names::IPC;
use super::spec::Spec;
use super::stage::{About, Stage};
use crate::plan::step::{Because, StageName, Step};
use crate::syscall::Unshare;

#[derive(Args, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Ipc {}

impl Stage for Ipc {
    fn name(&self) -> StageName {
        IPC
    }

    fn about(&self) -> About {
        About {
            title: "System V IPC and message queues of one's own",
            isolates: "shared memory segments, semaphores, message queues",
            leaks: "shared memory that is a file; sockets",
            since: "Linux 2.6.19 (2006)",
            see: &["ipc_namespaces(7)", "sysvipc(7)", "mq_overview(7)"],
        }
    }

    fn enter(&self, _: &Spec) -> Vec<Step> {
        vec![
            Unshare(CloneFlags::CLONE_NEWIPC)
                .because("begin with no shared memory, semaphore or message queue"),
        ]
    }
}
// ANCHOR_END: stage
