//! The stages: one isolation mechanism, one file.

mod cgroup_ns;
mod cgroups;
mod chroot;
mod guard;
mod init;
mod ipc;
mod keyring;
pub mod levels;
mod masks;
mod mnt;
pub mod names;
mod net;
mod nice;
mod overlay;
mod pid;
mod pivot_root;
mod rlimits;
mod rootfs;
pub mod spec;
pub mod stage;
mod stand_in;
mod time;
mod user;
mod uts;

use std::sync::LazyLock;

use clap::Args;
use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::plan::command;
use crate::plan::step::{Because, StageName};
use crate::plan::{Plan, Planned};
use crate::syscall::{CloneIntoCgroup, DieWithParent, Fork, Syscall};
use spec::Spec;
use stage::Stage;

pub use stand_in::is_disk_of;

pub(crate) use guard::give_up;
pub(crate) use keyring::leave_keys;
pub use mnt::Propagation;
pub(crate) use pivot_root::FIRST_FOREIGN_DESCRIPTOR;

/// Makes of a list of stages the type of all that they can be told, and the list itself.
macro_rules! stages {
    ($($file:ident::$Stage:ident),* $(,)?) => {
        // What the stages are told: flags on the command line, keys in a lesson file.
        #[derive(Args, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
        #[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
        #[allow(missing_docs)] // each has its own
        pub struct Stages {
            $(#[command(flatten)] pub $file: $file::$Stage),*
        }

        impl Stages {
            /// Every stage with what it was told, in the order in which they run.
            pub fn list(self) -> Vec<Box<dyn Stage>> {
                vec![$(Box::new(self.$file)),*]
            }
        }
    };
}

// ANCHOR: stages
// Every stage, in the order in which they run. The order of teaching is the lessons' business.
stages! {
    guard::Guard,         // before anything else: what is given up nobody in here has
    cgroups::Cgroups,     // before `user`: the place in the tree is the host's to give
    nice::Nice,           // before `user` too: who makes a user namespace may give way only
    keyring::Keyring,     // before `user` as well: it counts as a key of who asks for it
    user::User,           // then this: it grants the privilege that all others need
    cgroup_ns::CgroupNs,  // before the mounts, so that a cgroup mount shows the new root
    mnt::Mnt,             // before anything is mounted, so that no mount reaches the host
    uts::Uts,             // these three are independent of the rest:
    ipc::Ipc,             // they stand here because a reader
    net::Net,             // expects the namespaces together
    stand_in::StandIn,    // makes the directory that `rootfs` would bind
    overlay::Overlay,     // builds what `rootfs` would bind
    rootfs::Rootfs,       // lays the root out while the host's files are still in reach
    time::Time,           // before `pid`, whose fork makes the child that has the new clocks
    pid::Pid,             // forks and mounts /proc: after a root switch that would be EPERM
    masks::Masks,         // hides what that /proc shows of the machine
    pivot_root::PivotRoot, // the root switch comes last: what is not in the new root is gone
    chroot::Chroot,       // the other root switch
    rlimits::Rlimits,     // they are for the command, not for us
    init::Init,           // at the very end: the command is its child
}
// ANCHOR_END: stages

/// The stages as they are when nothing is told to them, in the order in which they run.
pub static STAGES: LazyLock<Vec<Box<dyn Stage>>> = LazyLock::new(|| Stages::default().list());

/// The stage of this name.
pub fn find(name: &str) -> Option<&'static dyn Stage> {
    STAGES.iter().find(|stage| stage.name() == name).map(Box::as_ref)
}

/// A stage with all that it needs, in the order in which they run.
pub fn with_needs(stage: StageName) -> Vec<StageName> {
    let mut stages = vec![stage];
    let mut at = 0;
    while let Some(stage) = stages.get(at).and_then(|name| find(name)) {
        let missing = stage.needs().iter().filter(|need| !stages.contains(need)).copied();
        let missing: Vec<StageName> = missing.collect();
        stages.extend(missing);
        at += 1;
    }
    in_order(&stages)
}

/// The names in the order in which the stages run, each once.
pub fn in_order(names: &[StageName]) -> Vec<StageName> {
    STAGES.iter().map(|stage| stage.name()).filter(|name| names.contains(name)).collect()
}

// ANCHOR: plan
/// Joins the steps of these stages, which have looked at the machine.
///
/// # Errors
/// When a call is to be forgotten that no step may leave out.
pub fn plan(stages: &[Box<dyn Stage>], spec: &Spec) -> Result<Plan, Error> {
    let mut plan = Plan::default();
    for stage in stages {
        plan.add(stage.name(), stage.prepare(spec));
    }
    let begin = [
        birth(spec).because("what follows happens to a child; the parent waits"),
        DieWithParent.because("if the parent is killed, so are we"),
    ];
    plan.add("run", begin.into());
    if let Some(extra) = &spec.extra {
        plan.add(extra.by, extra.before.clone());
    }
    for stage in stages {
        plan.add(stage.name(), stage.enter(spec));
    }
    if let Some(extra) = &spec.extra {
        plan.add(extra.by, extra.inside.clone());
    }
    if let Some(command) = &spec.command {
        let root = if spec.changes_root() { Some(spec.rootfs.as_path()) } else { None };
        plan.add("command", command.steps(root));
    }
    plan.forget(&spec.forget)?;
    Ok(plan)
}
// ANCHOR_END: plan

/// In cgroup version 2 a child can be born where it belongs, which is quicker than to move it.
fn birth(spec: &Spec) -> Syscall {
    match spec.cgroups.iter().find(|cgroup| cgroup.born_in) {
        Some(cgroup) => CloneIntoCgroup(cgroup.dir.clone()).into(),
        None => Fork.into(),
    }
}

/// The error for a step that the kernel refused: who made it knows best what to do, then the call.
pub fn refused(planned: &Planned, errno: Errno) -> Error {
    let call = &planned.step.call;
    let known = match find(planned.by) {
        Some(stage) => stage.remedy(call, errno),
        None => command::remedy(call, errno),
    };
    let code = match planned.by {
        "command" => command::exit_code(call, errno),
        _ => 125,
    };
    Error::Step {
        by: planned.by,
        call: call.to_string(),
        why: planned.step.why,
        errno,
        hint: known.or_else(|| call.remedy(errno)),
        code,
        doubtful: planned.step.doubtful,
    }
}
