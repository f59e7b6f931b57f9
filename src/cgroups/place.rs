//! Choosing where the cgroups of a sandbox are made.

use std::path::PathBuf;

use super::hierarchy::{Cgroups, Hierarchy, Place, Refusal, Version, name_in};
use super::limits::Limits;
use crate::error::Error;
use crate::machine::host::Host;

/// The controllers that a sandbox gets wherever they can be had, to be counted, stopped and ended
/// by, even when nothing is limited.
const USUAL: &[&str] = &["memory", "cpu", "cpuacct", "pids", "io", "blkio", "freezer"];

/// A sandbox's own cgroup in one hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Own {
    /// Which kind of hierarchy it is in.
    pub version: Version,
    /// Its directory, which is to be made.
    pub dir: PathBuf,
    /// The cgroup in which it is made.
    pub parent: PathBuf,
    /// The controllers that it has.
    pub controllers: Vec<String>,
    /// Those of them that its parent does not give to others yet.
    pub enable: Vec<String>,
}

impl Own {
    /// Whether it has this controller; version 2 can freeze without one.
    pub fn has(&self, controller: &str) -> bool {
        let name = name_in(self.version, controller);
        let built_in = self.version == Version::V2 && controller == "freezer";
        built_in || self.controllers.iter().any(|known| known == name)
    }
}

/// The cgroups that a sandbox with these limits gets, one in each hierarchy that has a controller
/// for it. The one that can freeze comes last: it is the first that is taken away.
///
/// # Errors
/// [`Error::NoCgroup`] when none can be made, or a controller that is asked for cannot be had.
pub fn choose(host: &Host, limits: &Limits, id: &str) -> Result<Vec<Own>, Error> {
    let (machine, asked) = (&host.cgroups, limits.controllers());
    for controller in &asked {
        let found = machine.with(controller);
        let hierarchy = found.ok_or_else(|| missing(machine, controller))?;
        if let Some(refusal) = &hierarchy.refusal {
            return Err(refused(machine, hierarchy.version, refusal));
        }
    }
    if let (Some(Version::V1), Some(_)) = (machine.version(), limits.memory_high) {
        return Err(Error::NoCgroup {
            problem: "memory.high is a limit of cgroup version 2; version 1 limits memory here"
                .into(),
            hint: "use `--memory`; a version 1 memory cgroup kills, it does not slow down".into(),
        });
    }
    let mut own: Vec<Own> =
        machine.hierarchies.iter().filter_map(|h| in_hierarchy(host, h, &asked, id)).collect();
    own.sort_by_key(|cgroup| cgroup.controllers.iter().any(|name| name == "freezer"));
    for controller in &asked {
        if !own.iter().any(|cgroup| cgroup.has(controller)) {
            return Err(missing(machine, controller));
        }
    }
    if own.is_empty() {
        let refusal =
            machine.hierarchies.iter().find_map(|h| Some((h.version, h.refusal.as_ref()?)));
        let error = refusal.map(|(version, refusal)| refused(machine, version, refusal));
        return Err(error.unwrap_or_else(|| missing(machine, "memory")));
    }
    Ok(own)
}

/// The cgroup in one hierarchy, if it has anything that is wanted and a place for it.
fn in_hierarchy(host: &Host, at: &Hierarchy, asked: &[&str], id: &str) -> Option<Own> {
    let others = |name: &str| {
        let has = |h: &Hierarchy| h.controllers.iter().any(|c| c == name_in(Version::V1, name));
        at.version == Version::V2 && host.cgroups.hierarchies.iter().any(has)
    };
    let asked: Vec<&str> = asked.iter().map(|name| name_in(at.version, name)).collect();
    let asked_here =
        |place: &&Place| asked.iter().filter(|name| !others(name)).all(|name| place.offers(name));
    let place = match at.version {
        Version::V1 => at.places.first()?,
        Version::V2 => at.places.iter().find(asked_here)?,
    };
    // Only the machine's root may write a list of devices, and only version 1 has one as a file.
    let lists_devices = host.machine_root && host.privileged && at.version == Version::V1;
    let wanted = |name: &&String| {
        let usual = USUAL.contains(&name.as_str()) || (lists_devices && *name == "devices");
        (usual || asked.contains(&name.as_str())) && !others(name)
    };
    let controllers: Vec<String> = place.offers.iter().filter(wanted).cloned().collect();
    let freezes = at.version == Version::V2 && !others("freezer");
    if controllers.is_empty() && !freezes {
        return None;
    }
    let enable = controllers.iter().filter(|name| !place.enabled.contains(name)).cloned().collect();
    let (dir, parent) = (place.dir.join(format!("sandbox-{id}")), place.dir.clone());
    Some(Own { version: at.version, dir, parent, controllers, enable })
}

fn missing(machine: &Cgroups, controller: &str) -> Error {
    if machine.hierarchies.is_empty() {
        return Error::NoCgroup {
            problem: "no cgroup hierarchy is mounted on this machine".into(),
            hint: "root can mount one: `mount -t cgroup2 none /sys/fs/cgroup`; without cgroups, \
                   `--with rlimits` limits each process by itself"
                .into(),
        };
    }
    let v2 = machine.hierarchies.iter().find(|h| h.version == Version::V2);
    let above = v2.map(|h| h.own.display().to_string());
    let hint = match above {
        Some(own) => format!(
            "whoever made `{own}` can pass it on, with `echo +{controller} > cgroup.subtree_control` \
             in each cgroup above it; for users of systemd: `systemctl edit user@.service`, \
             `Delegate=yes`"
        ),
        None => format!(
            "root can mount it: `mount -t cgroup -o {controller} none DIR`, if this \
                         kernel was built with it"
        ),
    };
    Error::NoCgroup {
        problem: format!("the cgroup controller `{controller}` cannot be had here"),
        hint,
    }
}

fn refused(machine: &Cgroups, version: Version, refusal: &Refusal) -> Error {
    let rlimits = "`--without cgroups --with rlimits` limits each process by itself";
    let (problem, hint) = match refusal {
        Refusal::ReadOnly => (
            "the cgroup hierarchy is mounted read-only".to_owned(),
            format!(
                "in a container: start it with `--privileged --cgroupns=private`, or run outside \
                 of it; {rlimits}"
            ),
        ),
        Refusal::NotOurs(dir) => (
            format!("only root may make a cgroup in `{}`", dir.display()),
            match (version, machine.user_manager) {
                (Version::V1, _) => format!("run with sudo; or {rlimits}"),
                (Version::V2, true) => format!(
                    "run it in a cgroup of your own: `systemd-run --user --scope -p Delegate=yes \
                     sandbox …`; or {rlimits}"
                ),
                (Version::V2, false) => format!(
                    "run with sudo, or let root give you a cgroup: make a directory there and \
                     `chown` it to you with its cgroup.procs, cgroup.subtree_control and \
                     cgroup.threads; or {rlimits}"
                ),
            },
        ),
        Refusal::HoldsProcesses(dir) => {
            let dir = dir.display();
            (
                format!(
                    "`{dir}` holds processes, and in version 2 only the leaves of the tree may"
                ),
                format!(
                    "move them into a leaf and try again: `mkdir {dir}/shell; echo $$ > \
                     {dir}/shell/cgroup.procs`"
                ),
            )
        }
        Refusal::OutOfView => (
            "our own cgroup is outside of what is mounted of its hierarchy".to_owned(),
            format!("in a container: start it with `--cgroupns=private`; or {rlimits}"),
        ),
    };
    Error::NoCgroup { problem, hint }
}
