//! uts: a hostname of one's own.
//!
//! UTS stands for the structure that uname(2) fills in. Of its fields two can be set, the hostname
//! and the NIS domain name, and these are what the namespace holds.

// ANCHOR: stage
use nix::sched::CloneFlags;

use crate::stages::stage::{About, Spec, Stage, StageName, Step};
use crate::syscall::Syscall;

pub(super) struct Uts;

impl Stage for Uts {
    fn name(&self) -> StageName {
        "uts"
    }

    fn about(&self) -> About {
        About {
            title: "a hostname of one's own",
            isolates: "the hostname and the NIS domain name",
            leaks: "everything else",
            since: "Linux 2.6.19 (2006)",
            see: &["uts_namespaces(7)", "sethostname(2)"],
        }
    }

    fn enter(&self, spec: &Spec) -> Vec<Step> {
        vec![
            Syscall::Unshare(CloneFlags::CLONE_NEWUTS)
                .because("take a private copy of the host's name"),
            Syscall::Sethostname(spec.settings.hostname.clone())
                .because("rename the copy; the host keeps its own"),
        ]
    }
}
// ANCHOR_END: stage
