//! `sandbox stats`, `pause`, `resume`, `kill` and `update`: sandboxes that run, through their
//! cgroups.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::Args;
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use serde_json::{Value, json};

use super::Global;
use super::limits::LimitArgs;
use super::stages::usage as wrong_usage;
use crate::cgroups::usage::{self, Usage};
use crate::cgroups::{self, Version};
use crate::error::Error;
use crate::machine::host::Host;
use crate::plan::Planned;
use crate::run::Event;
use crate::run::state::{Label, living};
use crate::show;
use crate::syscall::Syscall;

#[derive(Args)]
pub(crate) struct StatsArgs {
    /// The sandbox; without a name, all that have cgroups
    name: Option<String>,
    /// Print once, and do not wait for more
    #[arg(long)]
    no_stream: bool,
}

#[derive(Args)]
pub(crate) struct NameArgs {
    /// The sandbox, as `sandbox ps` calls it
    name: String,
}

#[derive(Args)]
pub(crate) struct KillArgs {
    /// The sandbox, as `sandbox ps` calls it
    name: String,
    /// Send this signal to its first process only, instead of ending all of it: TERM, SIGHUP, 10
    #[arg(short, long, value_name = "SIGNAL")]
    signal: Option<String>,
}

#[derive(Args)]
pub(crate) struct UpdateArgs {
    /// The sandbox, as `sandbox ps` calls it
    name: String,
    #[command(flatten)]
    limits: LimitArgs,
}

/// How often `stats` looks.
const INTERVAL: Duration = Duration::from_secs(1);

/// One look at one sandbox: its name, its label, what it uses, and since the last look how many
/// CPUs' time it had.
pub(crate) type Sample = (String, Label, Usage, Option<f64>);

/// Prints a table each second, or with `--format json` one object a line:
/// `{"name","pid","paused","memory":{…},"cpu":{…},"pids":{…},"io":{…}}`.
pub(crate) fn stats(args: StatsArgs, global: &Global) -> Result<u8, Error> {
    let json = global.json()?;
    let look = || -> Result<Vec<(String, Label)>, Error> {
        match &args.name {
            Some(name) => Ok(vec![(name.clone(), with_cgroups(name)?)]),
            None => Ok(all()?.into_iter().filter(|(_, label)| !label.cgroups.is_empty()).collect()),
        }
    };
    let mut last: Vec<(String, u64, Instant)> = Vec::new();
    let mut lines = 0;
    let mut found = look()?;
    if args.no_stream && !json && !found.is_empty() {
        // How much CPU time it has is known from two looks.
        found.into_iter().for_each(|one| drop(sample(one, &mut last)));
        sleep(INTERVAL);
        found = look()?;
    }
    while !found.is_empty() {
        let samples: Vec<Sample> = found.into_iter().map(|one| sample(one, &mut last)).collect();
        if json {
            for sample in &samples {
                anstream::println!("{}", sample_json(sample));
            }
        } else {
            let again = if std::io::stdout().is_terminal() { lines } else { 0 };
            let table = show::usage(&samples);
            lines = table.lines().count();
            anstream::print!("{}{table}", show::over(again));
        }
        if args.no_stream {
            return Ok(0);
        }
        sleep(INTERVAL);
        // Between two looks it may have come to its end.
        found = look().unwrap_or_default();
    }
    if !json && lines == 0 {
        show::note("no sandbox of yours that runs has a cgroup: `sandbox run --level cgroups …`");
    }
    Ok(0)
}

fn sample((name, label): (String, Label), last: &mut Vec<(String, u64, Instant)>) -> Sample {
    let usage = usage::read(&label.cgroups);
    let now = Instant::now();
    let used = usage.cpu.as_ref().map(|cpu| cpu.usage_us);
    let before = last.iter().position(|(known, ..)| *known == name).map(|at| last.remove(at));
    let share = before.zip(used).map(|((_, before, then), used)| {
        let wall = now.duration_since(then).as_secs_f64();
        Duration::from_micros(used.saturating_sub(before)).as_secs_f64() / wall
    });
    last.extend(used.map(|used| (name.clone(), used, now)));
    (name, label, usage, share)
}

fn sample_json((name, label, usage, _): &Sample) -> Value {
    let mut value = json!({ "name": name, "pid": label.pid });
    if let (Some(object), Ok(Value::Object(usage))) =
        (value.as_object_mut(), serde_json::to_value(usage))
    {
        object.extend(usage);
    }
    value
}

/// How long it may take until all processes have stopped, or go on.
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) fn pause(args: &NameArgs, paused: bool, global: &Global) -> Result<u8, Error> {
    let label = with_cgroups(&args.name)?;
    let (v1, v2, why) = if paused {
        ("FROZEN", "1", "give its processes no more time")
    } else {
        ("THAWED", "0", "let its processes go on")
    };
    let find = |file: &str| label.cgroups.iter().map(|dir| dir.join(file)).find(|f| f.exists());
    let call = match (find("freezer.state"), find("cgroup.freeze")) {
        (Some(file), _) => Syscall::Write(file, v1.to_owned()),
        (None, Some(file)) => Syscall::Write(file, v2.to_owned()),
        (None, None) => {
            return Err(Error::NoCgroup {
                problem: format!("`{}` has no cgroup that can be frozen", args.name),
                hint: "version 1 needs the controller `freezer`; version 2 needs Linux 5.2".into(),
            });
        }
    };
    perform(&[Planned { by: "freezer", step: call.because(why) }], global)?;
    let until = Instant::now() + PATIENCE;
    while !global.dry_run && !has_settled(&label.cgroups, paused) {
        if Instant::now() > until {
            return Err(Error::NoCgroup {
                problem: format!("`{}` has not stopped after {} s", args.name, PATIENCE.as_secs()),
                hint: "a process that waits for a disk stops when the disk has answered".into(),
            });
        }
        sleep(Duration::from_millis(1));
    }
    Ok(0)
}

/// Whether the kernel has done what it was asked to: it tells in another place than it is asked.
fn has_settled(cgroups: &[PathBuf], paused: bool) -> bool {
    let read = |file: &str| cgroups.iter().find_map(|d| std::fs::read_to_string(d.join(file)).ok());
    let v1 = read("freezer.state").map(|text| (text.trim() == "FROZEN") == paused);
    let v2 = || read("cgroup.events").map(|text| text.contains("frozen 1") == paused);
    v1.or_else(v2).unwrap_or(true)
}

pub(crate) fn kill(args: &KillArgs, global: &Global) -> Result<u8, Error> {
    let label = running(&args.name)?;
    let signal = args.signal.as_deref().map(signal).transpose()?;
    if global.dry_run {
        show::note(&format!("`{}` would get {}", args.name, signal.unwrap_or(Signal::SIGKILL)));
        return Ok(0);
    }
    if signal.is_none() {
        label.cgroups.iter().rev().for_each(|dir| cgroups::kill_all(dir));
    }
    match nix::sys::signal::kill(Pid::from_raw(label.pid), signal.unwrap_or(Signal::SIGKILL)) {
        Ok(()) | Err(nix::errno::Errno::ESRCH) => Ok(0),
        Err(errno) => Err(Error::io(format!("send a signal to process {}", label.pid))(errno)),
    }
}

fn signal(name: &str) -> Result<Signal, Error> {
    let number = name.parse().ok().and_then(|number: i32| Signal::try_from(number).ok());
    let full = format!("SIG{}", name.to_uppercase().trim_start_matches("SIG"));
    number.or_else(|| full.parse().ok()).ok_or_else(|| {
        wrong_usage(&format!("`{name}` is no signal"), "write it like TERM or 15; see signal(7)")
    })
}

pub(crate) fn update(args: &UpdateArgs, global: &Global) -> Result<u8, Error> {
    let label = with_cgroups(&args.name)?;
    let mut limits = args.limits.limits();
    if limits.is_empty() {
        return Err(wrong_usage("there is nothing to update", "name a limit: `--memory 64m`"));
    }
    limits.find_disks(Path::new("/"));
    crate::plan::check_disks(&limits)?;
    let mut steps = Vec::new();
    for dir in &label.cgroups {
        let is_v2 = dir.join("cgroup.controllers").exists();
        let version = if is_v2 { Version::V2 } else { Version::V1 };
        for set in limits.settings(version).into_iter().filter(|set| dir.join(set.file).exists()) {
            let step = Syscall::Write(dir.join(set.file), set.value).because(set.why);
            steps.push((set.controller, Planned { by: "cgroups", step }));
        }
    }
    let set = |controller: &&str| steps.iter().any(|(name, _)| name == controller);
    if let Some(controller) = limits.controllers().iter().find(|name| !set(name)) {
        return Err(Error::NoCgroup {
            problem: format!("`{}` has no cgroup with the controller `{controller}`", args.name),
            hint: "it gets one when it is started with such a limit".into(),
        });
    }
    perform(&steps.into_iter().map(|(_, step)| step).collect::<Vec<_>>(), global)?;
    Ok(0)
}

/// Makes the writes. The kernel wants memory and swap in the one order when a limit grows and in
/// the other when it shrinks: what it refuses at first is tried again after the others.
fn perform(steps: &[Planned], global: &Global) -> Result<(), Error> {
    if global.dry_run {
        steps.iter().for_each(|planned| anstream::println!("{}", planned.step.call));
        return Ok(());
    }
    let make = |planned: &Planned| {
        let begin = Instant::now();
        let result = planned.step.call.perform();
        if global.trace {
            show::event(&Event { planned, result, took: Some(begin.elapsed()) });
        }
        result
    };
    let refused: Vec<&Planned> = steps.iter().filter(|planned| make(planned).is_err()).collect();
    for planned in refused {
        make(planned).map_err(|errno| {
            let call = Box::new(planned.step.call.clone());
            Error::Step { by: planned.by, call, why: planned.step.why, errno }
        })?;
    }
    Ok(())
}

fn all() -> Result<Vec<(String, Label)>, Error> {
    living(&Host::gather().state_base)
}

/// The label of a sandbox that runs.
pub(crate) fn running(name: &str) -> Result<Label, Error> {
    let found = all()?.into_iter().find(|(known, _)| known == name);
    found.map(|(_, label)| label).ok_or_else(|| {
        wrong_usage(
            &format!("no sandbox `{name}` of yours runs"),
            "`sandbox ps` lists those that do",
        )
    })
}

fn with_cgroups(name: &str) -> Result<Label, Error> {
    let label = running(name)?;
    if label.cgroups.is_empty() {
        return Err(Error::NoCgroup {
            problem: format!("`{name}` runs without a cgroup of its own"),
            hint: "start it with `--level cgroups`, or `--with cgroups`".into(),
        });
    }
    Ok(label)
}
