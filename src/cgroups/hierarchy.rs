//! Where this process stands in the cgroup hierarchies, and where in them cgroups can be made.
//!
//! Nothing here knows a path by heart: /proc/self/cgroup says in which cgroup of each hierarchy
//! this process is, and /proc/self/mountinfo where the hierarchies are mounted; see cgroups(7).

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::unistd::{AccessFlags, access};
use serde::Deserialize;

use crate::machine::mounts::{self, Mount};

/// Which kind of hierarchy it is. What differs is explained in cgroups(7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Version {
    /// One of many trees, each with controllers of its own.
    V1,
    /// The one tree with all controllers.
    V2,
}

/// A hierarchy that is mounted on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchy {
    /// Which kind.
    pub version: Version,
    /// In version 1, the controllers that it is mounted with.
    pub controllers: Vec<String>,
    /// The directory of the cgroup that this process is in.
    pub own: PathBuf,
    /// The cgroups at and above our own in which a sandbox's cgroup can be made, nearest first.
    pub places: Vec<Place>,
    /// Why there is none.
    pub refusal: Option<Refusal>,
}

/// A cgroup in which others can be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its directory.
    pub dir: PathBuf,
    /// The controllers that those below can have.
    pub offers: Vec<String>,
    /// The ones that those below have already; in version 1 that is the same.
    pub enabled: Vec<String>,
}

/// Why no cgroup can be made in a hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The hierarchy is mounted read-only.
    ReadOnly,
    /// The cgroup belongs to somebody else.
    NotOurs(PathBuf),
    /// Version 2 wants processes in the leaves only, and this cgroup is ours and holds some.
    HoldsProcesses(PathBuf),
    /// Our own cgroup is outside of what is mounted here.
    OutOfView,
}

/// All that this machine has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hierarchies(pub Vec<Hierarchy>);

impl Hierarchies {
    /// Looks at this machine.
    pub fn gather() -> Hierarchies {
        let mounts = mounts::table().unwrap_or_default();
        Hierarchies::of(&fs::read("/proc/self/cgroup").unwrap_or_default(), &mounts)
    }

    /// What a /proc/self/cgroup says, where these are the mounts.
    pub(crate) fn of(own: &[u8], mounts: &[Mount]) -> Hierarchies {
        let lines = own.split(|byte| *byte == b'\n');
        Hierarchies(lines.filter_map(|line| hierarchy(line, mounts)).collect())
    }

    /// The CPUs and the memory nodes that our own cgroup may use, as cpuset(7) writes them: in
    /// version 1 a new cgroup begins with none.
    pub fn cpuset(&self) -> (String, String) {
        let Some(hierarchy) = self.0.iter().find(|hierarchy| hierarchy.has("cpuset")) else {
            return Default::default();
        };
        let read = |file| fs::read_to_string(hierarchy.own.join(file)).unwrap_or_default();
        (read("cpuset.cpus").trim().to_owned(), read("cpuset.mems").trim().to_owned())
    }

    /// Whether swap is counted and limited.
    pub fn counts_swap(&self) -> bool {
        match self.0.iter().find(|hierarchy| hierarchy.has("memory")) {
            Some(v1) => v1.own.join("memory.memsw.limit_in_bytes").exists(),
            None => Path::new("/proc/swaps").exists(),
        }
    }

    /// The hierarchy that has this controller: in version 1 by its mount, in version 2 where a
    /// cgroup at or above ours offers it.
    pub fn with(&self, controller: &str) -> Option<&Hierarchy> {
        let name = |hierarchy: &Hierarchy| name_in(hierarchy.version, controller);
        let v1 = self.0.iter().find(|h| h.has(name(h)));
        v1.or_else(|| {
            let offers = |h: &&Hierarchy| {
                h.version == Version::V2 && (offered(&h.own, controller) || controller == "freezer")
            };
            self.0.iter().find(offers)
        })
    }

    /// Which version limits memory, processes and time here: 1 on hybrid machines.
    pub fn version(&self) -> Option<Version> {
        let any = self.with("memory").or_else(|| self.with("pids")).or_else(|| self.with("cpu"));
        any.or(self.0.first()).map(|hierarchy| hierarchy.version)
    }
}

/// Version 1 calls the controller `io` by another name.
pub fn name_in(version: Version, controller: &str) -> &str {
    if version == Version::V1 && controller == "io" { "blkio" } else { controller }
}

impl Place {
    /// Whether those below can have this controller.
    pub fn offers(&self, controller: &str) -> bool {
        self.offers.iter().any(|name| name == controller)
    }
}

impl Hierarchy {
    fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|name| name == controller)
    }
}

/// Whether the cgroup `own`, or one above it, can give this controller to those below.
fn offered(own: &Path, controller: &str) -> bool {
    own.ancestors().any(|dir| words(&dir.join("cgroup.controllers")).contains(&controller.into()))
}

/// The cgroups that a process is in and we are not, one in each hierarchy, as far as we may join them.
pub fn of(pid: i32) -> Vec<PathBuf> {
    differing(pid).into_iter().filter(|(dir, own)| may_join(dir, own)).map(|(dir, _)| dir).collect()
}

/// Those that we may not join.
pub fn closed(pid: i32) -> Vec<PathBuf> {
    differing(pid)
        .into_iter()
        .filter(|(dir, own)| !may_join(dir, own))
        .map(|(dir, _)| dir)
        .collect()
}

/// The cgroups that a process is in and we are not, each with ours in that hierarchy.
fn differing(pid: i32) -> Vec<(PathBuf, PathBuf)> {
    let mounts = mounts::table().unwrap_or_default();
    let own = Hierarchies::gather().0;
    let theirs = fs::read(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let theirs = theirs.split(|byte| *byte == b'\n').filter_map(|line| hierarchy(line, &mounts));
    let ours = |theirs: &Hierarchy| {
        let same = |own: &&Hierarchy| own.controllers == theirs.controllers;
        own.iter().find(same).map(|own| own.own.clone())
    };
    let pairs = theirs.filter(|theirs| theirs.refusal != Some(Refusal::OutOfView));
    let pairs = pairs.filter_map(|theirs| Some((theirs.own.clone(), ours(&theirs)?)));
    pairs.filter(|(theirs, own)| theirs != own).collect()
}

/// In version 2 a process moves by the leave of the cgroup that is above both places.
fn may_join(dir: &Path, own: &Path) -> bool {
    let is_v2 = dir.join("cgroup.controllers").exists();
    let above = dir.ancestors().find(|above| own.starts_with(above)).unwrap_or(dir);
    let may = |dir: &Path| access(&dir.join("cgroup.procs"), AccessFlags::W_OK).is_ok();
    may(dir) && (!is_v2 || may(above))
}

/// The hierarchy that a line of /proc/self/cgroup is about: `ID:controllers:path`.
fn hierarchy(line: &[u8], mounts: &[Mount]) -> Option<Hierarchy> {
    let mut fields = line.splitn(3, |byte| *byte == b':').skip(1);
    let controllers = std::str::from_utf8(fields.next()?).ok()?;
    let path = Path::new(OsStr::from_bytes(fields.next()?));
    let version = if controllers.is_empty() { Version::V2 } else { Version::V1 };
    if controllers.starts_with("name=") {
        return None; // it limits nothing
    }
    let controllers: Vec<String> =
        controllers.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
    let found: Vec<&Mount> =
        mounts.iter().filter(|mount| mounts_it(mount, version, &controllers)).collect();
    let shows_us = |mount: &&&Mount| path.starts_with(&mount.root);
    let Some(mount) = found.iter().rev().find(shows_us) else {
        let mount = found.first()?;
        let (own, refusal) = (mount.point.clone(), Some(Refusal::OutOfView));
        return Some(Hierarchy { version, controllers, own, places: Vec::new(), refusal });
    };
    let below = path.strip_prefix(&mount.root).ok()?;
    let own =
        if below.as_os_str().is_empty() { mount.point.clone() } else { mount.point.join(below) };
    let (places, refusal) = match version {
        _ if mount.is_read_only() => (Vec::new(), Some(Refusal::ReadOnly)),
        Version::V1 => places_v1(&own, &controllers),
        Version::V2 => places_v2(&own, &mount.point),
    };
    Some(Hierarchy { version, controllers, own, places, refusal })
}

/// Whether this mount is of the hierarchy with these controllers.
fn mounts_it(mount: &Mount, version: Version, controllers: &[String]) -> bool {
    match (version, controllers.first()) {
        (Version::V1, Some(first)) => {
            mount.kind == "cgroup"
                && mount.super_options.iter().any(|option| option == first.as_str())
        }
        (Version::V1, None) => false,
        (Version::V2, _) => mount.kind == "cgroup2",
    }
}

fn places_v1(own: &Path, controllers: &[String]) -> (Vec<Place>, Option<Refusal>) {
    match may_write(own) {
        Ok(()) => {
            let all = controllers.to_vec();
            (vec![Place { dir: own.to_owned(), offers: all.clone(), enabled: all }], None)
        }
        Err(refusal) => (Vec::new(), Some(refusal)),
    }
}

/// At and above our own cgroup, those that are ours to change and hold no process. Only the root
/// of the hierarchy may hold processes and give controllers to others all the same.
fn places_v2(own: &Path, top: &Path) -> (Vec<Place>, Option<Refusal>) {
    let mut refusal = None;
    let mut places = Vec::new();
    for dir in own.ancestors().take_while(|dir| dir.starts_with(top)) {
        if let Err(why) = may_write(dir) {
            refusal = refusal.or(Some(why));
            break; // what is above somebody else's is not ours either
        }
        let is_root = !dir.join("cgroup.type").exists();
        let holds = fs::read_to_string(dir.join("cgroup.procs")).is_ok_and(|text| !text.is_empty());
        if holds && !is_root {
            refusal = refusal.or_else(|| Some(Refusal::HoldsProcesses(dir.to_owned())));
            continue;
        }
        let words = |file| words(&dir.join(file));
        places.push(Place {
            dir: dir.to_owned(),
            offers: words("cgroup.controllers"),
            enabled: words("cgroup.subtree_control"),
        });
    }
    if places.is_empty() { (places, refusal) } else { (places, None) }
}

/// Whether we may make cgroups in this one and move processes through it.
fn may_write(dir: &Path) -> Result<(), Refusal> {
    let tried = access(dir, AccessFlags::W_OK)
        .and_then(|()| access(&dir.join("cgroup.procs"), AccessFlags::W_OK));
    match tried {
        Ok(()) => Ok(()),
        Err(Errno::EROFS) => Err(Refusal::ReadOnly),
        Err(_) => Err(Refusal::NotOurs(dir.to_owned())),
    }
}

fn words(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.split_whitespace().map(str::to_owned).collect()
}

/// The numbers of the disk at this path, or of the disk that holds the file there: a whole disk,
/// as the kernel limits no partitions.
pub fn disk(path: &Path) -> Option<(u32, u32)> {
    use nix::sys::stat::{major, minor};
    use std::os::unix::fs::{FileTypeExt, MetadataExt};
    let about = fs::metadata(path).ok()?;
    let number = if about.file_type().is_block_device() { about.rdev() } else { about.dev() };
    let (major, minor) = (major(number), minor(number));
    let device = fs::canonicalize(format!("/sys/dev/block/{major}:{minor}")).ok()?;
    let whole = if device.join("partition").exists() { device.parent()? } else { &device };
    let text = fs::read_to_string(whole.join("dev")).ok()?;
    let (major, minor) = text.trim().split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}
