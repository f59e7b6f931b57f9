//! Changing a sandbox that runs: its limits, whether it goes on, and whether it lives.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::Signal;
use rustix::process::{Pid, PidfdFlags, pidfd_open, pidfd_send_signal};

use super::options::Event;
use super::state::{self, Label};
use crate::cgroups::{self, Limits, Version, freezer};
use crate::error::Error;
use crate::machine::host::Host;
use crate::machine::process;
use crate::plan::Planned;
use crate::plan::step::{Because, StageName};
use crate::stages::names::CGROUPS;
use crate::stages::refused;
use crate::syscall::Write;

/// Told of each call that was made.
pub type Watch<'a> = &'a mut dyn FnMut(Event);

/// The label of the sandbox of this name, which runs and has cgroups.
///
/// # Errors
/// When there is none.
pub fn with_cgroups(name: &str, host: &Host) -> Result<Label, Error> {
    let label = state::running(&host.state_base, name)?;
    if label.cgroups.is_empty() {
        return Err(Error::not_here(
            format!("`{name}` runs without a cgroup of its own"),
            "start it with `--level cgroups`, or `--with cgroups`",
        ));
    }
    Ok(label)
}

/// The writes that set these limits in the cgroups of the sandbox `name`.
///
/// # Errors
/// When there is nothing to limit, or no cgroup with the controller for it.
pub fn limits(name: &str, label: &Label, limits: &Limits) -> Result<Vec<Planned>, Error> {
    if limits.is_empty() {
        return Err(Error::usage("there is nothing to update", "name a limit: `--memory 64m`"));
    }
    let mut limits = limits.clone();
    limits.find_disks(Path::new("/"));
    limits.check_disks()?;
    let mut steps = Vec::new();
    let mut set = Vec::new();
    for dir in &label.cgroups {
        let is_v2 = dir.join("cgroup.controllers").exists();
        let version = if is_v2 { Version::V2 } else { Version::V1 };
        for setting in limits.settings(version) {
            let file = dir.join(setting.file);
            if file.exists() {
                set.push(setting.controller);
                steps.push(by(CGROUPS, Write(file.into(), setting.value.into()), setting.why));
            }
        }
    }
    if let Some(missing) = limits.controllers().iter().find(|name| !set.contains(name)) {
        return Err(Error::not_here(
            format!("`{name}` has no cgroup with the controller `{missing}`"),
            "it gets one when it is started with such a limit",
        ));
    }
    Ok(steps)
}

/// The write that lets the processes of the sandbox `name` stop, or go on.
///
/// # Errors
/// When none of its cgroups can be frozen.
pub fn pause(name: &str, label: &Label, paused: bool) -> Result<Planned, Error> {
    let (file, order) = freezer::order(name, &label.cgroups, paused)?;
    let why = if paused { "give its processes no more time" } else { "let its processes go on" };
    Ok(by("freezer", Write(file.into(), order.into()), why))
}

fn by(by: StageName, write: Write, why: &'static str) -> Planned {
    Planned { by, step: write.because(why) }
}

/// Makes the writes. The kernel wants memory and swap in the one order when a limit grows and in
/// the other when it shrinks: what it refuses at first is tried again after the others.
///
/// # Errors
/// What the kernel refused twice.
pub fn perform(steps: &[Planned], watch: Watch) -> Result<(), Error> {
    let mut make = |planned: &Planned| {
        let begin = Instant::now();
        let result = planned.step.call.perform();
        watch(Event { planned, result, took: Some(begin.elapsed()) });
        result
    };
    let refused_once: Vec<&Planned> =
        steps.iter().filter(|planned| make(planned).is_err()).collect();
    for planned in refused_once {
        make(planned).map_err(|errno| refused(planned, errno))?;
    }
    Ok(())
}

/// How long it may take until all processes have stopped, or go on.
const PATIENCE: Duration = Duration::from_secs(5);

/// Waits until the processes of the sandbox `name` have stopped, or go on.
///
/// # Errors
/// When they take more than 5 s.
pub fn settle(name: &str, label: &Label, paused: bool) -> Result<(), Error> {
    let until = Instant::now() + PATIENCE;
    while !freezer::has_settled(&label.cgroups, paused) {
        if Instant::now() > until {
            return Err(Error::not_here(
                format!("`{name}` has not stopped after {} s", PATIENCE.as_secs()),
                "a process that waits for a disk stops when the disk has answered",
            ));
        }
        sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Sends a signal to the first process of the sandbox `name`, or ends all of it.
///
/// # Errors
/// When it does not run, or may not be signalled.
pub fn kill(name: &str, host: &Host, signal: Option<Signal>) -> Result<(), Error> {
    let label = state::running(&host.state_base, name)?;
    let doing = || format!("send a signal to process {}", label.pid);
    let held = match Pid::from_raw(label.pid).map(|pid| pidfd_open(pid, PidfdFlags::empty())) {
        Some(Ok(held)) => held,
        Some(Err(rustix::io::Errno::SRCH)) | None => return Ok(()),
        Some(Err(errno)) => return Err(Error::io(doing())(errno)),
    };
    if process::started(label.pid) != label.started {
        return Ok(()); // it has ended, and another process got its number
    }
    if signal.is_none() {
        label.cgroups.iter().rev().for_each(|dir| cgroups::kill_all(dir));
    }
    let number = signal.unwrap_or(Signal::SIGKILL) as i32;
    let signal = rustix::process::Signal::from_named_raw(number);
    match signal.map(|signal| pidfd_send_signal(&held, signal)) {
        Some(Ok(()) | Err(rustix::io::Errno::SRCH)) => Ok(()),
        Some(Err(errno)) => Err(Error::io(doing())(errno)),
        None => Err(Error::io(doing())(Errno::EINVAL)),
    }
}
