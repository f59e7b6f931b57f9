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

mod apt;
mod auth;
mod bundle;
mod compression;
mod deb;
mod digest;
mod download;
pub mod elf;
mod error;
mod file;
mod host;
mod http;
mod import;
mod item;
mod layer;
mod meter;
mod oci;
mod progress;
mod reference;
mod registry;
mod remove;
mod resolve;
mod skeleton;
mod store;
mod text;
mod unpack;
mod user;
mod verify;
mod walk;

pub use bundle::SOURCE_NOTICE;
pub use error::Error;
pub use layer::write_tar;
pub use progress::Progress;
pub use resolve::resolve_in;
pub use store::{Fetch, Rootfs, Source, Store};
pub use unpack::Limits;
pub use verify::Verified;
