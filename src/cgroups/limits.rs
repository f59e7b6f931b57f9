//! What a sandbox may use: the limits as people write them, and the files that they become.

use serde::Deserialize;

use super::amounts::{CpuSet, Cpus, Memory, PERIOD, Pids, Rate, Weight};
use super::hierarchy::{Version, disk};

/// The limits that were asked for. What is `None` or empty is left as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Limits {
    /// Memory in bytes, without swap.
    pub memory: Option<Memory>,
    /// Memory and swap together, in bytes; the same as `memory` when only that is given.
    pub memory_swap: Option<Memory>,
    /// Memory in bytes above which a process is slowed down, not killed. Only in version 2.
    pub memory_high: Option<Memory>,
    /// How many CPUs' time.
    pub cpus: Option<Cpus>,
    /// The share of the CPUs when they are short: 100 is everybody's.
    pub cpu_weight: Option<Weight>,
    /// The CPUs it may run on.
    pub cpuset_cpus: Option<CpuSet>,
    /// How many processes and threads.
    pub pids_limit: Option<Pids>,
    /// Bytes a second read from a disk.
    pub device_read_bps: Vec<Rate>,
    /// Bytes a second written to a disk.
    pub device_write_bps: Vec<Rate>,
    /// Reads a second from a disk.
    pub device_read_iops: Vec<Rate>,
    /// Writes a second to a disk.
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

impl Limits {
    /// Whether nothing is limited.
    pub fn is_empty(&self) -> bool {
        *self == Limits::default()
    }

    /// The writes that set these limits in a cgroup of this version, in an order in which the
    /// kernel takes them.
    pub fn settings(&self, version: Version) -> Vec<Setting> {
        let mut settings = Vec::new();
        let mut set = |controller, (v1, v2), value: String, why| {
            let file = if version == Version::V1 { v1 } else { v2 };
            settings.push(Setting { controller, file, value, why, optional: false });
        };
        if let Some(cpus) = self.cpuset_cpus.as_ref() {
            let why = "run on these CPUs only";
            set("cpuset", ("cpuset.cpus", "cpuset.cpus"), cpus.0.clone(), why);
        }
        if let Some(memory) = self.memory {
            let files = ("memory.limit_in_bytes", "memory.max");
            set("memory", files, memory.written(version), "no more memory than this");
        }
        if let Some(high) = self.memory_high.filter(|_| version == Version::V2) {
            let why = "above this much memory, be slowed down";
            set("memory", ("", "memory.high"), high.written(version), why);
        }
        if let Some(cpus) = self.cpus {
            match version {
                Version::V1 => {
                    let why = "so many microseconds of CPU time in every tenth of a second";
                    let quota = cpus.quota().map_or("-1".to_owned(), |quota| quota.to_string());
                    set("cpu", ("cpu.cfs_quota_us", ""), quota, why);
                }
                Version::V2 => {
                    let why = "so many microseconds of CPU time in every tenth of a second";
                    let quota = cpus.quota().map_or("max".to_owned(), |quota| quota.to_string());
                    set("cpu", ("", "cpu.max"), format!("{quota} {PERIOD}"), why);
                }
            }
        }
        if let Some(weight) = self.cpu_weight {
            let value = if version == Version::V1 { weight.shares() } else { weight.0 };
            let why = "a share of the CPUs when others want them too";
            set("cpu", ("cpu.shares", "cpu.weight"), value.to_string(), why);
        }
        if let Some(pids) = self.pids_limit {
            set("pids", ("pids.max", "pids.max"), pids.to_string(), "no more processes than this");
        }
        let rates = [
            (&self.device_read_bps, "blkio.throttle.read_bps_device", "rbps"),
            (&self.device_write_bps, "blkio.throttle.write_bps_device", "wbps"),
            (&self.device_read_iops, "blkio.throttle.read_iops_device", "riops"),
            (&self.device_write_iops, "blkio.throttle.write_iops_device", "wiops"),
        ];
        for (rates, file, key) in rates {
            for rate in rates {
                let Some((major, minor)) = rate.device else { continue };
                let value = match version {
                    Version::V1 => format!("{major}:{minor} {}", rate.per_second),
                    Version::V2 => format!("{major}:{minor} {key}={}", rate.per_second),
                };
                set("io", (file, "io.max"), value, "use this disk no faster");
            }
        }
        settings.extend(self.swap(version));
        settings
    }

    /// Without a word about swap there is none beyond `memory`, or what does not fit would only be
    /// swapped out. The file is missing in kernels without swap, and then there is none either.
    fn swap(&self, version: Version) -> Option<Setting> {
        let memory = self.memory?;
        let total = self.memory_swap.unwrap_or(memory);
        let (file, value) = match version {
            Version::V1 => ("memory.memsw.limit_in_bytes", total.written(version)),
            Version::V2 => ("memory.swap.max", total.beyond(memory).written(version)),
        };
        let why = "and what does not fit is not swapped out instead";
        let optional = self.memory_swap.is_none();
        Some(Setting { controller: "memory", file, value, why, optional })
    }

    /// The controllers that these limits need.
    pub fn controllers(&self) -> Vec<&'static str> {
        let rates = self.rates().map(|_| "io");
        let settings = self.settings(Version::V2);
        let mut names: Vec<_> = settings.iter().map(|set| set.controller).chain(rates).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The disks whose speed is limited.
    pub fn rates(&self) -> impl Iterator<Item = &Rate> {
        let (read, write) = (&self.device_read_bps, &self.device_write_bps);
        read.iter().chain(write).chain(&self.device_read_iops).chain(&self.device_write_iops)
    }

    /// Finds the disks' numbers. A path that is not absolute is one in `rootfs`.
    pub fn find_disks(&mut self, rootfs: &std::path::Path) {
        let (read, write) = (&mut self.device_read_bps, &mut self.device_write_bps);
        let iops = self.device_read_iops.iter_mut().chain(&mut self.device_write_iops);
        for rate in read.iter_mut().chain(write).chain(iops) {
            rate.device = disk(&rootfs.join(&rate.path));
        }
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
