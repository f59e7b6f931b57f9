//! The limits on the command line, with the names that users of docker and podman know.

use clap::Args;

use crate::cgroups::{CpuSet, Cpus, Limits, Memory, Pids, Rate, Weight};

#[derive(Args, Clone)]
#[command(
    next_help_heading = "Limits (the stage `cgroups`; `rlimits` has --memory and --pids-limit)"
)]
pub(crate) struct LimitArgs {
    /// No more memory than this: 64m, 1g, or max
    #[arg(short, long, value_name = "SIZE", allow_hyphen_values = true)]
    memory: Option<Memory>,
    /// No more memory and swap together than this [default: as --memory, so no swap]
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    memory_swap: Option<Memory>,
    /// Slow down above this much memory (cgroup version 2)
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    memory_high: Option<Memory>,
    /// No more processes than this, ours that wait among them: a number, or max
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pids_limit: Option<Pids>,
    /// No more CPU time than so many CPUs have: 0.5, 2, or max
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    cpus: Option<Cpus>,
    /// The share of the CPUs when they are short: 1 to 10000; everybody has 100
    #[arg(long, value_name = "WEIGHT", allow_hyphen_values = true)]
    cpu_weight: Option<Weight>,
    /// Run on these CPUs only: 0-1,3
    #[arg(long, value_name = "CPUS", allow_hyphen_values = true)]
    cpuset_cpus: Option<CpuSet>,
    /// Read no more bytes a second from a disk, or from the one that a file is on
    #[arg(long, value_name = "PATH:RATE")]
    device_read_bps: Vec<Rate>,
    /// Write no more bytes a second
    #[arg(long, value_name = "PATH:RATE")]
    device_write_bps: Vec<Rate>,
    /// Make no more reads a second
    #[arg(long, value_name = "PATH:RATE")]
    device_read_iops: Vec<Rate>,
    /// Make no more writes a second
    #[arg(long, value_name = "PATH:RATE")]
    device_write_iops: Vec<Rate>,
}

impl LimitArgs {
    /// What was asked for.
    pub(crate) fn limits(&self) -> Limits {
        let asked = self.clone();
        Limits {
            memory: asked.memory,
            memory_swap: asked.memory_swap,
            memory_high: asked.memory_high,
            cpus: asked.cpus,
            cpu_weight: asked.cpu_weight,
            cpuset_cpus: asked.cpuset_cpus,
            pids_limit: asked.pids_limit,
            device_read_bps: asked.device_read_bps,
            device_write_bps: asked.device_write_bps,
            device_read_iops: asked.device_read_iops,
            device_write_iops: asked.device_write_iops,
        }
    }
}
