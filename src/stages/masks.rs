//! masks: what /proc shows of the machine is hidden, or may only be read.
//!
//! A new /proc shows the processes of one PID namespace, and besides them the whole machine: its
//! memory, its keys, its settings. No namespace parts these. Container runtimes mount something over
//! each: emptiness over what tells too much, and itself, read-only, over what changes the machine.

// ANCHOR: stage
use std::path::{Path, PathBuf};

use clap::Args;
use nix::mount::MsFlags;
use serde::{Deserialize, Serialize};

use super::names::{MNT, PID, ROOTFS, STAND_IN};
use super::spec::Spec;
use super::stage::{About, Joins, Stage};
use crate::error::Error;
use crate::plan::step::{Because, StageName, Step};
use crate::syscall::Mount;

#[derive(Args, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Masks {
    /// What there is to hide, and whether it is a directory.
    #[arg(skip)]
    #[serde(skip)]
    hidden: Vec<(PathBuf, bool)>,
    /// What may only be read.
    #[arg(skip)]
    #[serde(skip)]
    read_only: Vec<PathBuf>,
}

/// What tells about the machine, its keys and its memory.
const HIDDEN: &[&str] = &["acpi", "asound", "kcore", "keys", "latency_stats", "scsi", "timer_list"];

/// What changes the machine when it is written to.
const READ_ONLY: &[&str] = &["bus", "fs", "irq", "sys", "sysrq-trigger"];

impl Stage for Masks {
    fn name(&self) -> StageName {
        "masks"
    }

    fn about(&self) -> About {
        About {
            title: "what /proc shows of the machine, hidden or only to be read",
            isolates: "the machine's memory, keys and settings, as far as they are files in /proc",
            leaks: "the rest of /proc: its load, its memory, its mounts as numbers; and /sys",
            since: "bind mounts: Linux 2.4 (2001)",
            see: &["proc(5)", "mount(2)"],
        }
    }

    fn needs(&self) -> &'static [StageName] {
        &[MNT, PID]
    }

    fn conflicts(&self) -> &'static [StageName] {
        // There further ones are mounted, and for that a whole one must be visible.
        &[STAND_IN]
    }

    fn joins(&self, spec: &Spec) -> Joins {
        let own_root = spec.changes_root() && spec.has(ROOTFS);
        if own_root && spec.has(PID) && !spec.has(STAND_IN) { Joins::Yes } else { Joins::No }
    }

    fn look(&mut self, _: &mut Spec) -> Result<(), Error> {
        let there = |names: &[&str]| {
            let files = names.iter().map(|name| Path::new("/proc").join(name));
            files.filter(|file| file.exists()).collect::<Vec<_>>()
        };
        self.hidden = there(HIDDEN).into_iter().map(|path| (path.clone(), path.is_dir())).collect();
        self.read_only = there(READ_ONLY);
        Ok(())
    }

    fn enter(&self, spec: &Spec) -> Vec<Step> {
        let proc = spec.proc();
        let at = |path: &Path| proc.join(path.strip_prefix("/proc").unwrap_or(path));
        let hide = |(path, is_dir): &(PathBuf, bool)| {
            let hidden = match is_dir {
                true => Mount::new("tmpfs", at(path), MsFlags::MS_RDONLY | Mount::QUIET),
                false => Mount::bind("/dev/null", at(path)),
            };
            hidden.because("hide what tells about the machine, as container runtimes do")
        };
        let why = "what changes the machine may only be read, as in container runtimes";
        let write_protect = |path: &PathBuf| {
            let bind = Mount::bind(at(path), at(path)).recursive();
            [bind, Mount::read_only(at(path), Mount::QUIET)].map(|call| call.because(why))
        };
        let hidden = self.hidden.iter().map(hide);
        hidden.chain(self.read_only.iter().flat_map(write_protect)).collect()
    }
}
// ANCHOR_END: stage
