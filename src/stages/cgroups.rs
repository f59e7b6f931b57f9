//! cgroups: limits on what processes may use.
//!
//! A control group is a directory. To make one, make the directory: the kernel fills it with files.
//! A number written to one of them is a limit; a process joins by writing itself to cgroup.procs.
//! Its children begin where it is, so the limit holds for all of them together.
//!
//! Version 2 has one tree with every controller in it. In version 1 each controller has a tree of
//! its own, and a sandbox needs a directory in each. Which files a limit is written to is told in
//! limits.rs, and where the directories are made in cgroups/.

// ANCHOR: stage
use crate::cgroups::{Own, Version};
use crate::stages::stage::{About, Spec, Stage, StageName, Step, Undo};
use crate::syscall::Syscall;

pub(super) struct Cgroups;

/// What version 1 lets a sandbox of root open: null, zero, full, random, urandom, tty, and the
/// terminals. In version 2 a program in the kernel's own bytecode decides, and there is no file.
const DEVICES: &[&str] =
    &["c 1:3 rwm", "c 1:5 rwm", "c 1:7 rwm", "c 1:8 rwm", "c 1:9 rwm", "c 5:* rwm", "c 136:* rwm"];

impl Stage for Cgroups {
    fn name(&self) -> StageName {
        "cgroups"
    }

    fn about(&self) -> About {
        About {
            title: "limits on memory, time, processes and disks",
            isolates: "what the processes of a sandbox use together, from what others need",
            leaks: "everything that is seen: a cgroup limits and counts, it hides nothing",
            since: "Linux 2.6.24 (2008); version 2: Linux 4.5 (2016)",
            see: &["cgroups(7)", "cgroup_namespaces(7)", "clone(2)"],
        }
    }

    fn prepare(&self, spec: &Spec) -> Vec<Step> {
        let cgroups = spec.cgroups();
        let enable = cgroups
            .iter()
            .filter(|cgroup| cgroup.version == Version::V2 && !cgroup.enable.is_empty());
        let enable = enable.map(|cgroup| {
            write(cgroup.parent.join("cgroup.subtree_control"), plus(&cgroup.enable))
                .because("let the cgroups below this one have these controllers")
        });
        let make = cgroups.iter().map(|cgroup| {
            Syscall::Mkdir(cgroup.dir.clone(), 0o755)
                .because("a cgroup is a directory: to make it is to make the cgroup")
                .undone_by(Undo::Cgroup(cgroup.dir.clone()))
        });
        let limits = cgroups.iter().flat_map(|cgroup| limit(cgroup, spec));
        let delegate = cgroups.iter().flat_map(|cgroup| delegate(cgroup, spec));
        enable.chain(make).chain(limits).chain(delegate).collect()
    }

    fn enter(&self, spec: &Spec) -> Vec<Step> {
        let born = spec.host.cgroups.clone_into;
        let joins = |cgroup: &Own| !(born && cgroup.version == Version::V2);
        let join = |cgroup: Own| {
            write(cgroup.dir.join("cgroup.procs"), "0".to_owned())
                .because("join it: 0 stands for the process that writes")
        };
        spec.cgroups().into_iter().filter(joins).map(join).collect()
    }
}

/// The limits that one cgroup holds.
fn limit(cgroup: &Own, spec: &Spec) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut set = |file: &str, value: String, why| {
        steps.push(write(cgroup.dir.join(file), value).because(why));
    };
    if cgroup.version == Version::V1 && cgroup.has("cpuset") {
        let (cpus, mems) = spec.host.cgroups.cpuset.clone();
        set("cpuset.cpus", cpus, "a version 1 cpuset begins empty: pass on what we have");
        set("cpuset.mems", mems, "and the memory nodes likewise");
    }
    if cgroup.version == Version::V1 && cgroup.has("devices") {
        set("devices.deny", "a".to_owned(), "open no device at all");
        for device in DEVICES {
            set("devices.allow", (*device).to_owned(), "but those that every program expects");
        }
    }
    for setting in spec.settings.limits.settings(cgroup.version) {
        let needless = setting.optional && !spec.host.cgroups.swap;
        if cgroup.has(setting.controller) && !needless {
            set(setting.file, setting.value, setting.why);
        }
    }
    steps
}

/// Root's stand-in host is no longer root when it makes cgroups for its sandboxes.
fn delegate(cgroup: &Own, spec: &Spec) -> Vec<Step> {
    if !spec.has("stand-in") || !spec.host.machine_root {
        return Vec::new();
    }
    let files = match cgroup.version {
        Version::V1 => ["", "cgroup.procs", "tasks"],
        Version::V2 => ["", "cgroup.procs", "cgroup.subtree_control"],
    };
    let give = |file| Syscall::Chown(cgroup.dir.join(file), super::user::NOBODY);
    files.map(|file| give(file).because("the stand-in host may divide it, not enlarge it")).into()
}

/// `+memory +pids`
pub(super) fn plus(controllers: &[String]) -> String {
    controllers.iter().map(|name| format!("+{name}")).collect::<Vec<_>>().join(" ")
}

fn write(file: std::path::PathBuf, value: String) -> Syscall {
    Syscall::Write(file, value)
}
// ANCHOR_END: stage
