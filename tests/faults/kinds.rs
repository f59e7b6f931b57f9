//! What goes wrong.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, getpid};
use sandbox::error::Error;
use sandbox::machine::host::Host;
use sandbox::plan::Planned;
use sandbox::run::ready::Ready;
use sandbox::run::{Fault, Options, run};

use crate::common::sets::Set;
use crate::{assert_nobody_is_left, assert_nothing_is_left, assert_swept, name, planned};

pub(crate) const NAMES: [&str; 9] = [
    "refused",
    "parent killed",
    "child killed",
    "both killed",
    "stopped",
    "panicked",
    "SIGINT",
    "SIGTERM",
    "SIGHUP",
];

/// How often each of them was.
pub(crate) type Counts = [u64; NAMES.len()];

const ERRNOS: [Errno; 6] =
    [Errno::EPERM, Errno::ENOSPC, Errno::EMFILE, Errno::ENOMEM, Errno::EIO, Errno::ENOENT];

/// Whom a kill at a step hits.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whom {
    Parent,
    Both,
}

pub(crate) fn at_every_step(set: &Set, at: usize, counts: &mut Counts) {
    let host = Host::gather();
    let waits = planned(set, &name(), &host, &["sleep", "61234"]);
    let ends = planned(set, &name(), &host, &["true"]);
    let steps = waits.plan.steps.len();
    assert!(steps > 2, "{}: only {steps} steps", set.name);
    for step in 0..=steps {
        let what = |kind: &str| format!("{}: {kind} at {step} of {steps} steps", set.name);
        kill_there(&waits, step, Whom::Parent, &host, &what("parent killed"));
        counts[1] += 1;
        if step == steps {
            continue; // the command runs, and nobody can be asked any more
        }
        refuse(&waits, step, ERRNOS[(step + at) % ERRNOS.len()], &what("refused"));
        counts[0] += 1;
        match (step + at) % 7 {
            0 => counts[2] += u64::from(kill_child(&ends, step, &what("child killed"))),
            1 => {
                kill_there(&waits, step, Whom::Both, &host, &what("both killed"));
                counts[3] += 1;
            }
            2 => {
                stop(&ends, step, &what("stopped"));
                counts[4] += 1;
            }
            3 => {
                panic_there(&ends, step, &what("panicked"));
                counts[5] += 1;
            }
            which => {
                let signal = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP][which - 4];
                send(&ends, step, signal, &what(signal.as_str()));
                counts[which + 2] += 1;
            }
        }
    }
}

/// The kernel refuses the step: it is told by name, and all is as it was at once.
fn refuse(ready: &Ready, step: usize, errno: Errno, what: &str) {
    let mut options = Options::through(&ready.spec);
    options.fault = Some(Fault { step, errno });
    let error = run(&ready.plan, options).expect_err(what);
    let planned = &ready.plan.steps[step];
    let of_command = planned.by == "command" && [126, 127].contains(&error.exit_code());
    assert!(error.exit_code() == 125 || of_command, "{what}: {}", error.exit_code());
    let words = error.to_string();
    for part in
        [&planned.step.call.to_string(), &format!("{errno:?}"), planned.by, planned.step.why]
    {
        assert!(words.contains(part), "{what}: no `{part}` in: {words}");
    }
    assert_nobody_is_left(what);
    assert_nothing_is_left(ready, what);
}

/// Runs up to a step, and does something there. What it says is whether to go on.
fn run_to(ready: &Ready, step: usize, mut there: impl FnMut() -> bool) -> Result<u8, Error> {
    let mut made = 0;
    let mut ask = |_: &Planned| {
        made += 1;
        made != step + 1 || there()
    };
    let mut options = Options::through(&ready.spec);
    options.ask = Some(&mut ask);
    Ok(run(&ready.plan, options)?.status)
}

fn stop(ready: &Ready, step: usize, what: &str) {
    let ended = run_to(ready, step, || false);
    assert!(matches!(ended, Err(Error::Stopped(Signal::SIGINT))), "{what}: {ended:?}");
    assert_nobody_is_left(what);
    assert_nothing_is_left(ready, what);
}

/// A panic of who is asked takes everything away, without a sweep.
fn panic_there(ready: &Ready, step: usize, what: &str) {
    // SAFETY: this process has one thread.
    #[expect(unsafe_code)]
    match unsafe { fork() }.unwrap() {
        ForkResult::Parent { child } => {
            assert_eq!(waitpid(child, None), Ok(WaitStatus::Exited(child, 101)), "{what}");
        }
        ForkResult::Child => {
            std::panic::set_hook(Box::new(|_| ()));
            let act = || run_to(ready, step, || panic!("as it was asked to"));
            let ended = catch_unwind(AssertUnwindSafe(act));
            // The rest of the stack is the parent's too, and so is what would be dropped there.
            std::process::exit(if ended.is_err() { 101 } else { 0 });
        }
    }
    assert_nobody_is_left(what);
    assert_nothing_is_left(ready, what);
}

fn send(ready: &Ready, step: usize, signal: Signal, what: &str) {
    let ended = run_to(ready, step, || kill(getpid(), signal).is_ok());
    match &ended {
        Err(Error::Stopped(by)) if *by == signal => {}
        // Near the end the command may be faster than those who pass the signal on.
        Ok(0) if step + 2 >= ready.plan.steps.len() => {}
        _ => panic!("{what}: {ended:?}"),
    }
    assert_nobody_is_left(what);
    assert_nothing_is_left(ready, what);
}

/// The only child of this process.
fn child() -> Option<Pid> {
    let children = format!("/proc/self/task/{}/children", getpid());
    let text = fs::read_to_string(children).unwrap();
    text.split_whitespace().next().map(|pid| Pid::from_raw(pid.parse().unwrap()))
}

/// Returns whether there was one.
fn kill_child(ready: &Ready, step: usize, what: &str) -> bool {
    let mut killed = false;
    let ended = run_to(ready, step, || {
        killed = child().is_some_and(|child| kill(child, Signal::SIGKILL).is_ok());
        true
    });
    match ended {
        Ok(status) => assert_eq!(status, if killed { 137 } else { 0 }, "{what}"),
        Err(error) => assert!(killed && error.exit_code() == 125, "{what}: {error}"),
    }
    assert_nobody_is_left(what);
    assert_nothing_is_left(ready, what);
    killed
}

/// Killed there, the next sweep takes everything away.
fn kill_there(ready: &Ready, step: usize, whom: Whom, host: &Host, what: &str) {
    let killed = perform_and_die(ready, step, whom);
    assert_eq!(
        waitpid(killed, None),
        Ok(WaitStatus::Signaled(killed, Signal::SIGKILL, false)),
        "{what}"
    );
    assert_nobody_is_left(what);
    assert_swept(host, ready, what);
}

/// Performs so many steps of a plan, in a child that then kills itself.
pub(crate) fn kill_after(ready: &Ready, steps: usize, what: &str) {
    let killed = perform_and_die(ready, steps, Whom::Parent);
    assert_eq!(
        waitpid(killed, None),
        Ok(WaitStatus::Signaled(killed, Signal::SIGKILL, false)),
        "{what}"
    );
    assert_nobody_is_left(what);
}

fn perform_and_die(ready: &Ready, steps: usize, whom: Whom) -> Pid {
    // SAFETY: this process has one thread.
    #[expect(unsafe_code)]
    match unsafe { fork() }.unwrap() {
        ForkResult::Parent { child } => child,
        ForkResult::Child => {
            let die = || {
                if let Some(child) = child().filter(|_| whom == Whom::Both) {
                    let _ = kill(child, Signal::SIGKILL);
                }
                kill(getpid(), Signal::SIGKILL).unwrap();
            };
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
