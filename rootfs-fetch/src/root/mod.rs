//! What is in a root filesystem: what it needs, where its links lead, which programs can run.

pub mod elf;
pub(crate) mod programs;
pub(crate) mod resolve;
pub(crate) mod skeleton;
