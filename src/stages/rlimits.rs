//! rlimits: limits on each process by itself.
//!
//! What there was before cgroups, and what everybody may use: setrlimit(2) lowers what the calling
//! process may have, and its children inherit it. But every process gets the limit anew, so two of
//! them may use twice as much; memory is counted in addresses, used or not; and the number of
//! processes is counted for the user in the user namespace, and not at all for root.

// ANCHOR: stage
use nix::sys::resource::Resource;

use crate::stages::stage::{About, Spec, Stage, StageName, Step};
use crate::syscall::Syscall;

pub(super) struct Rlimits;

impl Stage for Rlimits {
    fn name(&self) -> StageName {
        "rlimits"
    }

    fn about(&self) -> About {
        About {
            title: "limits on each process by itself",
            isolates: "one process's hunger from the others, a little",
            leaks: "processes add up: each one has the limit anew; CPU time and disks",
            since: "4.2BSD (1983); in Linux from the beginning",
            see: &["getrlimit(2)", "prlimit(1)"],
        }
    }

    fn conflicts(&self) -> &'static [StageName] {
        &["cgroups"]
    }

    fn enter(&self, spec: &Spec) -> Vec<Step> {
        let limits = &spec.settings.limits;
        let mut steps = Vec::new();
        if let Some(memory) = limits.memory.and_then(|memory| memory.0) {
            steps.push(
                Syscall::Setrlimit(Resource::RLIMIT_AS, memory).because(
                    "no process may have more addresses than this; each one may have them",
                ),
            );
        }
        if let Some(pids) = limits.pids_limit.and_then(|pids| pids.0) {
            steps.push(
                Syscall::Setrlimit(Resource::RLIMIT_NPROC, pids.into())
                    .because("this user may have no more processes; root may"),
            );
        }
        steps
    }
}
// ANCHOR_END: stage
