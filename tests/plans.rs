//! Plans, without performing one: whatever stages are chosen, the host is safe.

#![allow(clippy::unwrap_used)] // a test may panic

use std::path::Path;

use nix::mount::MsFlags;
use nix::sched::CloneFlags;
use sandbox::cgroups::{Own, Version};
use sandbox::error::Error;
use sandbox::layers::Layers;
use sandbox::machine::host::Host;
use sandbox::plan::Plan;
use sandbox::plan::command::Command;
use sandbox::plan::step::Undo;
use sandbox::run::ready;
use sandbox::stages::levels::{LEVELS, level};
use sandbox::stages::spec::Spec;
use sandbox::stages::{STAGES, Stages, in_order, plan, with_needs};
use sandbox::syscall::Syscall;

type Set = Vec<&'static str>;

fn names() -> Set {
    STAGES.iter().map(|stage| stage.name()).collect()
}

/// What is asked on a machine with one cgroup hierarchy, by root or by an ordinary user.
fn spec(stages: &Set, uid: u32) -> Spec {
    let version = if uid == 0 { Version::V1 } else { Version::V2 };
    let controllers = vec!["memory".to_owned(), "pids".to_owned(), "devices".to_owned()];
    let cgroup = Own {
        version,
        dir: "/cgroup/sandbox-test".into(),
        parent: "/cgroup".into(),
        enable: if uid == 0 { Vec::new() } else { controllers.clone() },
        born_in: uid != 0,
        controllers,
    };
    let has = |stage| stages.contains(&stage);
    Spec {
        stages: stages.clone(),
        host: Host {
            uid,
            gid: uid,
            initial: true,
            privileged: uid == 0,
            state_base: "/run/sandbox".into(),
        },
        id: "test".to_owned(),
        rootfs: "/rootfs".into(),
        command: Some(Command { argv: vec!["/bin/true".into()], ..Command::default() }),
        cgroups: if has("cgroups") { vec![cgroup] } else { Vec::new() },
        layers: Layers { dir: "/layers/test".into(), ..Layers::default() },
        ..Spec::default()
    }
}

fn planned(stages: &Set, uid: u32) -> Plan {
    let mut all = Stages::default().list();
    all.retain(|stage| stages.contains(&stage.name()));
    plan(&all, &spec(stages, uid)).unwrap()
}

/// Every stage alone, every two and every three together, each with all that they need; every level,
/// and every level less one.
fn sets() -> Vec<Set> {
    let names = names();
    let mut sets = Vec::new();
    for (i, one) in names.iter().enumerate() {
        for (j, two) in names.iter().enumerate().skip(i) {
            for three in &names[j..] {
                let all = [one, two, three].map(|stage| with_needs(stage));
                sets.push(in_order(&all.concat()));
            }
        }
    }
    for whole in LEVELS.iter().map(|one| level(one.name).unwrap()) {
        for left_out in &whole {
            let less = whole.iter().filter(|stage| *stage != left_out).copied();
            sets.push(less.collect());
        }
        sets.push(whole);
    }
    sets.sort();
    sets.dedup();
    sets
}

#[test]
fn every_few_stages_together_are_safe_for_the_host_or_refused_with_the_reason() {
    let (mut built, mut refused) = (0, 0);
    for stages in sets() {
        match ready::check(&stages, &Stages::default()) {
            Ok(()) => {
                for uid in [0, 1000] {
                    assert_safe(&planned(&stages, uid), &stages);
                }
                built += 1;
            }
            Err(Error::Stages { problem, hint }) => {
                let lacks = problem.contains("needs") && hint.contains("--with");
                let clashes = problem.contains("do the same") && hint.contains("--without");
                assert!(lacks || clashes, "{stages:?}: {problem}");
                refused += 1;
            }
            Err(error) => panic!("{stages:?}: {error}"),
        }
    }
    assert!(built > 400 && refused > 50, "{built} built, {refused} refused");
}

#[test]
fn two_stages_that_do_the_same_are_refused_and_both_are_named() {
    let mut pairs = 0;
    for stage in STAGES.iter() {
        for other in stage.conflicts() {
            let both = [with_needs(stage.name()), with_needs(other)].concat();
            let error = ready::check(&in_order(&both), &Stages::default()).unwrap_err();
            assert!(matches!(error, Error::Stages { .. }), "{error}");
            let told = error.to_string();
            assert!(
                told.contains(&format!("`{}`", stage.name())) || told.contains(other),
                "{told}"
            );
            pairs += 1;
        }
    }
    assert!(pairs >= 4, "{pairs}");
}

#[test]
fn what_a_stage_needs_and_excludes_are_stages_and_it_never_excludes_what_it_needs() {
    for stage in STAGES.iter() {
        for other in stage.needs().iter().chain(stage.conflicts()) {
            assert!(names().contains(other), "{}: {other}", stage.name());
        }
        let needed = with_needs(stage.name());
        assert!(!stage.conflicts().iter().any(|other| needed.contains(other)), "{}", stage.name());
        ready::check(&needed, &Stages::default()).unwrap();
    }
}

fn assert_safe(plan: &Plan, stages: &Set) {
    let calls: Vec<&Syscall> = plan.steps.iter().map(|planned| &planned.step.call).collect();
    let at = |wanted: &dyn Fn(&Syscall) -> bool| calls.iter().position(|call| wanted(call));
    let unshared =
        |flag| at(&|call| matches!(call, Syscall::Unshare(unshare) if unshare.0 == flag));
    let is_private = |call: &Syscall| matches!(call, Syscall::Mount(mount) if mount.flags.contains(MsFlags::MS_PRIVATE));
    let changes_mounts = at(&|call| match call {
        Syscall::Mount(_) => !is_private(call),
        Syscall::Umount2(_) | Syscall::PivotRoot(_) => true,
        _ => false,
    });
    if changes_mounts.is_some() {
        let private = at(&is_private);
        assert!(private < changes_mounts && private.is_some(), "{stages:?}: mounts on the host");
        assert!(unshared(CloneFlags::CLONE_NEWNS) < private, "{stages:?}");
    }
    if let Some(named) = at(&|call| matches!(call, Syscall::Sethostname(_))) {
        let own = unshared(CloneFlags::CLONE_NEWUTS);
        assert!(own.is_some() && own < Some(named), "{stages:?}: renames the host");
    }
    let undone = |path: &Path| {
        plan.steps.iter().any(|planned| match &planned.step.undo {
            Some(
                Undo::Rmdir(made) | Undo::Tree(made) | Undo::Unlink(made) | Undo::Cgroup(made),
            ) => path.starts_with(made),
            None => false,
        })
    };
    let (on_host, _) = plan.at_fork();
    for planned in on_host {
        let safe = match &planned.step.call {
            Syscall::Write(write) if write.0.ends_with("cgroup.subtree_control") => true,
            Syscall::Write(write) => undone(&write.0),
            Syscall::Chown(chown) => undone(&chown.0),
            Syscall::Create(create) => undone(&create.0),
            Syscall::Mkdir(mkdir) => undone(&mkdir.0),
            Syscall::CopyTree(copy) => undone(&copy.1),
            _ => planned.step.undo.is_some(),
        };
        assert!(safe, "{stages:?}: no undo for {}", planned.step.call);
    }
    assert!(matches!(calls.last(), Some(Syscall::Execve(_))), "{stages:?}: no command");
}

#[test]
fn only_what_harms_nobody_can_be_forgotten() {
    let stages = vec!["mnt", "rootfs", "pivot-root"];
    let mut plan = planned(&stages, 0);
    plan.forget(&["umount2".to_owned()]).unwrap();
    assert!(plan.steps.iter().all(|planned| planned.step.call.name() != "umount2"));
    let refused = plan.forget(&["mount".to_owned()]).unwrap_err();
    assert!(refused.to_string().contains("`mount` cannot be left out"), "{refused}");
    assert!(refused.hint().unwrap().contains("close_range"), "{refused}");
}

#[test]
fn the_difference_of_two_plans_is_what_the_stage_adds() {
    let without = planned(&vec!["mnt", "rootfs"], 0);
    let with = planned(&vec!["mnt", "rootfs", "chroot"], 0);
    let added: Vec<_> = with.added_since(&without).iter().map(|p| p.step.call.name()).collect();
    assert_eq!(added, ["chroot", "chdir", "execve"]);
}
