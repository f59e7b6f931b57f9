//! Provides root filesystems: from this machine, from apt, from an OCI registry, or from a file.
//!
//! Every byte that comes from elsewhere is checked against its digest before it is used, and
//! archives are unpacked by a walk of our own that never leaves the target directory.
//!
//! ```no_run
//! # fn main() -> Result<(), rootfs_fetch::Error> {
//! let store = rootfs_fetch::Store::open(None)?;
//! let rootfs = store.provide(&rootfs_fetch::Progress::stderr())?;
//! println!("{}", rootfs.path.display());
//! # Ok(())
//! # }
//! ```

pub mod elf;
mod error;
mod progress;
mod resolve;

pub use error::Error;
pub use progress::Progress;
pub use resolve::resolve_in;
