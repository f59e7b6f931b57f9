//! rootfs: the root that a container will see, laid out with mounts.
//!
//! A rootfs from an archive is only files. Programs also expect /proc, which shows processes, and
//! a few devices: a shell cannot start a background job without /dev/null. These are mounted, in
//! the private mount table, at a place of our own; the directory on disk stays as it is.

mod dev;
mod files;
mod sys;
mod tmpfs;
mod view;
mod volumes;

// ANCHOR: stage
use clap::Args;
use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use super::names::{MNT, OVERLAY, PID, ROOTFS, STAND_IN};
use super::spec::Spec;
use super::stage::{About, Stage, Told};
use crate::error::Error;
use crate::layers::Volume;
use crate::plan::step::{Because, StageName, Step, Undo};
use crate::syscall::{Mkdir, Mount, Syscall};
use tmpfs::Tmpfs;

#[derive(Args, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[command(next_help_heading = "The stage rootfs")]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Rootfs {
    /// Mount a file or directory of the host, read-only with `:ro`
    #[arg(short, long, value_name = "SOURCE:TARGET[:ro]")]
    pub volume: Vec<Volume>,
    /// Mount memory there, of this size [default size: 64m]
    #[arg(long, value_name = "TARGET[:SIZE]")]
    pub tmpfs: Vec<Tmpfs>,
    /// Let nothing in the root be written but what is mounted on it
    #[arg(long)]
    pub read_only: bool,
    /// What is mounted, once it was found.
    #[arg(skip)]
    #[serde(skip)]
    found: Vec<Volume>,
}

impl Stage for Rootfs {
    fn name(&self) -> StageName {
        ROOTFS
    }

    fn about(&self) -> About {
        About {
            title: "the new root laid out: files, /proc, /dev",
            isolates: "nothing by itself: it prepares what chroot and pivot-root step into",
            leaks: "everything; without `pid` its /proc is the host's",
            since: "bind mounts: Linux 2.4 (2001)",
            see: &["mount(2)", "proc(5)", "null(4)", "tmpfs(5)"],
        }
    }

    fn needs(&self) -> &'static [StageName] {
        &[MNT]
    }

    fn look(&mut self, spec: &mut Spec) -> Result<(), Error> {
        if spec.changes_root() {
            self.found = volumes::find(&self.volume, &self.tmpfs, self.read_only, spec)?;
        }
        Ok(())
    }

    fn check(&self, spec: &Spec) -> Result<(), Error> {
        volumes::check(&self.told(), spec)
    }

    fn prepare(&self, spec: &Spec) -> Vec<Step> {
        let why = "make an empty directory to mount the root on";
        vec![Mkdir(spec.root().into(), 0o755).because(why).undone_by(Undo::Rmdir(spec.root()))]
    }

    fn enter(&self, spec: &Spec) -> Vec<Step> {
        let mut steps = Vec::new();
        if !spec.has(STAND_IN) && !spec.has(OVERLAY) {
            steps.extend(files::steps(self.read_only, spec));
        }
        if !spec.has(PID) {
            steps.push(
                Mount::bind("/proc", spec.in_root("/proc"))
                    .recursive()
                    .because("programs like ps read /proc; this is the host's"),
            );
        }
        let own_dev = !volumes::has_dev(&self.found);
        if own_dev {
            steps.extend(dev::devices(spec));
        }
        steps.extend(sys::steps(spec));
        if own_dev {
            steps.extend(dev::links(spec));
        }
        steps.extend(volumes::steps(&self.found, spec));
        steps.extend(files::close(self.read_only, spec));
        steps
    }

    fn remedy(&self, call: &Syscall, errno: Errno) -> Option<String> {
        match (call, errno) {
            (Syscall::Mkdir(_), Errno::EACCES | Errno::EROFS | Errno::ENOSPC) => Some(
                "the state of sandboxes cannot be written there: set XDG_RUNTIME_DIR to a directory \
                 that can be written, or free some space"
                    .to_owned(),
            ),
            _ => None,
        }
    }
}
// ANCHOR_END: stage
