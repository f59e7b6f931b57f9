//! stand-in: a disposable host.
//!
//! What a lesson breaks must not be the student's machine. The stand-in host is a sandbox with
//! every namespace but time, whose root is a small filesystem in memory: a busybox system with a
//! secret to steal, and under /rootfs the directory in which a container can be built. It plays the
//! host for the sandboxes that are started inside it, and goes away with its first process.

mod system;

// ANCHOR: stage
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use clap::Args;
use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use super::names::{CGROUP_NS, IPC, MNT, NET, PID, PIVOT_ROOT, ROOTFS, STAND_IN, USER, UTS};
use super::spec::Spec;
use super::stage::{About, Stage};
use crate::cgroups;
use crate::error::Error;
use crate::machine::programs;
use crate::plan::step::{Because, StageName, Step, Undo};
use crate::syscall::{Create, Syscall, Truncate, Write};

#[derive(Args, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct StandIn {
    /// The bytes of a file on this machine's disk that it shows as /disk.
    #[arg(skip)]
    #[serde(skip)]
    pub disk: Option<u64>,
    /// A program of this machine that needs shared libraries.
    #[arg(skip)]
    #[serde(skip)]
    program: Option<PathBuf>,
}

impl Stage for StandIn {
    fn name(&self) -> StageName {
        STAND_IN
    }

    fn about(&self) -> About {
        About {
            title: "a disposable host for whatever changes something",
            isolates: "the real host, from everything that a lesson tries",
            leaks: "what no namespace holds: the clock's setting, kernel settings, raw disks",
            since: "every part of it by Linux 4.6 (2016)",
            see: &["namespaces(7)", "tmpfs(5)", "getrlimit(2)"],
        }
    }

    fn needs(&self) -> &'static [StageName] {
        &[USER, CGROUP_NS, MNT, UTS, IPC, NET, ROOTFS, PID, PIVOT_ROOT]
    }

    fn look(&mut self, _: &mut Spec) -> Result<(), Error> {
        self.program = programs::dynamic();
        Ok(())
    }

    fn prepare(&self, spec: &Spec) -> Vec<Step> {
        let Some(size) = self.disk else { return Vec::new() };
        let (file, why) = (disk(spec), "a file on this machine's own disk: the stand-in is memory");
        let made =
            Create(file.clone().into(), 0o644).because(why).undone_by(Undo::Unlink(file.clone()));
        vec![made, Truncate(file, size).because(why)]
    }

    fn enter(&self, spec: &Spec) -> Vec<Step> {
        let mut steps = system::files(spec);
        steps.extend(system::cgroups(spec));
        if self.disk.is_some() {
            let name = disk(spec).file_name().map(PathBuf::from).unwrap_or_default();
            steps.extend(system::disk(spec, &spec.rootfs_source().join("..").join(name)));
        }
        if let Some(program) = &self.program {
            steps.push(system::program(spec, program));
        }
        steps
    }

    fn remedy(&self, call: &Syscall, errno: Errno) -> Option<String> {
        match call {
            Syscall::Write(Write(file, _)) => cgroups::remedy(file, errno).map(str::to_owned),
            Syscall::Create(_) | Syscall::Mkdir(_) if errno == Errno::EEXIST => {
                Some(OTHER.to_owned())
            }
            _ => None,
        }
    }
}
// ANCHOR_END: stage

const OTHER: &str = "the rootfs has something of that name, which the stand-in host would lose: take \
                     another rootfs";

/// Beside the rootfs, and so on the disk that holds it.
fn disk(spec: &Spec) -> PathBuf {
    spec.rootfs.with_file_name(disk_of(&spec.id))
}

fn disk_of(id: &str) -> String {
    format!(".disk-{id}")
}

/// Whether a stand-in host of this name made this file, if it is there.
pub fn is_disk_of(file: &Path, id: &str) -> bool {
    file.file_name() == Some(OsStr::new(&disk_of(id)))
}
