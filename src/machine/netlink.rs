//! One netlink(7) request, written out byte by byte: `ip link set lo up`.

use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket,
};

/// Brings the loopback device of the current network namespace up.
///
/// # Errors
/// What the kernel answered, EPERM without CAP_NET_ADMIN over the namespace.
pub(crate) fn loopback_up() -> nix::Result<()> {
    const RTM_NEWLINK: u16 = 16;
    const REQUEST_AND_ACKNOWLEDGE: u16 = 0x1 | 0x4;
    const LOOPBACK: u32 = 1; // always the first device of a network namespace
    const IFF_UP: u32 = 1;

    let mut request = Vec::with_capacity(32);
    request.extend(32_u32.to_ne_bytes()); // struct nlmsghdr: length,
    request.extend(RTM_NEWLINK.to_ne_bytes()); // type,
    request.extend(REQUEST_AND_ACKNOWLEDGE.to_ne_bytes()); // flags,
    request.extend([0; 8]); // sequence number, port
    request.extend([0; 4]); // struct ifinfomsg: family, padding, device type,
    request.extend(LOOPBACK.to_ne_bytes()); // device,
    request.extend(IFF_UP.to_ne_bytes()); // flags to set,
    request.extend(IFF_UP.to_ne_bytes()); // and which of them are meant

    let link = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkRoute,
    )?;
    sendto(link.as_raw_fd(), &request, &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
    let mut answer = [0; 64];
    let length = recv(link.as_raw_fd(), &mut answer, MsgFlags::empty())?;
    match answer.get(16..20).filter(|_| length >= 20) {
        Some(code) => match i32::from_ne_bytes([code[0], code[1], code[2], code[3]]) {
            0 => Ok(()),
            error => Err(Errno::from_raw(-error)),
        },
        None => Err(Errno::EPROTO),
    }
}
