//! What a sandbox uses, read from the files of its cgroups; see cgroups(7).

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// What the kernel has counted. What it does not count on this machine is `None`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Usage {
    /// Whether it is paused.
    pub paused: bool,
    /// Memory.
    pub memory: Option<Memory>,
    /// CPU time.
    pub cpu: Option<Cpu>,
    /// Processes and threads.
    pub pids: Option<Pids>,
    /// Disks.
    pub io: Option<Io>,
}

/// Memory, in bytes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Memory {
    /// In use.
    pub bytes: u64,
    /// The most that was ever in use; kernels before 5.19 do not count it in version 2.
    pub peak: Option<u64>,
    /// The most that may be in use; `None` when there is no limit.
    pub limit: Option<u64>,
    /// How many processes were killed for want of it.
    pub oom_kills: Option<u64>,
}

/// CPU time, in microseconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cpu {
    /// Used.
    pub usage_us: u64,
    /// How many CPUs' time it may use; `None` when there is no limit.
    pub limit: Option<f64>,
    /// How many periods it wanted to run in, while there was a limit.
    pub periods: Option<u64>,
    /// In how many of them it was stopped.
    pub throttled: Option<u64>,
    /// How long it was stopped.
    pub throttled_us: Option<u64>,
}

/// Processes and threads.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Pids {
    /// How many there are.
    pub current: u64,
    /// How many there may be; `None` when there is no limit.
    pub limit: Option<u64>,
}

/// Disks, in bytes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Io {
    /// Read.
    pub read: u64,
    /// Written.
    pub written: u64,
}

/// Reads what the cgroups in these directories have counted.
pub fn read(cgroups: &[PathBuf]) -> Usage {
    let cgroups = Files(cgroups);
    Usage {
        paused: cgroups.number("cgroup.freeze") == Some(1)
            || cgroups.text("freezer.state").is_some_and(|state| state != "THAWED"),
        memory: memory(&cgroups),
        cpu: cpu(&cgroups),
        pids: cgroups
            .number("pids.current")
            .map(|current| Pids { current, limit: cgroups.number("pids.max") }),
        io: io(&cgroups),
    }
}

fn memory(cgroups: &Files) -> Option<Memory> {
    if let Some(bytes) = cgroups.number("memory.current") {
        return Some(Memory {
            bytes,
            peak: cgroups.number("memory.peak"),
            limit: cgroups.number("memory.max"),
            oom_kills: cgroups.entry("memory.events", "oom_kill"),
        });
    }
    // Version 1 writes "no limit" as the largest number of pages.
    let limit = cgroups.number("memory.limit_in_bytes").filter(|limit| *limit < 1 << 62);
    Some(Memory {
        bytes: cgroups.number("memory.usage_in_bytes")?,
        peak: cgroups.number("memory.max_usage_in_bytes"),
        limit,
        oom_kills: cgroups.entry("memory.oom_control", "oom_kill"),
    })
}

fn cpu(cgroups: &Files) -> Option<Cpu> {
    let entry = |key| cgroups.entry("cpu.stat", key);
    let nanoseconds = |number: u64| number / 1000;
    let quota = |quota: f64, period: f64| (quota > 0.0 && period > 0.0).then(|| quota / period);
    let v2 = cgroups.text("cpu.max").and_then(|text| {
        let (max, period) = text.split_once(' ')?;
        quota(max.parse().ok()?, period.parse().ok()?)
    });
    let file = |name| cgroups.text(name).and_then(|text| text.parse().ok());
    let v1 = || quota(file("cpu.cfs_quota_us")?, file("cpu.cfs_period_us")?);
    Some(Cpu {
        usage_us: entry("usage_usec")
            .or_else(|| cgroups.number("cpuacct.usage").map(nanoseconds))?,
        limit: v2.or_else(v1),
        periods: entry("nr_periods"),
        throttled: entry("nr_throttled"),
        throttled_us: entry("throttled_usec").or_else(|| entry("throttled_time").map(nanoseconds)),
    })
}

fn io(cgroups: &Files) -> Option<Io> {
    if let Some(text) = cgroups.text("io.stat") {
        let sum = |key: &str| {
            text.split_whitespace().filter_map(|w| w.strip_prefix(key)?.parse::<u64>().ok()).sum()
        };
        return Some(Io { read: sum("rbytes="), written: sum("wbytes=") });
    }
    // `8:0 Read 4096`
    let text = cgroups.text("blkio.throttle.io_service_bytes")?;
    let sum = |kind: &str| {
        let lines = text.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        lines
            .filter(|words| words.get(1) == Some(&kind))
            .filter_map(|w| w.get(2)?.parse::<u64>().ok())
            .sum()
    };
    Some(Io { read: sum("Read"), written: sum("Write") })
}

/// The files of the cgroups, whichever directory they are in.
struct Files<'a>(&'a [PathBuf]);

impl Files<'_> {
    fn text(&self, file: &str) -> Option<String> {
        let read = |dir: &PathBuf| fs::read_to_string(Path::new(dir).join(file)).ok();
        self.0.iter().find_map(read).map(|text| text.trim().to_owned())
    }

    fn number(&self, file: &str) -> Option<u64> {
        self.text(file)?.parse().ok()
    }

    /// A line such as `oom_kill 1`, in whichever of the files of this name it is.
    fn entry(&self, file: &str, key: &str) -> Option<u64> {
        let read = |dir: &PathBuf| fs::read_to_string(Path::new(dir).join(file)).ok();
        let find = |text: String| {
            let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '))?;
            value.parse().ok()
        };
        self.0.iter().filter_map(read).find_map(find)
    }
}
