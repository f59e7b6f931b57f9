//! rootfs: the root that a container will see, laid out with mounts.
//!
//! A rootfs from an archive is only files. Programs also expect /proc, which shows processes, and
//! a few devices: a shell cannot start a background job without /dev/null. These are mounted, in
//! the private mount table, at a place of our own; the directory on disk stays as it is.

mod dev;
mod sys;
mod volumes;

// ANCHOR: stage
use std::ffi::OsStr;

use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser};
use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use super::names::{MNT, OVERLAY, PID, ROOTFS, STAND_IN};
use super::spec::Spec;
use super::stage::{About, Stage, Told};
use crate::error::Error;
use crate::layers::{Target, Volume};
use crate::plan::step::{Because, StageName, Step, Undo};
use crate::syscall::{Mkdir, Mount, Syscall};

#[derive(Args, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[command(next_help_heading = "The stage rootfs")]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Rootfs {
    /// Mount a file or directory of the host, read-only with `:ro`
    #[arg(short, long, value_name = "SOURCE:TARGET[:ro]", value_parser = paths(Volume::parse))]
    pub volume: Vec<Volume>,
    /// Mount memory there
    #[arg(long, value_name = "TARGET", value_parser = paths(Target::parse))]
    pub tmpfs: Vec<Target>,
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
        self.found = volumes::find(&self.volume, &self.tmpfs, spec)?;
        Ok(())
    }

    fn check(&self, spec: &Spec) -> Result<(), Error> {
        volumes::check(&self.found, &self.told(), spec)
    }

    fn prepare(&self, spec: &Spec) -> Vec<Step> {
        let why = "make an empty directory to mount the root on";
        vec![Mkdir(spec.root(), 0o755).because(why).undone_by(Undo::Rmdir(spec.root()))]
    }

    fn enter(&self, spec: &Spec) -> Vec<Step> {
        let mut steps = Vec::new();
        if !spec.has(STAND_IN) && !spec.has(OVERLAY) {
            steps.push(
                Mount::bind(spec.rootfs_source(), spec.root())
                    .recursive()
                    .because("show the rootfs there: as a mount of its own it can become a root"),
            );
        }
        if !spec.has(PID) {
            steps.push(
                Mount::bind("/proc", spec.in_root("/proc"))
                    .recursive()
                    .because("programs like ps read /proc; this is the host's"),
            );
        }
        steps.extend(dev::devices(spec));
        steps.extend(sys::steps(spec));
        steps.extend(volumes::steps(&self.found, self.read_only, spec));
        steps.extend(dev::links(spec));
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

/// Reads what need not be text.
fn paths<T: Clone + Send + Sync + 'static>(
    parse: impl Fn(&OsStr) -> Result<T, String> + Clone + Send + Sync + 'static,
) -> impl TypedValueParser<Value = T> {
    OsStringValueParser::new().try_map(move |written| parse(&written))
}
