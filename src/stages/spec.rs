//! What is asked of the stages, beyond what each was told.

use std::path::{Path, PathBuf};

use super::names::{CHROOT, PIVOT_ROOT, ROOTFS, USER};
use crate::cgroups::{Limits, Own};
use crate::layers::Layers;
use crate::machine::host::Host;
use crate::plan::command::Command;
use crate::plan::step::{StageName, Step};
use crate::syscall::Location;

// ANCHOR: spec
/// What more than one stage reads.
#[derive(Clone, Debug, Default)]
pub struct Spec {
    /// The chosen stages, in any order.
    pub stages: Vec<StageName>,
    /// Who asks.
    pub host: Host,
    /// Names everything that this sandbox puts on the host.
    pub id: String,
    /// The directory that may become `/`.
    pub rootfs: PathBuf,
    /// Whether it is one of the store's, which every sandbox has: without a layer over it, it may only
    /// be read.
    pub shared: bool,
    /// Whether its set-user-ID programs are to start as any other program.
    pub no_suid: bool,
    /// What runs at the end; `None` for the stand-in host, whose process stays ours.
    pub command: Option<Command>,
    /// What the process does besides, before it starts the command.
    pub extra: Option<Extra>,
    /// Names of calls to leave out.
    pub forget: Vec<String>,
    /// What `cgroups` or `rlimits` limits.
    pub limits: Limits,
    /// What `uts` tells: the name that it gives.
    pub hostname: Option<String>,
    /// What `cgroups` tells: the sandbox's own cgroups, one in each hierarchy.
    pub cgroups: Vec<Own>,
    /// What `overlay` tells: where the layers are. Before it has looked, those below are known.
    pub layers: Layers,
    /// The directory for all layers, where it is not the user's own.
    pub layers_base: Option<PathBuf>,
}
// ANCHOR_END: spec

/// Steps that belong to no stage.
#[derive(Clone, Debug, PartialEq)]
pub struct Extra {
    /// Who asks for them.
    pub by: &'static str,
    /// What happened before the sandbox was made.
    pub before: Vec<Step>,
    /// What happens in it.
    pub inside: Vec<Step>,
}

impl Spec {
    /// Whether this stage is chosen.
    pub fn has(&self, stage: StageName) -> bool {
        self.stages.contains(&stage)
    }

    /// Whether the process gets another root directory.
    pub fn changes_root(&self) -> bool {
        self.has(CHROOT) || self.has(PIVOT_ROOT)
    }

    /// Whether there must be a rootfs.
    pub fn uses_rootfs(&self) -> bool {
        self.changes_root() || self.has(ROOTFS)
    }

    /// The sandbox's own directory on the host, with its journal.
    pub fn state_dir(&self) -> PathBuf {
        self.host.state_base.join(&self.id)
    }

    /// The directory that becomes `/`: the rootfs itself, or the place where the stage `rootfs`
    /// lays it out.
    pub fn root(&self) -> PathBuf {
        if self.has(ROOTFS) { self.state_dir().join("root") } else { self.rootfs_source() }
    }

    /// A path as it looks from [`Spec::root`], and no way out of there.
    pub fn in_root(&self, path: impl AsRef<Path>) -> Location {
        Location::below(self.root(), path)
    }

    /// The path by which the sandbox finds the rootfs. Root that becomes an ordinary user for the
    /// stage `user` may not be able to walk there any more, and stands in it instead.
    pub fn rootfs_source(&self) -> PathBuf {
        let stands_there = self.host.machine_root() && self.has(USER) && self.uses_rootfs();
        if stands_there { PathBuf::from(".") } else { self.rootfs.clone() }
    }

    /// Where /proc is mounted: in the new root, where there is one that is laid out.
    pub fn proc(&self) -> Location {
        if self.changes_root() && self.has(ROOTFS) { self.in_root("/proc") } else { "/proc".into() }
    }
}
