//! init: a process 1 that reaps the dead and passes signals on.
//!
//! The first process of a PID namespace has duties: whoever loses their parent becomes its child, and
//! it must wait for them, or they stay as zombies. The kernel also spares it all signals that it has
//! no handler for, Ctrl-C among them. Few programs know that they are process 1. So `sandbox` stays
//! in this place, and the command is its child.

// ANCHOR: stage
use clap::Args;
use serde::{Deserialize, Serialize};

use super::names::PID;
use super::spec::Spec;
use super::stage::{About, Joins, Stage};
use crate::plan::step::{Because, StageName, Step};
use crate::syscall::{DieWithParent, Fork};

#[derive(Args, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[command(next_help_heading = "The stage init")]
#[serde(default, deny_unknown_fields)]
pub struct Init {
    /// Keep a process 1 that reaps the dead and passes signals on; brings this stage along
    #[arg(long)]
    pub init: bool,
}

impl Stage for Init {
    fn name(&self) -> StageName {
        "init"
    }

    fn about(&self) -> About {
        About {
            title: "a process 1 that reaps the dead and passes signals on",
            isolates: "nothing: it does for the command what an init process does",
            leaks: "nothing more and nothing less than without it",
            since: "every Unix has a process 1; a namespace's own: Linux 2.6.24 (2008)",
            see: &["pid_namespaces(7)", "wait(2)", "signal(7)"],
        }
    }

    fn needs(&self) -> &'static [StageName] {
        &[PID]
    }

    fn joins(&self, _: &Spec) -> Joins {
        if self.init { Joins::Yes } else { Joins::No }
    }

    fn enter(&self, _: &Spec) -> Vec<Step> {
        // After the root switch: nobody in here has the old root.
        vec![
            Fork.because("the command is process 2; process 1 waits for all who end"),
            DieWithParent.because("a child does not inherit it"),
        ]
    }
}
// ANCHOR_END: stage
