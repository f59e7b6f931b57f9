//! What reads what others wrote, for the fuzz targets in fuzz/.

use std::fmt::Display;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};
use std::str::FromStr;

use serde_json::json;

use crate::cgroups::{CpuSet, Cpus, Hierarchies, Memory, Pids, Rate, Weight};
use crate::layers::Volume;
use crate::plan::step::Undo;
use crate::run::state;
use crate::stages::Stages;
use crate::teach::read;

/// /proc/self/cgroup of this process, on the mounts of this machine.
pub fn cgroup(input: &[u8]) {
    let mounts = rootfs_fetch::mounts::table().unwrap_or_default();
    let _ = Hierarchies::of(input, &mounts).version();
}

/// A journal: nothing may be taken away but what a sandbox of that name puts somewhere.
pub fn journal(input: &[u8]) {
    let dir = Path::new("/nowhere/one");
    let (undos, strange) = state::obeyed(input, dir, "one");
    for undo in undos {
        let (path, name) = match &undo {
            Undo::Rmdir(path) => {
                assert_eq!(path.parent(), Some(dir), "{undo:?}");
                (path, None)
            }
            Undo::Tree(path) => (path, Some("run-one")),
            Undo::Unlink(path) => (path, Some(".disk-one")),
            Undo::Cgroup(path) => (path, Some("sandbox-one")),
        };
        let is_named = name.is_none_or(|name| path.file_name() == Some(name.as_ref()));
        let climbs = path.components().any(|part| part == Component::ParentDir);
        let is_path = path.is_absolute() && !path.as_os_str().as_bytes().contains(&0);
        assert!(is_named && is_path && !climbs, "{undo:?}");
    }
    let printed = strange.unwrap_or_default();
    assert!(!printed.chars().any(char::is_control), "{printed:?}");
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

/// Volumes, and memory in their place, likewise.
pub fn volume(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    same::<Volume>(&text);
    let told = json!({ "rootfs": { "tmpfs": [text] } });
    if let Ok(stages) = serde_json::from_value::<Stages>(told) {
        let printed = serde_json::to_value(&stages).expect("what was read can be printed");
        let again = serde_json::from_value::<Stages>(printed).expect("and read again");
        assert_eq!(again, stages);
    }
}

fn same<T: FromStr + Display>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        let printed = value.to_string();
        let again = printed.parse::<T>().map(|value| value.to_string());
        assert_eq!(again.ok(), Some(printed), "{text:?}");
    }
}
