//! Choosing where the cgroups of a sandbox are made.

use std::path::PathBuf;

use super::hierarchy::{Hierarchies, Hierarchy, Place, Refusal, Version, name_in};
use super::limits::Limits;
use super::live::name_of;
use crate::error::Error;
use crate::machine::{kernel, scope};

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
    /// Whether the first process is born in it, and need not join.
    pub born_in: bool,
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
/// for it. The one that can freeze comes last: it is the first that is taken away. `root` is whether
/// this is the machine's root.
///
/// # Errors
/// [`Error::NotHere`] when none can be made, or a controller that is asked for cannot be had.
pub fn choose(
    machine: &Hierarchies,
    limits: &Limits,
    root: bool,
    id: &str,
) -> Result<Vec<Own>, Error> {
    let asked = limits.controllers();
    for controller in &asked {
        let found = machine.with(controller);
        let hierarchy = found.ok_or_else(|| missing(machine, controller))?;
        if let Some(refusal) = &hierarchy.refusal {
            return Err(refused(hierarchy.version, refusal));
        }
    }
    if machine.version() == Some(Version::V1) && limits.memory_high.is_some() {
        return Err(Error::not_here(
            "memory.high is a limit of cgroup version 2; version 1 limits memory here",
            "use `--memory`; a version 1 memory cgroup kills, it does not slow down",
        ));
    }
    let wanted = Wanted { machine, asked: &asked, root };
    let mut own: Vec<Own> = machine.0.iter().filter_map(|at| wanted.own(at, id)).collect();
    own.sort_by_key(|cgroup| cgroup.controllers.iter().any(|name| name == "freezer"));
    for controller in &asked {
        if !own.iter().any(|cgroup| cgroup.has(controller)) {
            return Err(missing(machine, controller));
        }
    }
    if own.is_empty() {
        let refusal = machine.0.iter().find_map(|at| Some((at.version, at.refusal.as_ref()?)));
        return Err(match refusal {
            Some((version, refusal)) => refused(version, refusal),
            None => missing(machine, "memory"),
        });
    }
    Ok(own)
}

/// What a sandbox wants of each hierarchy.
struct Wanted<'a> {
    machine: &'a Hierarchies,
    asked: &'a [&'static str],
    root: bool,
}

impl Wanted<'_> {
    /// The cgroup in one hierarchy, if it has anything that is wanted and a place for it.
    fn own(&self, at: &Hierarchy, id: &str) -> Option<Own> {
        let place = match at.version {
            Version::V1 => at.places.first()?,
            Version::V2 => at.places.iter().find(|place| self.serves(place))?,
        };
        let has = |name: &&String| self.wants(at.version, name);
        let controllers: Vec<String> = place.offers.iter().filter(has).cloned().collect();
        let is_v2 = at.version == Version::V2;
        let freezes = is_v2 && !self.is_in_v1("freezer");
        if controllers.is_empty() && !freezes {
            return None;
        }
        let missing = controllers.iter().filter(|name| !place.enabled.contains(name));
        Some(Own {
            version: at.version,
            dir: place.dir.join(name_of(id)),
            parent: place.dir.clone(),
            enable: missing.cloned().collect(),
            born_in: is_v2 && kernel::clones_into_cgroups(),
            controllers,
        })
    }

    /// Whether a place in version 2 offers all that is asked for and that no other tree has.
    fn serves(&self, place: &Place) -> bool {
        self.asked.iter().all(|name| self.is_in_v1(name) || place.offers(name))
    }

    /// Whether a controller is to be had in a tree of this version.
    fn wants(&self, version: Version, name: &str) -> bool {
        // Only the machine's root may write a list of devices, and only version 1 has one as a file.
        let devices = version == Version::V1 && self.root && name == "devices";
        let asked = self.asked.iter().any(|asked| name_in(version, asked) == name);
        let elsewhere = version == Version::V2 && self.is_in_v1(name);
        (USUAL.contains(&name) || devices || asked) && !elsewhere
    }

    /// Whether a tree of version 1 has this controller, which version 2 then cannot have.
    fn is_in_v1(&self, name: &str) -> bool {
        let name = name_in(Version::V1, name);
        self.machine.0.iter().any(|at| at.controllers.iter().any(|has| has == name))
    }
}

fn missing(machine: &Hierarchies, controller: &str) -> Error {
    if machine.0.is_empty() {
        return Error::not_here(
            "no cgroup hierarchy is mounted on this machine",
            "root can mount one: `mount -t cgroup2 none /sys/fs/cgroup`; without cgroups, `--with \
             rlimits` limits each process by itself",
        );
    }
    let v2 = machine.0.iter().find(|at| at.version == Version::V2);
    let hint = match v2.map(|at| at.own.display()) {
        Some(own) => format!(
            "whoever made `{own}` can pass it on, with `echo +{controller} > cgroup.subtree_control` \
             in each cgroup above it; for users of systemd: `systemctl edit user@.service`, \
             `Delegate=yes`"
        ),
        None => format!(
            "root can mount it: `mount -t cgroup -o {controller} none DIR`, if this kernel was \
             built with it"
        ),
    };
    Error::not_here(format!("the cgroup controller `{controller}` cannot be had here"), hint)
}

const RLIMITS: &str = "`--without cgroups --with rlimits` limits each process by itself";

fn refused(version: Version, refusal: &Refusal) -> Error {
    match refusal {
        Refusal::ReadOnly => Error::not_here(
            "the cgroup hierarchy is mounted read-only",
            format!(
                "in a container: start it with `--privileged --cgroupns=private`, or run outside \
                 of it; {RLIMITS}"
            ),
        ),
        Refusal::NotOurs(dir) => Error::not_here(
            format!("only root may make a cgroup in `{}`", dir.display()),
            who_may(version),
        ),
        Refusal::HoldsProcesses(dir) => {
            let dir = dir.display();
            Error::not_here(
                format!(
                    "`{dir}` holds processes, and in version 2 only the leaves of the tree may"
                ),
                format!(
                    "move them into a leaf and try again: `mkdir {dir}/shell; echo $$ > \
                     {dir}/shell/cgroup.procs`"
                ),
            )
        }
        Refusal::OutOfView => Error::not_here(
            "our own cgroup is outside of what is mounted of its hierarchy",
            format!("in a container: start it with `--cgroupns=private`; or {RLIMITS}"),
        ),
    }
}

/// How somebody who is not root comes by a cgroup.
fn who_may(version: Version) -> String {
    match version {
        Version::V1 => format!("run with sudo; or {RLIMITS}"),
        Version::V2 if scope::is_possible() => format!(
            "run it in a cgroup of your own: `systemd-run --user --scope -p Delegate=yes sandbox \
             …`; or {RLIMITS}"
        ),
        Version::V2 => format!(
            "run with sudo, or let root give you a cgroup: make a directory there and `chown` it to \
             you with its cgroup.procs, cgroup.subtree_control and cgroup.threads; or {RLIMITS}"
        ),
    }
}
