//! What reads what others wrote, for the fuzz targets in fuzz/.

use std::fmt::Display;
use std::str::FromStr;

use crate::cgroups::{CpuSet, Cpus, Hierarchies, Memory, Pids, Rate, Weight};
use crate::layers::{Target, Volume};
use crate::teach::read;

/// /proc/self/cgroup of this process, on the mounts of this machine.
pub fn cgroup(input: &[u8]) {
    let mounts = rootfs_fetch::mounts::table().unwrap_or_default();
    let _ = Hierarchies::of(input, &mounts).version();
}

/// A lesson file.
pub fn lesson(input: &[u8]) {
    let _ = read::checked("lesson.yaml", &String::from_utf8_lossy(input));
}

/// The values of options: what is read is printed as something that is read the same.
pub fn scalar(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    same::<Memory>(&text);
    same::<Cpus>(&text);
    same::<Weight>(&text);
    same::<Pids>(&text);
    same::<CpuSet>(&text);
    same::<Rate>(&text);
}

/// Volumes and their targets, likewise.
pub fn volume(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    same::<Volume>(&text);
    same::<Target>(&text);
}

fn same<T: FromStr + Display>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        let printed = value.to_string();
        let again = printed.parse::<T>().map(|value| value.to_string());
        assert_eq!(again.ok(), Some(printed), "{text:?}");
    }
}
