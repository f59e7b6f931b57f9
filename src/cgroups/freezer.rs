//! Stopping all processes of a cgroup, and letting them go on.

use std::fs;
use std::path::PathBuf;

use crate::error::Error;

/// The file to write to, and what, so that the processes in these cgroups of the sandbox `name` stop
/// or go on.
///
/// # Errors
/// [`Error::NotHere`] when none of them can be frozen.
pub fn order(
    name: &str,
    cgroups: &[PathBuf],
    paused: bool,
) -> Result<(PathBuf, &'static str), Error> {
    let find = |file: &str| cgroups.iter().map(|dir| dir.join(file)).find(|file| file.exists());
    if let Some(v1) = find("freezer.state") {
        return Ok((v1, if paused { "FROZEN" } else { "THAWED" }));
    }
    if let Some(v2) = find("cgroup.freeze") {
        return Ok((v2, if paused { "1" } else { "0" }));
    }
    Err(Error::not_here(
        format!("`{name}` has no cgroup that can be frozen"),
        "version 1 needs the controller `freezer`; version 2 needs Linux 5.2",
    ))
}

/// Whether the kernel has done what it was asked to: it tells in another place than it is asked.
pub fn has_settled(cgroups: &[PathBuf], paused: bool) -> bool {
    let read = |file: &str| cgroups.iter().find_map(|dir| fs::read_to_string(dir.join(file)).ok());
    if let Some(v1) = read("freezer.state") {
        return (v1.trim() == "FROZEN") == paused;
    }
    if let Some(v2) = read("cgroup.events") {
        return v2.contains("frozen 1") == paused;
    }
    true
}
