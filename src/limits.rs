//! What a sandbox may use: the limits as people write them, and the files that they become.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, de};

use crate::cgroups::Version;

/// The microseconds over which a CPU quota is counted; what the kernel and container runtimes use.
const PERIOD: u64 = 100_000;

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
                set("io", (file, "io.max"), value, "read and write this disk no faster");
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
            rate.device = crate::cgroups::disk(&rootfs.join(&rate.path));
        }
    }
}

/// An amount of memory in bytes, or none too large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory(pub Option<u64>);

/// Less than this no process can start in.
const LEAST_MEMORY: u64 = 1 << 20;

impl Memory {
    fn written(self, version: Version) -> String {
        let none = if version == Version::V1 { "-1" } else { "max" };
        self.0.map_or(none.to_owned(), |bytes| bytes.to_string())
    }

    /// What is left of this when `memory` is taken away from it.
    fn beyond(self, memory: Memory) -> Memory {
        match (self.0, memory.0) {
            (Some(total), Some(memory)) => Memory(Some(total.saturating_sub(memory))),
            _ => Memory(None),
        }
    }
}

impl FromStr for Memory {
    type Err = String;

    fn from_str(text: &str) -> Result<Memory, String> {
        if text == "max" {
            return Ok(Memory(None));
        }
        let bytes = bytes(text).ok_or("write a number with k, m or g, such as `64m`, or `max`")?;
        if bytes < LEAST_MEMORY {
            return Err("no process can start in less than `1m`; write for example `64m`".into());
        }
        Ok(Memory(Some(bytes)))
    }
}

/// `64m` in bytes: the suffixes of docker, powers of 1024, in either case.
fn bytes(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        "t" | "tb" | "tib" => 1 << 40,
        _ => return None,
    };
    let bytes = digits.parse::<u64>().ok()?.checked_mul(factor)?;
    // The kernel counts in pages and in signed numbers.
    (bytes <= i64::MAX as u64).then_some(bytes)
}

/// A number of CPUs, in microseconds of every [`PERIOD`]; or all there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cpus(Option<u64>);

impl Cpus {
    /// The quota in microseconds.
    fn quota(self) -> Option<u64> {
        self.0
    }
}

impl FromStr for Cpus {
    type Err = String;

    fn from_str(text: &str) -> Result<Cpus, String> {
        if text == "max" {
            return Ok(Cpus(None));
        }
        let online = nix::unistd::sysconf(nix::unistd::SysconfVar::_NPROCESSORS_ONLN);
        let online = online.ok().flatten().and_then(|n| u32::try_from(n).ok()).unwrap_or(1);
        let refusal = || {
            format!(
                "write how many, from `0.01` to `{online}` on this machine, such as `0.5`; or `max`"
            )
        };
        let cpus: f64 = text.parse().map_err(|_| refusal())?;
        if !(0.01..=f64::from(online)).contains(&cpus) {
            return Err(refusal());
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // it is in the range
        let quota = (cpus * PERIOD as f64).round() as u64;
        Ok(Cpus(Some(quota)))
    }
}

/// A weight as in cpu.weight: 1 to 10000.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weight(pub u64);

impl Weight {
    /// The same in version 1, where everybody has 1024.
    fn shares(self) -> u64 {
        (self.0 * 1024 / 100).clamp(2, 262_144)
    }
}

impl FromStr for Weight {
    type Err = String;

    fn from_str(text: &str) -> Result<Weight, String> {
        let weight = text.parse().ok().filter(|weight| (1..=10_000).contains(weight));
        weight.map(Weight).ok_or("write a number from 1 to 10000; everybody has 100".into())
    }
}

/// A number of processes, or as many as the machine bears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pids(pub Option<u32>);

impl fmt::Display for Pids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => write!(f, "max"),
            Some(pids) => write!(f, "{pids}"),
        }
    }
}

impl FromStr for Pids {
    type Err = String;

    fn from_str(text: &str) -> Result<Pids, String> {
        if text == "max" {
            return Ok(Pids(None));
        }
        let pids = text.parse().ok().filter(|pids| (1..=4_194_304).contains(pids));
        pids.map(|pids| Pids(Some(pids)))
            .ok_or("write how many processes, from 1 to 4194304, such as `100`; or `max`".into())
    }
}

/// CPUs by their numbers: `0-2,5`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpuSet(pub String);

impl FromStr for CpuSet {
    type Err = String;

    fn from_str(text: &str) -> Result<CpuSet, String> {
        let number = |text: &str| text.parse::<u16>().ok();
        let range = |part: &str| match part.split_once('-') {
            Some((first, last)) => number(first) <= number(last) && number(first).is_some(),
            None => number(part).is_some(),
        };
        if text.split(',').all(range) {
            Ok(CpuSet(text.to_owned()))
        } else {
            Err("write CPUs by their numbers, such as `0`, `0-1` or `0,2`".into())
        }
    }
}

/// A disk and how fast.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rate {
    /// The disk, or a file on it.
    pub path: PathBuf,
    /// Its numbers, once it was found.
    pub device: Option<(u32, u32)>,
    /// Bytes or operations a second.
    pub per_second: u64,
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Rate, String> {
        let form = "write a disk or a file on it, and how much a second: `/dev/sda:1m`";
        let (path, rate) = text.rsplit_once(':').ok_or(form)?;
        let per_second = bytes(rate).filter(|rate| *rate > 0).ok_or(form)?;
        if path.is_empty() {
            return Err(form.into());
        }
        Ok(Rate { path: path.into(), device: None, per_second })
    }
}

macro_rules! read_from_yaml_as_text {
    ($($name:ident),*) => {$(
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                #[derive(Deserialize)]
                #[serde(untagged)]
                enum Scalar {
                    Whole(u64),
                    Fraction(f64),
                    Text(String),
                }
                let text = match Scalar::deserialize(deserializer)? {
                    Scalar::Whole(number) => number.to_string(),
                    Scalar::Fraction(number) => number.to_string(),
                    Scalar::Text(text) => text,
                };
                text.parse().map_err(de::Error::custom)
            }
        }
    )*};
}

read_from_yaml_as_text!(Memory, Cpus, Weight, Pids, CpuSet, Rate);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_of_memory_are_read_as_docker_reads_them() {
        let of = |text: &str| text.parse::<Memory>().map(|memory| memory.0);
        assert_eq!(of("64m"), Ok(Some(64 << 20)));
        assert_eq!(of("1G"), Ok(Some(1 << 30)));
        assert_eq!(of("1048576"), Ok(Some(1 << 20)));
        assert_eq!(of("max"), Ok(None));
        for wrong in ["", "m", "1", "64x", "-1", "64 m", "1.5g", "99999999999t", "0"] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn impossible_limits_are_refused() {
        for wrong in ["0", "1000000", "-1", "nan", "inf", "half", "0.001"] {
            assert!(wrong.parse::<Cpus>().is_err(), "{wrong}");
        }
        for wrong in ["0", "-3", "many", "99999999"] {
            assert!(wrong.parse::<Pids>().is_err(), "{wrong}");
        }
        for wrong in ["", "2-1", "a", "0-", "-1", "0,,1"] {
            assert!(wrong.parse::<CpuSet>().is_err(), "{wrong}");
        }
        for wrong in ["", "1m", ":1m", "/dev/sda", "/dev/sda:", "/dev/sda:0"] {
            assert!(wrong.parse::<Rate>().is_err(), "{wrong}");
        }
    }

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
