//! A plan: the steps of the chosen stages, in order.
//!
//! Making one touches nothing. It has no variables, no conditions and no loops: what can vary is
//! decided here, and what is printed of a plan is what will run.

pub(crate) mod command;
pub mod script;

use std::path::PathBuf;

use crate::cgroups::Limits;
use crate::cgroups::{self, Version};
use crate::error::Error;
use crate::machine::host::Host;
use crate::stages::STAGES;
use crate::stages::stage::{Propagation, Spec, Stage, Step};
use crate::syscall::Syscall;

/// A step, and who asked for it: a stage, or one of `run`, `guard`, `attack`, `command`.
#[derive(Clone, Debug, PartialEq)]
pub struct Planned {
    /// The stage's name.
    pub by: &'static str,
    /// The step.
    pub step: Step,
}

/// What will be done, in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The steps.
    pub steps: Vec<Planned>,
    /// The directory for the journal.
    pub state_dir: PathBuf,
}

impl Plan {
    /// Joins the steps of the stages that `spec` names.
    ///
    /// # Errors
    /// When a stage lacks another that it needs, or conflicts with one, or when a call is to be
    /// forgotten that no step may leave out.
    pub fn new(spec: &Spec) -> Result<Plan, Error> {
        // ANCHOR: plan
        let stages: Vec<&dyn Stage> =
            STAGES.iter().copied().filter(|stage| spec.has(stage.name())).collect();
        check(&stages, spec)?;

        let mut plan = Plan { steps: Vec::new(), state_dir: spec.state_dir() };
        for stage in &stages {
            plan.add(stage.name(), stage.prepare(spec));
        }
        plan.add(
            "run",
            vec![
                birth(spec).because("what follows happens to a child; the parent waits"),
                Syscall::DieWithParent.because("if the parent is killed, so are we"),
            ],
        );
        if !spec.has("user") {
            plan.add("guard", guard(&spec.host));
        }
        if let Some(attack) = spec.attack {
            plan.add("attack", (attack.before)());
        }
        for stage in &stages {
            plan.add(stage.name(), stage.enter(spec));
        }
        if let Some(attack) = spec.attack {
            plan.add("attack", (attack.inside)());
        }
        if spec.settings.init {
            plan.add("init", init(spec)?);
        }
        plan.add("command", command(spec));
        plan.forget(&spec.forget)?;
        Ok(plan)
        // ANCHOR_END: plan
    }

    /// The steps of this plan that `earlier` does not have: what a stage adds.
    pub fn added_since<'a>(&'a self, earlier: &Plan) -> Vec<&'a Planned> {
        let mut known = earlier.steps.clone();
        let is_new = |planned: &&Planned| match known.iter().position(|old| old == *planned) {
            Some(at) => {
                known.remove(at);
                false
            }
            None => true,
        };
        self.steps.iter().filter(is_new).collect()
    }

    fn add(&mut self, by: &'static str, steps: Vec<Step>) {
        self.steps.extend(steps.into_iter().map(|step| Planned { by, step }));
    }

    fn forget(&mut self, calls: &[String]) -> Result<(), Error> {
        for call in calls {
            let before = self.steps.len();
            self.steps
                .retain(|planned| !(planned.step.forgettable && planned.step.call.name() == *call));
            if self.steps.len() == before {
                let may = self.steps.iter().filter(|planned| planned.step.forgettable);
                let mut may: Vec<String> = may.map(|planned| planned.step.call.name()).collect();
                may.dedup();
                return Err(Error::NotForgettable { call: call.clone(), may });
            }
        }
        Ok(())
    }
}

fn check(stages: &[&dyn Stage], spec: &Spec) -> Result<(), Error> {
    let reaches_machine = !spec.has("user") && !spec.host.guard.is_empty();
    if spec.settings.propagation == Propagation::Shared && reaches_machine {
        return Err(Error::Usage {
            problem: "with shared propagation, what is mounted here would appear on this machine"
                .to_owned(),
            hint: "add `--with user`: then the machine only tells and does not listen".to_owned(),
        });
    }
    check_limits(spec)?;
    if spec.has("overlay") && spec.has("user") && spec.host.machine_root {
        return Err(Error::OverlayOfNobody);
    }
    for stage in stages {
        if let Some(other) = stage.conflicts().iter().find(|name| spec.has(name)) {
            return Err(Error::Conflict { stage: stage.name(), other });
        }
        let missing: Vec<_> =
            stage.needs().iter().copied().filter(|name| !spec.has(name)).collect();
        if !missing.is_empty() {
            return Err(Error::NeedsStages { stage: stage.name(), missing });
        }
    }
    Ok(())
}

fn check_limits(spec: &Spec) -> Result<(), Error> {
    let limits = &spec.settings.limits;
    if spec.has("rlimits") && !rlimits_serve(limits) {
        return Err(Error::NoCgroup {
            problem: "setrlimit(2) limits memory and the number of processes, and nothing else \
                      that was asked for"
                .to_owned(),
            hint: "leave out the other limits, or use the stage `cgroups`".to_owned(),
        });
    }
    if !spec.has("cgroups") {
        return Ok(());
    }
    check_disks(limits)?;
    cgroups::choose(&spec.host, limits, &spec.id).map(drop)
}

/// Whether each disk whose speed is to be limited was found.
///
/// # Errors
/// [`Error::NoCgroup`] about the first that was not.
pub fn check_disks(limits: &Limits) -> Result<(), Error> {
    if let Some(rate) = limits.rates().find(|rate| rate.device.is_none()) {
        return Err(Error::NoCgroup {
            problem: format!("`{}` is not a disk, nor on one", rate.path.display()),
            hint: "name a disk, see lsblk(8), or a file whose filesystem is on one".to_owned(),
        });
    }
    Ok(())
}

/// Whether setrlimit(2) can do what these limits ask for.
pub fn rlimits_serve(limits: &Limits) -> bool {
    let (memory, pids_limit) = (limits.memory, limits.pids_limit);
    *limits == Limits { memory, pids_limit, ..Limits::default() }
}

// ANCHOR: guard
/// As the machine's root, give up what no namespace would hold.
pub(crate) fn guard(host: &Host) -> Vec<Step> {
    let drop = |cap: &caps::Capability| {
        Syscall::DropCapability(*cap).because("root in a sandbox must not reach the machine itself")
    };
    host.guard.iter().map(drop).collect()
}
// ANCHOR_END: guard

/// In cgroup version 2 a child can be born where it belongs, which is quicker than to move it.
fn birth(spec: &Spec) -> Syscall {
    let v2 = spec.cgroups().into_iter().find(|cgroup| cgroup.version == Version::V2);
    match v2.filter(|_| spec.host.cgroups.clone_into) {
        Some(cgroup) => Syscall::CloneIntoCgroup(cgroup.dir),
        None => Syscall::Fork,
    }
}

/// Process 1 stays behind. It comes last: after the root switch nobody in here has the old root.
fn init(spec: &Spec) -> Result<Vec<Step>, Error> {
    if !spec.has("pid") {
        return Err(Error::NeedsStages { stage: "init", missing: vec!["pid"] });
    }
    Ok(vec![
        Syscall::Fork.because("the command is process 2; process 1 waits for all who end"),
        Syscall::DieWithParent.because("a child does not inherit it"),
    ])
}

fn command(spec: &Spec) -> Vec<Step> {
    let Some(command) = &spec.command else { return Vec::new() };
    let mut steps = Vec::new();
    if let Some(dir) = &command.workdir {
        steps
            .push(Syscall::Chdir(dir.clone()).because("start in the directory that was asked for"));
    }
    let (file, env) = crate::plan::command::resolve(
        spec.changes_root().then_some(spec.rootfs.as_path()),
        command,
    );
    steps.push(
        Syscall::Execve { file, argv: command.argv.clone(), env }.because("become the command"),
    );
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroups::{Cgroups, Hierarchy, Place};
    use crate::layers::Layers;
    use crate::stages::stage::{Command, Settings, Undo};
    use nix::mount::MsFlags;

    fn spec(stages: Vec<&'static str>, uid: u32) -> Spec {
        Spec {
            stages,
            host: Host {
                uid,
                machine_root: uid == 0,
                state_base: "/run/sandbox".into(),
                cgroups: cgroups(if uid == 0 { Version::V1 } else { Version::V2 }),
                ..Host::default()
            },
            id: "test".to_owned(),
            rootfs: "/rootfs".into(),
            settings: Settings::default(),
            layers: Layers { dir: "/layers/test".into(), ..Layers::default() },
            command: Some(Command { argv: vec!["/bin/true".into()], ..Command::default() }),
            attack: None,
            forget: Vec::new(),
        }
    }

    /// A machine with one hierarchy in which we may make cgroups.
    fn cgroups(version: Version) -> Cgroups {
        let controllers = vec!["memory".to_owned(), "pids".to_owned(), "devices".to_owned()];
        let enabled = if version == Version::V1 { controllers.clone() } else { Vec::new() };
        let place = Place { dir: "/cgroup".into(), offers: controllers.clone(), enabled };
        let hierarchy = Hierarchy {
            version,
            controllers: if version == Version::V1 { controllers } else { Vec::new() },
            own: "/cgroup".into(),
            places: vec![place],
            refusal: None,
        };
        Cgroups { hierarchies: vec![hierarchy], ..Cgroups::default() }
    }

    fn subsets() -> impl Iterator<Item = Vec<&'static str>> {
        (0..1_u32 << STAGES.len()).map(|bits| {
            let chosen = STAGES.iter().enumerate().filter(|(i, _)| bits & (1 << i) != 0);
            chosen.map(|(_, stage)| stage.name()).collect()
        })
    }

    #[test]
    fn every_combination_of_stages_is_safe_for_the_host_or_refused_with_the_missing_one() {
        let (mut built, mut refused) = (0, 0);
        for stages in subsets() {
            for uid in [0, 1000] {
                let spec = spec(stages.clone(), uid);
                match Plan::new(&spec) {
                    Ok(plan) => {
                        assert_safe(&plan, &stages);
                        built += 1;
                    }
                    Err(Error::NeedsStages { stage, missing }) => {
                        assert!(stages.contains(&stage) && !missing.is_empty());
                        assert!(missing.iter().all(|name| !stages.contains(name)));
                        refused += 1;
                    }
                    Err(Error::NoCgroup { .. }) => panic!("{stages:?}: there is a cgroup"),
                    Err(Error::OverlayOfNobody) => {
                        assert_eq!(uid, 0);
                        refused += 1;
                    }
                    Err(Error::Conflict { stage, other }) => {
                        assert!(stages.contains(&stage) && stages.contains(&other));
                        refused += 1;
                    }
                    Err(error) => panic!("{stages:?}: {error}"),
                }
            }
        }
        assert!(built > 100 && refused > 100, "{built} built, {refused} refused");
    }

    fn assert_safe(plan: &Plan, stages: &[&str]) {
        let calls: Vec<&Syscall> = plan.steps.iter().map(|planned| &planned.step.call).collect();
        let at = |wanted: &dyn Fn(&Syscall) -> bool| calls.iter().position(|call| wanted(call));
        let unshared = |flag| at(&|call| matches!(call, Syscall::Unshare(f) if *f == flag));
        let private = at(
            &|call| matches!(call, Syscall::Mount { flags, .. } if flags.contains(MsFlags::MS_PRIVATE)),
        );
        let changes_mounts = at(&|call| match call {
            Syscall::Mount { flags, .. } => !flags.contains(MsFlags::MS_PRIVATE),
            Syscall::Umount2(..) | Syscall::PivotRoot { .. } => true,
            _ => false,
        });
        if changes_mounts.is_some() {
            assert!(
                private < changes_mounts && private.is_some(),
                "{stages:?}: mounts on the host"
            );
            assert!(unshared(nix::sched::CloneFlags::CLONE_NEWNS) < private, "{stages:?}");
        }
        if let Some(named) = at(&|call| matches!(call, Syscall::Sethostname(_))) {
            let own = unshared(nix::sched::CloneFlags::CLONE_NEWUTS);
            assert!(own.is_some() && own < Some(named), "{stages:?}: renames the host");
        }
        let fork = at(&|call| call.forks()).unwrap();
        let undone = |path: &std::path::Path| {
            plan.steps.iter().any(|planned| match &planned.step.undo {
                Some(
                    Undo::Rmdir(made) | Undo::Tree(made) | Undo::Unlink(made) | Undo::Cgroup(made),
                ) => path.starts_with(made),
                None => false,
            })
        };
        for planned in &plan.steps[..fork] {
            let safe = match &planned.step.call {
                Syscall::Write(file, _) if file.ends_with("cgroup.subtree_control") => true,
                Syscall::Write(file, _)
                | Syscall::Chown(file, _)
                | Syscall::Create(file, _)
                | Syscall::Mkdir(file, _)
                | Syscall::Copy(_, file) => undone(file),
                _ => planned.step.undo.is_some(),
            };
            assert!(safe, "{stages:?}: no undo for {}", planned.step.call);
        }
        assert!(matches!(calls.last(), Some(Syscall::Execve { .. })), "{stages:?}: no command");
    }

    #[test]
    fn only_what_harms_nobody_can_be_forgotten() {
        let mut asked = spec(vec!["mnt", "rootfs", "pivot-root"], 0);
        asked.forget = vec!["umount2".to_owned()];
        let plan = Plan::new(&asked).unwrap();
        assert!(plan.steps.iter().all(|planned| planned.step.call.name() != "umount2"));
        asked.forget = vec!["mount".to_owned()];
        assert!(matches!(Plan::new(&asked), Err(Error::NotForgettable { .. })));
    }

    #[test]
    fn the_difference_of_two_plans_is_what_the_stage_adds() {
        let without = Plan::new(&spec(vec!["mnt", "rootfs"], 0)).unwrap();
        let with = Plan::new(&spec(vec!["mnt", "rootfs", "chroot"], 0)).unwrap();
        let added: Vec<_> = with.added_since(&without).iter().map(|p| p.step.call.name()).collect();
        assert_eq!(added, ["chroot", "chdir", "execve"]);
    }
}
