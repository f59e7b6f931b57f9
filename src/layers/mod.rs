//! The layers of a union filesystem: where they are, and what the writable one has changed.
//!
//! Between the read-only layers of the image and the writable one of the container lies a small
//! one of ours, the init layer, with the files that every container has for itself.

mod changes;
pub mod kept;
mod look;
mod places;
mod stack;
mod view;
mod volume;

pub use changes::{Change, Kind, Mark, changes, marks};
pub use look::tmpfs_keeps_attributes;
pub use places::places;
pub use stack::{Driver, Layers, base, is_of, of_run};
pub use view::{Mounted, View};
pub use volume::{Volume, place};
