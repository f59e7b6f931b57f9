//! ipc: System V IPC and message queues of one's own.
//!
//! System V shared memory, semaphores and message queues, and POSIX message queues, have names that
//! are not files. A new IPC namespace begins without any.

// ANCHOR: stage
use nix::sched::CloneFlags;

use crate::stages::stage::{About, Spec, Stage, StageName, Step};
use crate::syscall::Syscall;

pub(super) struct Ipc;

impl Stage for Ipc {
    fn name(&self) -> StageName {
        "ipc"
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
            Syscall::Unshare(CloneFlags::CLONE_NEWIPC)
                .because("begin with no shared memory, semaphore or message queue"),
        ]
    }
}
// ANCHOR_END: stage
