//! For which machines an image is, and whether this is one of them.

use std::fmt::{self, Display};

use serde::Deserialize;

/// For which machines an image is.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Platform {
    /// The operating system.
    #[serde(default)]
    pub(crate) os: String,
    /// The architecture, as Go calls it.
    #[serde(default)]
    pub(crate) architecture: String,
    /// Which of its kinds: `v7`.
    #[serde(default)]
    pub(crate) variant: String,
}

impl Display for Platform {
    /// As images are named: `linux/arm/v7`.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let parts = [self.os.as_str(), &self.architecture, &self.variant];
        let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        f.write_str(&parts.join("/"))
    }
}

impl Platform {
    /// How well an image for it fits this machine, the best 0; `None` when it does not.
    pub(super) fn rank(&self) -> Option<u32> {
        // Attestations are for `unknown/unknown`, and no images.
        if self.os != "linux" || self.architecture != architecture() {
            return None;
        }
        match (architecture(), self.variant.as_str()) {
            ("arm", variant) => rank_arm(variant, arm_version()),
            ("amd64", "" | "v1") | ("arm64", "" | "v8") => Some(0),
            // Made for newer processors than every one of this architecture.
            ("amd64" | "arm64", _) => None,
            _ => Some(0),
        }
    }
}

/// This machine's architecture, as Go and thus images call it.
pub(crate) fn architecture() -> &'static str {
    match (std::env::consts::ARCH, cfg!(target_endian = "little")) {
        ("x86_64", _) => "amd64",
        ("x86", _) => "386",
        ("aarch64", _) => "arm64",
        ("powerpc64", true) => "ppc64le",
        ("powerpc64", false) => "ppc64",
        ("mips64", true) => "mips64le",
        ("mips", true) => "mipsle",
        ("loongarch64", _) => "loong64",
        (other, _) => other,
    }
}

/// A 32-bit ARM runs what is made for it and for older ones; `v7` is meant where nothing is said.
fn rank_arm(variant: &str, machine: u32) -> Option<u32> {
    let wanted = if variant.is_empty() { 7 } else { variant.strip_prefix('v')?.parse().ok()? };
    machine.checked_sub(wanted)
}

/// Which ARM this is: 6 for `armv6l`. A 64-bit one runs 32-bit programs up to 8.
fn arm_version() -> u32 {
    let machine = nix::sys::utsname::uname().ok();
    let machine = machine.map(|names| names.machine().to_string_lossy().into_owned());
    let digit = machine.as_deref().and_then(|name| name.strip_prefix("armv")?.chars().next());
    digit.and_then(|digit| digit.to_digit(10)).unwrap_or(8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arm_runs_what_is_made_for_older_ones() {
        assert_eq!(rank_arm("v7", 7), Some(0));
        assert_eq!(rank_arm("v6", 7), Some(1));
        assert_eq!(rank_arm("", 7), Some(0));
        assert_eq!(rank_arm("v7", 6), None);
        assert_eq!(rank_arm("v5x", 7), None);
    }
}
