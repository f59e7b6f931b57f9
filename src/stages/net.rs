//! net: a network of one's own.
//!
//! A new network namespace has its own devices, addresses, routes, ports and firewall: that is, one
//! loopback device that is down, and nothing else.

// ANCHOR: stage
use nix::sched::CloneFlags;

use crate::stages::stage::{About, Spec, Stage, StageName, Step};
use crate::syscall::Syscall;

pub(super) struct Net;

impl Stage for Net {
    fn name(&self) -> StageName {
        "net"
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
            Syscall::Unshare(CloneFlags::CLONE_NEWNET)
                .because("begin with an empty network: no device but a loopback that is down"),
            Syscall::LoopbackUp.because("bring it up, so that 127.0.0.1 answers"),
        ]
    }
}
// ANCHOR_END: stage
