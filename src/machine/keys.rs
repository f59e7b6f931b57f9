//! The keys that the kernel keeps for programs; see keyrings(7).

use nix::errno::Errno;

/// Whether the kernel keeps keys, and lets us ask: many container runtimes do not.
pub fn are_there() -> bool {
    let asked = keyctl(libc::KEYCTL_GET_KEYRING_ID, libc::KEY_SPEC_SESSION_KEYRING.into());
    !matches!(asked, Err(Errno::ENOSYS | Errno::EPERM | Errno::EOPNOTSUPP))
}

/// Joins a new session keyring without a name.
pub(crate) fn join_session_keyring() -> nix::Result<()> {
    keyctl(libc::KEYCTL_JOIN_SESSION_KEYRING, 0)
}

fn keyctl(operation: u32, argument: libc::c_long) -> nix::Result<()> {
    let nothing: libc::c_long = 0;
    // SAFETY: all arguments are numbers; the one that may be the address of a name is none.
    #[expect(unsafe_code)]
    let answer = unsafe {
        libc::syscall(libc::SYS_keyctl, libc::c_ulong::from(operation), argument, nothing)
    };
    Errno::result(answer).map(drop)
}
