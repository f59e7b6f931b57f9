//! time: another time since boot.
//!
//! The clock on the wall has no namespace: it is one for all. What has one are the two clocks that
//! count from an arbitrary start, so that a program that is moved to another machine finds them
//! where it left them. The offset can be set only while the namespace has no process in it; as with
//! `pid`, it is the children who will be in it (and, with newer kernels, who calls execve(2)).

// ANCHOR: stage
use clap::Args;
use serde::{Deserialize, Serialize};

use super::names::PID;
use super::spec::Spec;
use super::stage::{About, Stage};
use crate::plan::step::{Because, StageName, Step};
use crate::syscall::{CLONE_NEWTIME, DieWithParent, Fork, TimeOffset, Unshare};

#[derive(Args, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[command(next_help_heading = "The stage time")]
#[serde(default, deny_unknown_fields)]
pub struct Time {
    /// The seconds that are added to the time since boot [default: 864000, ten days]
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    pub boottime: Option<i64>,
}

impl Stage for Time {
    fn name(&self) -> StageName {
        "time"
    }

    fn about(&self) -> About {
        About {
            title: "another time since boot",
            isolates: "the clocks that count from boot: uptime, CLOCK_MONOTONIC, CLOCK_BOOTTIME",
            leaks: "the date and the time of day, and everything else",
            since: "Linux 5.6 (2020)",
            see: &["time_namespaces(7)", "clock_gettime(2)"],
        }
    }

    fn enter(&self, spec: &Spec) -> Vec<Step> {
        let seconds = self.boottime.unwrap_or(10 * 24 * 60 * 60);
        let mut steps = vec![
            Unshare(CLONE_NEWTIME).because("let the children have clocks of their own since boot"),
            TimeOffset(seconds)
                .because("so many seconds more since boot; later than now it cannot be set"),
        ];
        if !spec.has(PID) {
            steps.extend([
                Fork.because("be such a child"),
                DieWithParent.because("a child does not inherit it"),
            ]);
        }
        steps
    }
}
// ANCHOR_END: stage
