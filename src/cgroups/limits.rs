//! What a sandbox may use: the limits as people write them, the files that they become in each
//! version, and what it means when the kernel takes one not.

use std::path::Path;

use clap::Args;
use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use super::amounts::{CpuSet, Cpus, Memory, PERIOD, Pids, Rate, Weight};
use super::hierarchy::{Version, disk};
use crate::error::Error;

// The limits that were asked for, with the names that users of docker and podman know. What is
// `None` or empty is left as it is. (`///` here would be the help of all of `update`.)
#[allow(missing_docs)]
#[derive(Args, Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Limits {
    /// No more memory than this: 64m, 1g, or max
    #[arg(short, long, value_name = "SIZE", allow_hyphen_values = true)]
    pub memory: Option<Memory>,
    /// No more memory and swap together than this [default: as --memory, so no swap]
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    pub memory_swap: Option<Memory>,
    /// Slow down above this much memory (cgroup version 2)
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    pub memory_high: Option<Memory>,
    /// No more processes than this, ours that wait among them: a number, or max
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pub pids_limit: Option<Pids>,
    /// No more CPU time than so many CPUs have: 0.5, 2, or max
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pub cpus: Option<Cpus>,
    /// The share of the CPUs when they are short: 1 to 10000; everybody has 100
    #[arg(long, value_name = "WEIGHT", allow_hyphen_values = true)]
    pub cpu_weight: Option<Weight>,
    /// Run on these CPUs only: 0-1,3
    #[arg(long, value_name = "CPUS", allow_hyphen_values = true)]
    pub cpuset_cpus: Option<CpuSet>,
    /// Read no more bytes a second from a disk, or from the one that a file is on
    #[arg(long, value_name = "PATH:RATE")]
    pub device_read_bps: Vec<Rate>,
    /// Write no more bytes a second
    #[arg(long, value_name = "PATH:RATE")]
    pub device_write_bps: Vec<Rate>,
    /// Make no more reads a second
    #[arg(long, value_name = "PATH:RATE")]
    pub device_read_iops: Vec<Rate>,
    /// Make no more writes a second
    #[arg(long, value_name = "PATH:RATE")]
    pub device_write_iops: Vec<Rate>,
}

/// One write that sets a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The controller whose file it is.
    pub controller: &'static str,
    /// The file in the cgroup's directory.
    pub file: &'static str,
    /// What is written to it.
    pub value: String,
    /// What it does.
    pub why: &'static str,
    /// Whether a kernel may have been built without this file, and the limit stands all the same.
    pub optional: bool,
}

fn setting(
    controller: &'static str,
    file: &'static str,
    value: impl ToString,
    why: &'static str,
) -> Setting {
    Setting { controller, file, value: value.to_string(), why, optional: false }
}

impl Limits {
    /// Whether nothing is limited.
    pub fn is_empty(&self) -> bool {
        *self == Limits::default()
    }

    /// The writes that set these limits in a cgroup of this version, in an order in which the
    /// kernel takes them.
    pub fn settings(&self, version: Version) -> Vec<Setting> {
        match version {
            Version::V1 => self.settings_v1(),
            Version::V2 => self.settings_v2(),
        }
    }

    fn settings_v1(&self) -> Vec<Setting> {
        let mut all = Vec::new();
        if let Some(cpus) = &self.cpuset_cpus {
            all.push(setting("cpuset", "cpuset.cpus", &cpus.0, ON_CPUS));
        }
        if let Some(memory) = self.memory {
            let value = memory.written(Version::V1);
            all.push(setting("memory", "memory.limit_in_bytes", value, MEMORY));
        }
        if let Some(cpus) = self.cpus {
            let quota = cpus.quota().map_or("-1".to_owned(), |quota| quota.to_string());
            all.push(setting("cpu", "cpu.cfs_quota_us", quota, QUOTA));
        }
        if let Some(weight) = self.cpu_weight {
            all.push(setting("cpu", "cpu.shares", weight.shares(), SHARE));
        }
        if let Some(pids) = self.pids_limit {
            all.push(setting("pids", "pids.max", pids, PIDS));
        }
        let rates = [
            (&self.device_read_bps, "blkio.throttle.read_bps_device"),
            (&self.device_write_bps, "blkio.throttle.write_bps_device"),
            (&self.device_read_iops, "blkio.throttle.read_iops_device"),
            (&self.device_write_iops, "blkio.throttle.write_iops_device"),
        ];
        for (rates, file) in rates {
            for rate in rates {
                let Some((major, minor)) = rate.device else { continue };
                let value = format!("{major}:{minor} {}", rate.per_second);
                all.push(setting("io", file, value, RATE));
            }
        }
        if let Some(memory) = self.memory {
            let total = self.memory_swap.unwrap_or(memory).written(Version::V1);
            all.push(self.swap("memory.memsw.limit_in_bytes", total));
        }
        all
    }

    fn settings_v2(&self) -> Vec<Setting> {
        let mut all = Vec::new();
        if let Some(cpus) = &self.cpuset_cpus {
            all.push(setting("cpuset", "cpuset.cpus", &cpus.0, ON_CPUS));
        }
        if let Some(memory) = self.memory {
            all.push(setting("memory", "memory.max", memory.written(Version::V2), MEMORY));
        }
        if let Some(high) = self.memory_high {
            let why = "above this much memory, be slowed down";
            all.push(setting("memory", "memory.high", high.written(Version::V2), why));
        }
        if let Some(cpus) = self.cpus {
            let quota = cpus.quota().map_or("max".to_owned(), |quota| quota.to_string());
            all.push(setting("cpu", "cpu.max", format!("{quota} {PERIOD}"), QUOTA));
        }
        if let Some(weight) = self.cpu_weight {
            all.push(setting("cpu", "cpu.weight", weight.0, SHARE));
        }
        if let Some(pids) = self.pids_limit {
            all.push(setting("pids", "pids.max", pids, PIDS));
        }
        let rates = [
            (&self.device_read_bps, "rbps"),
            (&self.device_write_bps, "wbps"),
            (&self.device_read_iops, "riops"),
            (&self.device_write_iops, "wiops"),
        ];
        for (rates, key) in rates {
            for rate in rates {
                let Some((major, minor)) = rate.device else { continue };
                let value = format!("{major}:{minor} {key}={}", rate.per_second);
                all.push(setting("io", "io.max", value, RATE));
            }
        }
        if let Some(memory) = self.memory {
            let beyond = self.memory_swap.unwrap_or(memory).beyond(memory).written(Version::V2);
            all.push(self.swap("memory.swap.max", beyond));
        }
        all
    }

    /// Without a word about swap there is none beyond `memory`, or what does not fit would only be
    /// swapped out. The file is missing in kernels without swap, and then there is none either.
    fn swap(&self, file: &'static str, value: String) -> Setting {
        let why = "and what does not fit is not swapped out instead";
        let optional = self.memory_swap.is_none();
        Setting { optional, ..setting("memory", file, value, why) }
    }

    /// The controllers that these limits need.
    pub fn controllers(&self) -> Vec<&'static str> {
        let rates = self.rates().map(|_| "io");
        let settings = self.settings_v2();
        let mut names: Vec<_> = settings.iter().map(|set| set.controller).chain(rates).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The disks whose speed is limited.
    fn rates(&self) -> impl Iterator<Item = &Rate> {
        let (read, write) = (&self.device_read_bps, &self.device_write_bps);
        read.iter().chain(write).chain(&self.device_read_iops).chain(&self.device_write_iops)
    }

    /// Finds the disks' numbers. A path that is not absolute is one in `root`.
    pub fn find_disks(&mut self, root: &Path) {
        let (read, write) = (&mut self.device_read_bps, &mut self.device_write_bps);
        let iops = self.device_read_iops.iter_mut().chain(&mut self.device_write_iops);
        for rate in read.iter_mut().chain(write).chain(iops) {
            rate.device = disk(&root.join(&rate.path));
        }
    }

    /// Whether each disk whose speed is to be limited was found.
    ///
    /// # Errors
    /// [`Error::NotHere`] about the first that was not.
    pub fn check_disks(&self) -> Result<(), Error> {
        match self.rates().find(|rate| rate.device.is_none()) {
            None => Ok(()),
            Some(rate) => Err(Error::not_here(
                format!("`{}` is not a disk, nor on one", rate.path.display()),
                "name a disk, see lsblk(8), or a file whose filesystem is on one",
            )),
        }
    }
}

const ON_CPUS: &str = "run on these CPUs only";
const MEMORY: &str = "no more memory than this";
const QUOTA: &str = "so many microseconds of CPU time in every tenth of a second";
const SHARE: &str = "a share of the CPUs when others want them too";
const PIDS: &str = "no more processes than this";
const RATE: &str = "use this disk no faster";

/// What to do when the kernel does not take what is written to this file of a cgroup.
pub fn remedy(file: &Path, errno: Errno) -> Option<&'static str> {
    let name = file.file_name()?.to_str()?;
    let whole_disks = "the kernel limits whole disks, not partitions: see lsblk(8)";
    match (name, errno) {
        ("cgroup.subtree_control", Errno::EBUSY) => Some(
            "processes are in that cgroup, and in version 2 only the leaves of the tree hold \
             processes: move them into a leaf first",
        ),
        ("cgroup.subtree_control", _) => {
            Some("that cgroup may not pass the controller on: it was not given it, or is not yours")
        }
        ("cpuset.cpus", _) => Some(
            "name CPUs that this machine has and our own cgroup may use: see cpuset.cpus.effective \
             there, or nproc(1)",
        ),
        ("memory.limit_in_bytes" | "memory.memsw.limit_in_bytes", Errno::EBUSY) => Some(
            "more than that is in use and cannot be taken back: choose a higher limit, or end \
             something first",
        ),
        ("memory.limit_in_bytes" | "memory.memsw.limit_in_bytes", Errno::EINVAL) => Some(
            "memory and swap together cannot be less than memory: give a larger `--memory-swap`",
        ),
        ("cpu.cfs_quota_us" | "cpu.max", Errno::EINVAL) => {
            Some("a cgroup above has a smaller quota: choose fewer `--cpus`")
        }
        ("io.max", _) => Some(whole_disks),
        (_, _) if name.starts_with("blkio.") => Some(whole_disks),
        ("cgroup.procs", Errno::ENOSPC) => {
            Some("the cpuset of that cgroup has no CPUs or no memory")
        }
        ("cgroup.procs", Errno::EBUSY) => Some(
            "that cgroup gives controllers to others, and in version 2 only leaves hold processes",
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_limits_become_other_files_in_each_version() {
        let limits = Limits {
            memory: Some(Memory(Some(64 << 20))),
            cpus: Some(Cpus(Some(20_000))),
            cpu_weight: Some(Weight(200)),
            ..Limits::default()
        };
        let files = |version| {
            let settings = limits.settings(version);
            settings.into_iter().map(|s| format!("{}={}", s.file, s.value)).collect::<Vec<_>>()
        };
        assert_eq!(
            files(Version::V1),
            [
                "memory.limit_in_bytes=67108864",
                "cpu.cfs_quota_us=20000",
                "cpu.shares=2048",
                "memory.memsw.limit_in_bytes=67108864",
            ]
        );
        assert_eq!(
            files(Version::V2),
            ["memory.max=67108864", "cpu.max=20000 100000", "cpu.weight=200", "memory.swap.max=0"]
        );
    }
}
