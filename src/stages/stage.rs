//! What a stage is: types only.
//!
//! A stage turns a [`Spec`] (what is asked, and the facts about this host) into [`Step`]s. It
//! touches nothing itself; `run.rs` performs the steps.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::cgroups::Limits;
use crate::cgroups::{self, Own};
use crate::layers::{Driver, Layers, Volume};
use crate::machine::host::Host;
use crate::syscall::Syscall;
use crate::teach::attacks::Attack;

/// The name of a stage: its file in `src/stages/`, its value on the command line, its book page.
pub type StageName = &'static str;

// ANCHOR: step
/// One system call, why it is made, and what takes its effect off the host again.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The call.
    pub call: Syscall,
    /// Why, in a sentence without a full stop: the text that students read.
    pub why: &'static str,
    /// How the host is rid of it; only steps of [`Stage::prepare`] need one.
    pub undo: Option<Undo>,
    /// Whether `--forget` may leave it out, to show what it is for.
    pub forgettable: bool,
    /// Whether the parent makes it, for a child that is there already and waits meanwhile.
    pub by_parent: bool,
}
// ANCHOR_END: step

/// What can be undone, as the journal keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Undo {
    /// Remove this empty directory.
    Rmdir(PathBuf),
    /// Remove this directory with all that is in it.
    Tree(PathBuf),
    /// Remove this file.
    Unlink(PathBuf),
    /// End what is in this cgroup and remove it.
    Cgroup(PathBuf),
}

impl Syscall {
    /// Makes a step of a call by saying why it is made.
    pub fn because(self, why: &'static str) -> Step {
        Step { call: self, why, undo: None, forgettable: false, by_parent: false }
    }
}

impl Step {
    /// Says what takes the step's effect away.
    pub fn undone_by(self, undo: Undo) -> Step {
        Step { undo: Some(undo), ..self }
    }

    /// Lets `--forget` leave the step out. Only for steps whose absence harms nobody but the
    /// sandbox itself.
    pub fn forgettable(self) -> Step {
        Step { forgettable: true, ..self }
    }
}

impl Step {
    /// Lets the parent make the call, for the child.
    pub fn by_parent(self) -> Step {
        Step { by_parent: true, ..self }
    }
}

/// One isolation mechanism.
pub trait Stage: Sync {
    /// Its name.
    fn name(&self) -> StageName;

    /// What `sandbox explain` says about it.
    fn about(&self) -> About;

    /// The stages without which it cannot work, or would change the host.
    fn needs(&self) -> &'static [StageName] {
        &[]
    }

    /// The stages that do the same another way.
    fn conflicts(&self) -> &'static [StageName] {
        &[]
    }

    /// Steps on the host, before the first fork. Each that puts something there has an undo.
    fn prepare(&self, _: &Spec) -> Vec<Step> {
        Vec::new()
    }

    /// Steps in the process that becomes the container.
    fn enter(&self, spec: &Spec) -> Vec<Step>;
}

/// A stage in words.
pub struct About {
    /// What the stage is, in half a line.
    pub title: &'static str,
    /// What is hidden or private with it.
    pub isolates: &'static str,
    /// What still shows: the reason for the next stage.
    pub leaks: &'static str,
    /// The kernel that first had it.
    pub since: &'static str,
    /// Manual pages.
    pub see: &'static [&'static str],
}

// ANCHOR: spec
/// What is asked of the stages. Read-only: every decision is made before or while planning.
#[derive(Clone, Debug)]
pub struct Spec {
    /// The chosen stages, in any order.
    pub stages: Vec<StageName>,
    /// The facts about this machine.
    pub host: Host,
    /// Names everything that this sandbox puts on the host.
    pub id: String,
    /// The directory that may become `/`.
    pub rootfs: PathBuf,
    /// What the stages can be told.
    pub settings: Settings,
    /// Where the layers of `overlay` are.
    pub layers: Layers,
    /// What runs at the end; `None` for the stand-in host, whose process stays ours.
    pub command: Option<Command>,
    /// What the process tries before it starts the command.
    pub attack: Option<&'static Attack>,
    /// Names of calls to leave out.
    pub forget: Vec<String>,
}
// ANCHOR_END: spec

/// What the stages can be told, beyond being chosen.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// The name that `uts` gives.
    pub hostname: String,
    /// What `mnt` lets mounts tell their peers.
    pub propagation: Propagation,
    /// How many seconds `time` adds to the time since boot.
    pub boottime: i64,
    /// Whether process 1 of `pid` stays ours, reaps and passes signals on.
    pub init: bool,
    /// Whether `user` maps the caller's subordinate ids too.
    pub map_auto: bool,
    /// What `cgroups` and `rlimits` limit.
    pub limits: Limits,
    /// How `overlay` makes one root of the layers.
    pub storage: Driver,
    /// What `rootfs` mounts into the root besides.
    pub volumes: Vec<Volume>,
    /// Whether `rootfs` leaves the root read-only.
    pub read_only: bool,
    /// The bytes of a file on this machine's disk that `stand-in` shows as /disk.
    #[serde(skip)]
    pub disk: Option<u64>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            hostname: "sandbox".to_owned(),
            propagation: Propagation::Private,
            boottime: 10 * 24 * 60 * 60,
            init: false,
            map_auto: false,
            limits: Limits::default(),
            storage: Driver::Overlay,
            volumes: Vec::new(),
            read_only: false,
            disk: None,
        }
    }
}

/// Which mounts tell which others about new mounts; see mount_namespaces(7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Propagation {
    /// None in either direction.
    Private,
    /// The host's new mounts appear here, ours do not appear there.
    Slave,
    /// Both directions.
    Shared,
}

/// The program at the end of a plan.
#[derive(Clone, Debug, Default)]
pub struct Command {
    /// The program and its arguments; never empty.
    pub argv: Vec<OsString>,
    /// Variables on top of the others.
    pub env: Vec<(OsString, OsString)>,
    /// Whether the others are a few of ours, as in another root, and not the caller's.
    pub fresh_env: bool,
    /// The directory to start in.
    pub workdir: Option<PathBuf>,
}

impl Spec {
    /// Whether this stage is chosen.
    pub fn has(&self, stage: StageName) -> bool {
        self.stages.contains(&stage)
    }

    /// Whether the process gets another root directory.
    pub fn changes_root(&self) -> bool {
        self.has("chroot") || self.has("pivot-root")
    }

    /// The sandbox's own directory on the host, with its journal.
    pub fn state_dir(&self) -> PathBuf {
        self.host.state_base.join(&self.id)
    }

    /// The directory that becomes `/`: the rootfs itself, or the place where the `rootfs` stage
    /// lays it out.
    pub fn root(&self) -> PathBuf {
        if self.has("rootfs") { self.state_dir().join("root") } else { self.rootfs.clone() }
    }

    /// The sandbox's own cgroups, one in each hierarchy; none when they cannot be had, for which
    /// there is no plan.
    pub fn cgroups(&self) -> Vec<Own> {
        if !self.has("cgroups") {
            return Vec::new();
        }
        cgroups::choose(&self.host, &self.settings.limits, &self.id).unwrap_or_default()
    }

    /// The layers that are only read, topmost first, a line each; without the init layer.
    pub fn stack(&self) -> String {
        let all = self.layers.lowers.iter().chain([&self.rootfs]);
        all.map(|dir| format!("{}\n", dir.display())).collect()
    }

    /// What overlayfs is told: `lowerdir=TOP:…:BOTTOM,upperdir=…,workdir=…`
    pub fn overlay_options(&self) -> String {
        let init = [self.layers.init()];
        let lowers: Vec<&Path> =
            init.iter().chain(&self.layers.lowers).map(PathBuf::as_path).collect();
        // In a user namespace only attributes of users can be written, and none of `trusted`.
        let marks = if self.has("user") || !self.host.machine_root { ",userxattr" } else { "" };
        let lowers = [lowers, vec![&self.rootfs]].concat();
        format!("{}{marks}", self.layers.options(&lowers))
    }

    /// The files that every container has for itself, in its init layer.
    pub fn init_files(&self) -> Vec<(PathBuf, String)> {
        let name = if self.has("uts") { &self.settings.hostname } else { "localhost" };
        let file = |name: &str, text: String| (self.layers.init().join("etc").join(name), text);
        vec![
            file("hostname", format!("{name}\n")),
            file("hosts", format!("127.0.0.1 localhost {name}\n::1 localhost\n")),
            file("resolv.conf", self.layers.resolv_conf.clone()),
        ]
    }

    /// The path by which the sandbox finds the rootfs. Root that becomes an ordinary user for the
    /// `user` stage may not be able to walk there any more, and stands in it instead.
    pub fn rootfs_source(&self) -> PathBuf {
        let stands_there = self.host.machine_root && self.has("user") && self.has("rootfs");
        if stands_there { PathBuf::from(".") } else { self.rootfs.clone() }
    }

    /// A path below [`Spec::root`].
    pub fn in_root(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.root().join(path.strip_prefix("/").unwrap_or(path))
    }
}
