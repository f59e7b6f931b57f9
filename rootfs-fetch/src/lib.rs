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
//!
//! The rooms, from the ground up; none imports one that stands after it:
//!
//! - `error`, `text`, `progress`, [`mounts`]: on their own; `user`, whose data directory it is
//! - `archive`: trees and tar archives, without ever leaving the tree
//! - `image`: digests, manifests and layers, as OCI images have them
//! - `root`: what is in a root filesystem, and what it lacks
//! - `registry`: asking a registry for an image
//! - `source`: filling a root, from each source
//! - `store`: where root filesystems are kept, and what this crate is asked to do

mod archive;
mod error;
#[cfg(fuzzing)]
pub mod fuzz;
mod image;
pub mod mounts;
mod progress;
mod registry;
mod root;
mod source;
mod store;
mod text;
mod user;

pub use archive::held::Held;
pub use archive::limits::Limits;
pub use archive::pack::SOURCE_NOTICE;
pub use archive::remove::remove;
pub use archive::upper::write_tar;
pub use error::Error;
pub use progress::Progress;
pub use root::elf;
pub use root::resolve::{path_parts, resolve_in};
pub use store::fetch::{Fetch, Source};
pub use store::verify::Verified;
pub use store::{Listed, Rootfs, Store};
pub use text::printable;
