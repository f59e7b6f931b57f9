//! Control groups: all that knows a file of one.

mod amounts;
mod hierarchy;
mod limits;
mod live;
mod place;
pub mod usage;

pub use amounts::{CpuSet, Cpus, Memory, Pids, Rate, Weight};
pub use hierarchy::{Cgroups, Hierarchy, Place, Refusal, Version, disk, name_in};
pub use limits::{Limits, Setting};
pub use live::{kill_all, processes, remove};
pub use place::{Own, choose};
