//! nice: a smaller share of the processor.
//!
//! What there was before cgroups to share the processor, and what everybody may use: setpriority(2)
//! says how far a process gives way to others, from -20, hardly ever, to 19, nearly always. It is a
//! word about one process: children inherit it, but each one competes by itself, so ten nice
//! processes get ten small shares, where the `cpu.weight` of a cgroup is one share for all in it. And
//! it counts only among neighbours: in one cgroup, or with autogroup, see sched(7), in one session.

// ANCHOR: stage
use std::fmt;
use std::str::FromStr;

use clap::Args;
use serde::{Deserialize, Serialize};

use super::spec::Spec;
use super::stage::{About, Joins, Stage};
use crate::plan::step::{Because, StageName, Step};
use crate::scalar::scalar;
use crate::syscall::Setpriority;

#[derive(Args, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[command(next_help_heading = "The stage nice")]
#[serde(default, deny_unknown_fields)]
pub struct Nice {
    /// Give way so far to others that want the processor, from -20 (root) to 19 [default: 19]; brings
    /// this stage along
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    pub nice: Option<Niceness>,
}

impl Stage for Nice {
    fn name(&self) -> StageName {
        "nice"
    }

    fn about(&self) -> About {
        About {
            title: "a smaller share of the processor",
            isolates: "the others from one process's hunger for the processor, a little",
            leaks: "processes add up, other sessions notice nothing; memory and disks",
            since: "4.2BSD (1983); nice(2) is older",
            see: &["setpriority(2)", "nice(1)", "renice(1)", "sched(7)"],
        }
    }

    fn joins(&self, _: &Spec) -> Joins {
        if self.nice.is_some() { Joins::Yes } else { Joins::No }
    }

    fn enter(&self, _: &Spec) -> Vec<Step> {
        let Niceness(nice) = self.nice.unwrap_or(FURTHEST);
        let why = "when several want the processor, this one and its children give way so far";
        vec![Setpriority(nice).because(why)]
    }
}
// ANCHOR_END: stage

/// Where everybody may go from wherever they are, so that the kernel refuses nothing nobody asked for.
const FURTHEST: Niceness = Niceness(19);

/// How far a process gives way, as setpriority(2) takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Niceness(i32);

impl FromStr for Niceness {
    type Err = String;

    fn from_str(text: &str) -> Result<Niceness, String> {
        match text.parse() {
            Ok(nice @ -20..=19) => Ok(Niceness(nice)),
            _ => Err("a niceness is a number from -20 to 19".to_owned()),
        }
    }
}

impl fmt::Display for Niceness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

scalar!(Niceness);
