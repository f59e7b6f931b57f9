//! net: a network of one's own.
//!
//! A new network namespace has its own devices, addresses, routes, ports and firewall: that is, one
//! loopback device that is down, and nothing else.

// ANCHOR: stage
use clap::Args;
use nix::sched::CloneFlags;
use serde::{Deserialize, Serialize};

use super::names::NET;
use super::spec::Spec;
use super::stage::{About, Stage};
use crate::plan::step::{Because, StageName, Step};
use crate::syscall::{LoopbackUp, Unshare};

#[derive(Args, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Net {}

impl Stage for Net {
    fn name(&self) -> StageName {
        NET
    }

    fn about(&self) -> About {
        About {
            title: "a network of one's own",
            isolates: "devices, addresses, routes, ports, abstract sockets",
            leaks: "files, processes, hostname",
            since: "Linux 2.6.29 (2009)",
            see: &["network_namespaces(7)", "netlink(7)"],
        }
    }

    fn enter(&self, _: &Spec) -> Vec<Step> {
        vec![
            Unshare(CloneFlags::CLONE_NEWNET)
                .because("begin with an empty network: no device but a loopback that is down"),
            LoopbackUp.because("bring it up, so that 127.0.0.1 answers"),
        ]
    }
}
// ANCHOR_END: stage
