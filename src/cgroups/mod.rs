//! Control groups: all that knows a file of one.

mod amounts;
pub mod freezer;
mod hierarchy;
mod limits;
mod live;
mod place;
pub mod usage;

pub use amounts::{CpuSet, Cpus, Memory, Pids, Rate, Weight, bytes};
pub use hierarchy::{Hierarchies, Hierarchy, Place, Refusal, Version, closed, disk, name_in, of};
pub use limits::{Limits, Setting, remedy};
pub use live::{is_of, kill_all, processes, remove};
pub use place::{Own, choose};
