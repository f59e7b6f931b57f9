//! cgroup-ns: the cgroup tree as seen from one's own place.
//!
//! /proc/self/cgroup names the cgroup of a process by its path in the hierarchy. In a new cgroup
//! namespace that path begins where the process stood when it entered: it reads `/`.

// ANCHOR: stage
use clap::Args;
use nix::sched::CloneFlags;
use serde::{Deserialize, Serialize};

use super::names::CGROUP_NS;
use super::spec::Spec;
use super::stage::{About, Stage};
use crate::plan::step::{Because, StageName, Step};
use crate::syscall::Unshare;

#[derive(Args, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CgroupNs {}

impl Stage for CgroupNs {
    fn name(&self) -> StageName {
        CGROUP_NS
    }

    fn about(&self) -> About {
        About {
            title: "the cgroup tree as seen from one's own place",
            isolates: "the path of the cgroup; not the limits",
            leaks: "everything else: the namespace limits nothing",
            since: "Linux 4.6 (2016)",
            see: &["cgroup_namespaces(7)", "cgroups(7)"],
        }
    }

    fn enter(&self, _: &Spec) -> Vec<Step> {
        vec![Unshare(CloneFlags::CLONE_NEWCGROUP).because("call our place in the cgroup tree `/`")]
    }
}
// ANCHOR_END: stage
