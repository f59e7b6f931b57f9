//! Calls about the network.

use super::call::{Call, Shell};
use crate::machine::netlink;

/// A netlink(7) request that brings the loopback device up.
#[derive(Clone, Debug, PartialEq)]
pub struct LoopbackUp;

impl Call for LoopbackUp {
    fn strace(&self) -> String {
        "sendto(NETLINK_ROUTE, RTM_NEWLINK, lo, IFF_UP)".to_owned()
    }

    fn by_hand(&self) -> Shell {
        Shell::line("ip link set lo up")
    }

    fn perform(&self) -> nix::Result<()> {
        netlink::loopback_up()
    }
}
