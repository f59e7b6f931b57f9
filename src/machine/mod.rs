//! This machine, and what the kernel and other programs do for us here.

pub(crate) mod caller;
pub mod files;
pub mod host;
pub mod ids;
pub mod inside;
pub(crate) mod kernel;
pub mod keys;
pub(crate) mod netlink;
pub mod process;
pub mod programs;
pub mod scope;
pub(crate) mod sealed;

pub mod userns;

pub use rootfs_fetch::mounts;
