//! rlimits: limits on each process by itself.
//!
//! What there was before cgroups, and what everybody may use: setrlimit(2) lowers what the calling
//! process may have, and its children inherit it. But every process gets the limit anew, so two of
//! them may use twice as much; memory is counted in addresses, used or not; and the number of
//! processes is counted for the user in the user namespace, and not at all for root.

// ANCHOR: stage
use clap::Args;
use nix::sys::resource::Resource;
use serde::{Deserialize, Serialize};

use super::names::{CGROUPS, RLIMITS};
use super::spec::Spec;
use super::stage::{About, Stage};
use crate::plan::step::{Because, StageName, Step};
use crate::syscall::Setrlimit;

#[derive(Args, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Rlimits {}

impl Stage for Rlimits {
    fn name(&self) -> StageName {
        RLIMITS
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
        &[CGROUPS]
    }

    fn obeys(&self) -> &'static [&'static str] {
        &["memory", "pids-limit"]
    }

    fn enter(&self, spec: &Spec) -> Vec<Step> {
        let mut steps = Vec::new();
        if let Some(bytes) = spec.limits.memory.and_then(|memory| memory.0) {
            let why = "no process may have more addresses than this; each one may have them";
            steps.push(Setrlimit(Resource::RLIMIT_AS, bytes).because(why));
        }
        if let Some(pids) = spec.limits.pids_limit.and_then(|pids| pids.0) {
            let why = "this user may have no more processes; root may";
            steps.push(Setrlimit(Resource::RLIMIT_NPROC, pids.into()).because(why));
        }
        steps
    }
}
// ANCHOR_END: stage
