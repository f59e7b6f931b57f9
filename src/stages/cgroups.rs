//! cgroups: limits on what processes may use.
//!
//! A control group is a directory. To make one, make the directory: the kernel fills it with files.
//! A number written to one of them is a limit; a process joins by writing itself to cgroup.procs.
//! Its children begin where it is, so the limit holds for all of them together.
//!
//! Version 2 has one tree with every controller in it. In version 1 each controller has a tree of
//! its own, and a sandbox needs a directory in each. Which files a limit is written to is told in
//! cgroups/limits.rs, and where the directories are made in cgroups/place.rs.

pub(super) mod limit;

// ANCHOR: stage
use clap::Args;
use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use super::names::{CGROUPS, RLIMITS, STAND_IN};
use super::spec::Spec;
use super::stage::{About, Help, Joins, Stage};
use crate::cgroups::{self, Hierarchies, Limits, Own};
use crate::error::Error;
use crate::machine::scope;
use crate::plan::step::{Because, StageName, Step, Undo};
use crate::syscall::{Mkdir, Syscall, Write};

#[derive(Args, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[command(
    next_help_heading = "The stage cgroups (comes along; rlimits obeys --memory and --pids-limit)"
)]
#[serde(transparent)]
pub struct Cgroups {
    #[command(flatten)]
    pub limits: Limits,
    /// What this machine has.
    #[arg(skip)]
    #[serde(skip)]
    machine: Hierarchies,
}

impl Stage for Cgroups {
    fn name(&self) -> StageName {
        CGROUPS
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

    fn joins(&self, spec: &Spec) -> Joins {
        let asked = !self.limits.is_empty() && !spec.has(RLIMITS);
        if asked { Joins::Yes } else { Joins::No }
    }

    fn look(&mut self, spec: &mut Spec) -> Result<(), Error> {
        self.limits.find_disks(&spec.rootfs);
        self.machine = Hierarchies::gather();
        let root = spec.host.machine_root() && spec.host.privileged;
        spec.cgroups = cgroups::choose(&self.machine, &self.limits, root, &spec.id)?;
        Ok(())
    }

    fn check(&self, _: &Spec) -> Result<(), Error> {
        self.limits.check_disks()
    }

    fn instead(&self) -> Option<(StageName, &'static str)> {
        Some((RLIMITS, "it limits each process by itself"))
    }

    fn ask_for_help(&self) -> Option<Help> {
        let asks = "systemd would be asked to start this again in a cgroup of your own";
        if scope::is_possible() { Some(Help { asks, ask: scope::start_again }) } else { None }
    }

    fn prepare(&self, spec: &Spec) -> Vec<Step> {
        let mut steps = Vec::new();
        for cgroup in spec.cgroups.iter().filter(|cgroup| !cgroup.enable.is_empty()) {
            let control = cgroup.parent.join("cgroup.subtree_control");
            let why = "let the cgroups below this one have these controllers";
            steps.push(Write(control.into(), limit::plus(&cgroup.enable).into()).because(why));
        }
        for cgroup in &spec.cgroups {
            let make = Mkdir(cgroup.dir.clone().into(), 0o755)
                .because("a cgroup is a directory: to make it is to make the cgroup");
            steps.push(make.undone_by(Undo::Cgroup(cgroup.dir.clone())));
        }
        let limit = |cgroup| limit::steps(cgroup, &self.limits, &self.machine);
        steps.extend(spec.cgroups.iter().flat_map(limit));
        // Root's stand-in host is no longer root when it makes cgroups for its sandboxes.
        if spec.has(STAND_IN) && spec.host.machine_root() {
            steps.extend(spec.cgroups.iter().flat_map(limit::delegate));
        }
        steps
    }

    fn enter(&self, spec: &Spec) -> Vec<Step> {
        let outside = spec.cgroups.iter().filter(|cgroup| !cgroup.born_in);
        let join = |cgroup: &Own| {
            Write(cgroup.dir.join("cgroup.procs").into(), "0".into())
                .because("join it: 0 stands for the process that writes")
        };
        outside.map(join).collect()
    }

    fn remedy(&self, call: &Syscall, errno: Errno) -> Option<String> {
        let Syscall::Write(Write(file, _)) = call else { return None };
        cgroups::remedy(file, errno).map(str::to_owned)
    }
}
// ANCHOR_END: stage
