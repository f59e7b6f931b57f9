//! `sandbox` builds a container by hand, one isolation layer at a time.
//!
//! The rooms in reading order, each built on those before it: what this machine is ([`machine`]); a
//! system call as a value ([`syscall`]); a list of calls with their reasons ([`plan`]); which calls
//! an isolation mechanism needs ([`stages`]); performing a plan ([`run`]); lessons, which compare
//! two plans ([`teach`]). ARCHITECTURE.md says which room may know which.

pub mod cgroups;
pub mod cli;
pub mod error;
#[cfg(fuzzing)]
pub mod fuzz;
pub mod layers;
pub mod machine;
pub mod plan;
pub mod run;
mod scalar;
#[cfg(feature = "book")]
pub mod serve;
pub mod show;
pub mod stages;
pub mod syscall;
pub mod teach;
