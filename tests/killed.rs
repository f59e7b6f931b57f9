//! Killed at whatever step: nothing is left after `sandbox clean`.
//!
//! A program of one thread, without the test harness: for each step of each plan it forks, and the
//! child performs the plan up to that step and kills itself.

#![allow(clippy::unwrap_used)] // a test may panic

mod common;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Parser;
use common::sets::{Set, sets};
use common::{Who, everybody};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Gid, Pid, Uid, fork, getpid, setgroups, setresgid, setresuid};
use sandbox::machine::host::Host;
use sandbox::plan::Planned;
use sandbox::plan::command::Command;
use sandbox::plan::step::{StageName, Undo};
use sandbox::run::ready::{Asked, Ready, Trials, ready};
use sandbox::run::state::sweep;
use sandbox::run::{Options, run};
use sandbox::stages::{Stages, levels};

const TEST: &str = "killed_after_every_single_step_nothing_is_left_after_clean";

fn main() {
    // The harness would read these; of a filter that means others there is nothing to do here.
    let filters: Vec<String> =
        std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    if std::env::args().any(|arg| arg == "--list")
        || !(filters.is_empty() || filters.iter().any(|filter| TEST.contains(filter.as_str())))
    {
        return;
    }
    // Who loses their parent becomes a child of ours: so nobody is missed.
    nix::sys::prctl::set_child_subreaper(true).unwrap();
    everybody("killed at every step", |who| {
        who.run(&["rootfs", "fetch"]).succeeds();
        let sets = sets(who);
        in_child(|| {
            become_them(who);
            let steps: usize = sets.iter().map(kill_after_every_step).sum();
            println!("{}: killed {steps} times, in {} sets of stages", who.name, sets.len());
            kill_while_a_layer_is_kept(who);
            sets.iter().for_each(panic_in_the_middle);
        });
    });
    println!("test {TEST} ... ok");
}

/// Does something in a child, and sees that it ended well.
fn in_child(act: impl FnOnce()) {
    // SAFETY: this process has one thread.
    #[expect(unsafe_code)]
    match unsafe { fork() }.unwrap() {
        ForkResult::Child => {
            act();
            std::process::exit(0);
        }
        ForkResult::Parent { child } => {
            assert_eq!(waitpid(child, None), Ok(WaitStatus::Exited(child, 0)));
        }
    }
}

fn become_them(who: &Who) {
    nix::sys::prctl::set_child_subreaper(true).unwrap();
    // SAFETY: this process has one thread.
    #[expect(unsafe_code)]
    unsafe {
        std::env::set_var("HOME", who.home());
        std::env::set_var("XDG_RUNTIME_DIR", who.home().join("run"));
        for name in ["XDG_DATA_HOME", "SANDBOX_HOME", "SANDBOX_ROOTFS", "SUDO_UID"] {
            std::env::remove_var(name);
        }
    }
    if !who.is_root() && Uid::effective().is_root() {
        let (uid, gid) = (Uid::from_raw(who.uid), Gid::from_raw(who.uid));
        setgroups(&[]).unwrap();
        setresgid(gid, gid, gid).unwrap();
        setresuid(uid, uid, uid).unwrap();
        // As after an execve(2): /proc/self belongs to this user.
        nix::sys::prctl::set_dumpable(true).unwrap();
    }
}

/// The words of a set.
#[derive(Parser)]
struct Words {
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    #[command(flatten)]
    told: Stages,
}

/// Plans as the command line does.
fn planned(set: &Set, id: &str, host: &Host) -> Ready {
    let Words { only, told } = Words::parse_from(["run"].into_iter().chain(set.args()));
    let stages: Vec<StageName> = levels::stages(&only).unwrap();
    let asked = Asked {
        by_name: stages.clone(),
        stages,
        told,
        id: Some(id.to_owned()),
        command: Some(Command { argv: vec!["sleep".into(), "61234".into()], ..Command::default() }),
        ..Asked::default()
    };
    ready(asked, host, &Trials::new(false)).unwrap()
}

/// Returns how many steps there were.
fn kill_after_every_step(set: &Set) -> usize {
    let host = Host::gather();
    let id = format!("killed-{}", getpid());
    let ready = planned(set, &id, &host);
    let count = ready.plan.steps.len();
    assert!(count > 2, "{}: only {count} steps", set.name);
    for step in 0..=count {
        let what = format!("{} after {step} of {count} steps", set.name);
        assert_killed(perform_and_die(&ready, step), &what);
        assert_nobody_is_left(&what);
        sweep(&host.state_base).unwrap();
        for path in put_there(&ready) {
            assert!(!path.exists(), "{what}: {} is left", path.display());
        }
    }
    count
}

/// A panic of who is told of the steps takes all away, without a clean.
fn panic_in_the_middle(set: &Set) {
    let ready = planned(set, &format!("panic-{}", getpid()), &Host::gather());
    let count = ready.plan.steps.len();
    for step in [0, count / 2, count - 1] {
        let what = format!("{}, a panic after {step} of {count} steps", set.name);
        // SAFETY: this process has one thread.
        #[expect(unsafe_code)]
        match unsafe { fork() }.unwrap() {
            ForkResult::Parent { child } => {
                assert_eq!(waitpid(child, None), Ok(WaitStatus::Exited(child, 101)), "{what}");
            }
            ForkResult::Child => {
                std::panic::set_hook(Box::new(|_| ()));
                let mut made = 0;
                let mut watch = |_: sandbox::run::Event| {
                    made += 1;
                    assert_ne!(made, step + 1);
                };
                let mut options = Options::through(&ready.spec);
                options.watch = Some(&mut watch);
                let ended = run(&ready.plan, options);
                panic!("there was no panic: {ended:?}");
            }
        }
        assert_nobody_is_left(&what);
        for path in put_there(&ready) {
            assert!(!path.exists(), "{what}: {} is left", path.display());
        }
    }
}

/// What has a name is whole: a later run can go on with it.
fn kill_while_a_layer_is_kept(who: &Who) {
    let host = Host::gather();
    let id = format!("killed-{}", getpid());
    let keep = format!("--keep={id}");
    let mut stages = levels::level("union").unwrap();
    stages.retain(|stage| *stage != "cgroups");
    let args = ["--only", &stages.join(","), &keep].map(str::to_owned).to_vec();
    let set = Set { name: format!("{}: union that keeps", who.name), args };
    let ready = planned(&set, &id, &host);
    let kept = ready.spec.layers.keep_as.clone().unwrap();
    let count = ready.plan.steps.len();
    let mut named = 0;
    for step in 0..=count {
        let what = format!("{} after {step} of {count} steps", set.name);
        assert_killed(perform_and_die(&ready, step), &what);
        assert_nobody_is_left(&what);
        sweep(&host.state_base).unwrap();
        assert!(!ready.spec.layers.dir.exists(), "{what}: layers without a name are left");
        if kept.exists() {
            named += 1;
            assert_killed(perform_and_die(&planned(&set, &id, &host), usize::MAX), &what);
            sweep(&host.state_base).unwrap();
            rootfs_fetch::remove(&kept).unwrap();
        }
    }
    assert!(0 < named && named < count, "{}: {named} of {count} kept", set.name);
}

#[track_caller]
fn assert_killed(child: Pid, what: &str) {
    let killed = WaitStatus::Signaled(child, Signal::SIGKILL, false);
    assert_eq!(waitpid(child, None), Ok(killed), "{what}");
}

/// Performs so many steps of a plan, in a child that then kills itself.
fn perform_and_die(ready: &Ready, steps: usize) -> Pid {
    // SAFETY: this process has one thread.
    #[expect(unsafe_code)]
    match unsafe { fork() }.unwrap() {
        ForkResult::Parent { child } => child,
        ForkResult::Child => {
            let die = || kill(getpid(), Signal::SIGKILL).unwrap();
            let mut made = 0;
            let mut ask = |_: &Planned| {
                if made == steps {
                    die();
                }
                made += 1;
                true
            };
            let mut watch = |event: sandbox::run::Event| {
                // The last step is the command, and nobody is asked after that.
                if event.took.is_none() {
                    die();
                }
            };
            let mut options = Options::through(&ready.spec);
            options.ask = Some(&mut ask);
            options.watch = Some(&mut watch);
            let ended = run(&ready.plan, options);
            panic!("it was not killed: {ended:?}");
        }
    }
}

/// Waits until all that the killed one had started has ended with it.
fn assert_nobody_is_left(what: &str) {
    let begin = Instant::now();
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Err(Errno::ECHILD) => return,
            Ok(WaitStatus::StillAlive) => {
                assert!(begin.elapsed() < Duration::from_secs(20), "{what}: somebody is left");
                std::thread::sleep(Duration::from_micros(200));
            }
            _ => {}
        }
    }
}

/// What the plan puts on the host, and its state directory.
fn put_there(ready: &Ready) -> Vec<PathBuf> {
    let undos = ready.plan.steps.iter().filter_map(|planned| planned.step.undo.as_ref());
    let path = |undo: &Undo| match undo {
        Undo::Rmdir(path) | Undo::Tree(path) | Undo::Unlink(path) | Undo::Cgroup(path) => {
            path.clone()
        }
    };
    undos.map(path).chain([Path::new(&ready.spec.state_dir()).to_owned()]).collect()
}
