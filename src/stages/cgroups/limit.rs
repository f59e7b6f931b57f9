//! What is written to the files of a new cgroup.

use crate::cgroups::{Hierarchies, Limits, Own, Version};
use crate::plan::step::{Because, Step};
use crate::stages::user::NOBODY;
use crate::syscall::{Chown, Write};

/// What version 1 lets a sandbox of root open: null, zero, full, random, urandom, tty, and the
/// terminals. In version 2 a program in the kernel's own bytecode decides, and there is no file.
const DEVICES: &[&str] =
    &["c 1:3 rwm", "c 1:5 rwm", "c 1:7 rwm", "c 1:8 rwm", "c 1:9 rwm", "c 5:* rwm", "c 136:* rwm"];

/// The limits that one cgroup holds.
pub(super) fn steps(cgroup: &Own, limits: &Limits, machine: &Hierarchies) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut set = |file: &str, value: String, why| {
        steps.push(Write(cgroup.dir.join(file).into(), value.into()).because(why));
    };
    if cgroup.version == Version::V1 && cgroup.has("cpuset") {
        let (cpus, mems) = machine.cpuset();
        set("cpuset.cpus", cpus, "a version 1 cpuset begins empty: pass on what we have");
        set("cpuset.mems", mems, "and the memory nodes likewise");
    }
    if cgroup.version == Version::V1 && cgroup.has("devices") {
        set("devices.deny", "a".to_owned(), "open no device at all");
        for device in DEVICES {
            set("devices.allow", (*device).to_owned(), "but those that every program expects");
        }
    }
    for setting in limits.settings(cgroup.version) {
        let needless = setting.optional && !machine.counts_swap();
        if cgroup.has(setting.controller) && !needless {
            set(setting.file, setting.value, setting.why);
        }
    }
    steps
}

/// Gives a cgroup away.
pub(super) fn delegate(cgroup: &Own) -> [Step; 3] {
    let files = match cgroup.version {
        Version::V1 => ["", "cgroup.procs", "tasks"],
        Version::V2 => ["", "cgroup.procs", "cgroup.subtree_control"],
    };
    files.map(|file| {
        Chown(cgroup.dir.join(file), NOBODY)
            .because("the stand-in host may divide it, not enlarge it")
    })
}

/// `+memory +pids`
pub(in crate::stages) fn plus(controllers: &[String]) -> String {
    controllers.iter().map(|name| format!("+{name}")).collect::<Vec<_>>().join(" ")
}
