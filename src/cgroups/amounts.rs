//! The amounts that a limit can be: how they are written, and what is refused.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::hierarchy::Version;
use crate::scalar::scalar;

/// The microseconds over which a CPU quota is counted; what the kernel and container runtimes use.
pub(super) const PERIOD: u64 = 100_000;

/// An amount of memory in bytes, or none too large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory(pub Option<u64>);

/// Less than this no process can start in.
const LEAST_MEMORY: u64 = 1 << 20;

impl Memory {
    pub(super) fn written(self, version: Version) -> String {
        let none = if version == Version::V1 { "-1" } else { "max" };
        self.0.map_or(none.to_owned(), |bytes| bytes.to_string())
    }

    /// What is left of this when `memory` is taken away from it.
    pub(super) fn beyond(self, memory: Memory) -> Memory {
        match (self.0, memory.0) {
            (Some(total), Some(memory)) => Memory(Some(total.saturating_sub(memory))),
            _ => Memory(None),
        }
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => write!(f, "max"),
            Some(bytes) => write!(f, "{bytes}"),
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
pub fn bytes(text: &str) -> Option<u64> {
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

/// A number of CPUs, in microseconds of every tenth of a second; or all there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cpus(pub(super) Option<u64>);

impl Cpus {
    /// The quota in microseconds.
    pub(super) fn quota(self) -> Option<u64> {
        self.0
    }
}

impl fmt::Display for Cpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => write!(f, "max"),
            Some(quota) => write!(f, "{}", quota as f64 / PERIOD as f64),
        }
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
    pub(super) fn shares(self) -> u64 {
        (self.0 * 1024 / 100).clamp(2, 262_144)
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
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

impl fmt::Display for CpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

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

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.path.display(), self.per_second)
    }
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

scalar!(Memory, Cpus, Weight, Pids, CpuSet, Rate);

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
}
