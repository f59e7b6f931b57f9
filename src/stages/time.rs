//! time: another time since boot.
//!
//! The clock on the wall has no namespace: it is one for all. What has one are the two clocks that
//! count from an arbitrary start, so that a program that is moved to another machine finds them
//! where it left them. The offset can be set only while the namespace has no process in it; as with
//! `pid`, it is the children who will be in it (and, with newer kernels, who calls execve(2)).

// ANCHOR: stage
use crate::stages::stage::{About, Spec, Stage, StageName, Step};
use crate::syscall::{CLONE_NEWTIME, Syscall};

pub(super) struct Time;

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
        let mut steps = vec![
            Syscall::Unshare(CLONE_NEWTIME)
                .because("let the children have clocks of their own since boot"),
            Syscall::TimeOffset(spec.settings.boottime)
                .because("so many seconds more since boot; later than now it cannot be set"),
        ];
        if !spec.has("pid") {
            steps.extend([
                Syscall::Fork.because("be such a child"),
                Syscall::DieWithParent.because("a child does not inherit it"),
            ]);
        }
        steps
    }
}
// ANCHOR_END: stage
