//! Whatever goes wrong at whatever step: the status and the words are right, and nothing is left.
//!
//! A program of processes of one thread, without the test harness: each goes through the plans of some
//! sets of stages, and at each step of each plan lets the kernel refuse it, kills the parent there, and
//! does one of several other things.

#![allow(clippy::unwrap_used)] // a test may panic

#[path = "../common/mod.rs"]
mod common;
mod kept;
mod kinds;
mod scarce;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Parser;
use common::sets::{Set, sets};
use common::{Who, everybody};
use nix::errno::Errno;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Gid, Uid, fork, getpid, pipe, setgroups, setresgid, setresuid};
use sandbox::machine::host::Host;
use sandbox::plan::command::Command;
use sandbox::plan::step::{StageName, Undo};
use sandbox::run::ready::{Asked, Ready, Trials, ready};
use sandbox::run::state::sweep;
use sandbox::stages::{Stages, levels};

const TEST: &str = "whatever_goes_wrong_at_every_single_step_nothing_is_left";

/// Most of the time the kernel is waited for, which takes what is gone apart.
const WORKERS: usize = 8;

fn main() {
    // The harness would read these; of a filter that means others there is nothing to do here.
    let filters: Vec<String> =
        std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    if std::env::args().any(|arg| arg == "--list")
        || !(filters.is_empty() || filters.iter().any(|filter| TEST.contains(filter.as_str())))
    {
        return;
    }
    as_a_shell_starts_it();
    everybody("faults at every step", |who| {
        who.run(&["rootfs", "fetch"]).succeeds();
        let sets = sets(who);
        let counts = side_by_side(who, &sets);
        let told: Vec<String> = counts
            .iter()
            .zip(kinds::NAMES)
            .map(|(count, name)| format!("{count} × {name}"))
            .collect();
        let injected: u64 = counts.iter().sum();
        println!(
            "{}: {injected} faults in {} sets of stages, {injected} survived, 0 leftovers: {}",
            who.name,
            sets.len(),
            told.join(", ")
        );
        in_child(|| {
            become_them(who);
            kept::kill_while_a_layer_is_kept(who);
            scarce::few_descriptors();
            scarce::damaged_state();
        });
    });
    println!("test {TEST} ... ok");
}

/// Who starts the tests in the background may have these ignored, and so would the command.
fn as_a_shell_starts_it() {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
        // SAFETY: the default is no handler of ours.
        #[expect(unsafe_code)]
        unsafe { sigaction(signal, &default) }.unwrap();
    }
}

/// Goes through the sets in several processes. Returns how many faults there were, by kind.
fn side_by_side(who: &Who, sets: &[Set]) -> kinds::Counts {
    let (out, into) = pipe().unwrap();
    let (mut out, mut into) = (File::from(out), File::from(into));
    let mut workers = Vec::new();
    for worker in 0..WORKERS {
        // SAFETY: this process has one thread.
        #[expect(unsafe_code)]
        match unsafe { fork() }.unwrap() {
            ForkResult::Parent { child } => workers.push(child),
            ForkResult::Child => {
                become_them(who);
                let mut counts = kinds::Counts::default();
                for (at, set) in sets.iter().enumerate().skip(worker).step_by(WORKERS) {
                    kinds::at_every_step(set, at, &mut counts);
                }
                let bytes: Vec<u8> = counts.iter().flat_map(|count| count.to_ne_bytes()).collect();
                into.write_all(&bytes).unwrap();
                std::process::exit(0);
            }
        }
    }
    drop(into);
    for worker in workers {
        assert_eq!(waitpid(worker, None), Ok(WaitStatus::Exited(worker, 0)));
    }
    let mut sums = kinds::Counts::default();
    for _ in 0..WORKERS {
        for sum in &mut sums {
            let mut bytes = [0; 8];
            out.read_exact(&mut bytes).unwrap();
            *sum += u64::from_ne_bytes(bytes);
        }
    }
    sums
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
    // Who loses their parent becomes a child of ours: so nobody is missed.
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
fn planned(set: &Set, id: &str, host: &Host, command: &[&str]) -> Ready {
    let Words { only, told } = Words::parse_from(["run"].into_iter().chain(set.args()));
    let stages: Vec<StageName> = levels::stages(&only).unwrap();
    let argv = command.iter().map(|word| (*word).into()).collect();
    let asked = Asked {
        by_name: stages.clone(),
        stages,
        told,
        id: Some(id.to_owned()),
        command: Some(Command { argv, ..Command::default() }),
        ..Asked::default()
    };
    ready(asked, host, &Trials::new(false)).unwrap()
}

/// Sweeps: then of this one nothing is there any more. Of others, who run beside, some may stay.
#[track_caller]
fn assert_swept(host: &Host, ready: &Ready, what: &str) {
    let swept = sweep(&host.state_base).unwrap();
    let mine = swept.stayed.iter().find(|(name, _)| *name == ready.spec.id);
    assert!(mine.is_none(), "{what}: {mine:?}");
    assert_nothing_is_left(ready, what);
}

#[track_caller]
fn assert_nothing_is_left(ready: &Ready, what: &str) {
    for path in put_there(ready) {
        assert!(!path.exists(), "{what}: {} is left", path.display());
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(&ready.spec.id), "{what}: a mount is left");
}

/// Waits until all that the killed one had started has ended with it.
#[track_caller]
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

/// A name that nobody else beside us gives.
fn name() -> String {
    format!("fault-{}", getpid())
}
