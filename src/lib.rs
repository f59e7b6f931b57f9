//! `sandbox` builds a container by hand, one isolation layer at a time.
//!
//! The modules in reading order: a system call is a value ([`syscall`]); a stage says which calls
//! it needs and why ([`stage`], [`stages`]); a plan joins them ([`plan`]); a run performs it
//! ([`run`]). Lessons compare two plans.

pub mod attacks;
#[cfg(feature = "book")]
pub mod book;
pub mod cgroups;
pub mod cost;
pub mod error;
pub mod examine;
pub mod host;
pub mod inspect;
pub mod join;
pub mod layers;
pub mod lesson;
pub mod limits;
pub mod lint;
pub mod matrix;
pub mod output;
pub mod plan;
pub mod probe;
pub mod progress;
pub mod remedy;
pub mod run;
pub mod scope;
pub mod stage;
pub mod stages;
pub mod stand_in;
pub mod state;
pub mod syscall;
pub mod usage;

mod child;
mod command;
mod kernel;
mod netlink;
mod quote;
mod sealed;
mod signals;
pub mod tree;
mod variant;

pub mod cli;
pub mod show;
