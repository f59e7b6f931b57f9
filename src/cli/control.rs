//! `sandbox stats`, `pause`, `resume`, `kill` and `update`: sandboxes that run, through their
//! cgroups.

use std::io::IsTerminal;
use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::Args;
use nix::sys::signal::Signal;
use serde::Serialize;

use super::global::Global;
use crate::cgroups::Limits;
use crate::cgroups::usage::{self, Usage};
use crate::error::Error;
use crate::machine::host::Host;
use crate::plan::Planned;
use crate::run::state::{self, Label, living};
use crate::run::{Event, update};
use crate::show;

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
    #[command(flatten, next_help_heading = "Limits")]
    limits: Limits,
}

/// How often `stats` looks.
const INTERVAL: Duration = Duration::from_secs(1);

/// One look at one sandbox: its name, its label, what it uses, and since the last look how many
/// CPUs' time it had.
pub(crate) type Sample = (String, Label, Usage, Option<f64>);

/// Prints a table each second, or with `--format json` a [`Line`] for each sandbox.
pub(crate) fn stats(args: StatsArgs, global: &Global) -> Result<u8, Error> {
    let (json, host) = (global.json()?, Host::gather());
    let look = || -> Result<Vec<(String, Label)>, Error> {
        match &args.name {
            Some(name) => Ok(vec![(name.clone(), update::with_cgroups(name, &host)?)]),
            None => {
                let all = living(&host.state_base)?.into_iter();
                Ok(all.filter(|(_, label)| !label.cgroups.is_empty()).collect())
            }
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
                show::line(line(sample))?;
            }
        } else {
            let again = if std::io::stdout().is_terminal() { lines } else { 0 };
            let table = show::usage(&samples);
            lines = table.lines().count();
            show::print(format!("{}{table}", over(again)))?;
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

/// What `sandbox stats --format json` prints, a line for each sandbox and look.
#[derive(Serialize)]
struct Line<'a> {
    name: &'a str,
    pid: i32,
    #[serde(flatten)]
    usage: &'a Usage,
}

fn line((name, label, usage, _): &Sample) -> String {
    let line = serde_json::to_string(&Line { name, pid: label.pid, usage });
    line.unwrap_or_else(|error| error.to_string())
}

/// Goes back over this many lines that were printed, to print them anew.
fn over(lines: usize) -> String {
    if lines == 0 { String::new() } else { format!("\x1b[{lines}A\x1b[J") }
}

pub(crate) fn pause(args: &NameArgs, paused: bool, global: &Global) -> Result<u8, Error> {
    let label = update::with_cgroups(&args.name, &Host::gather())?;
    let step = update::pause(&args.name, &label, paused)?;
    perform(&[step], global)?;
    if !global.dry_run {
        update::settle(&args.name, &label, paused)?;
    }
    Ok(0)
}

pub(crate) fn kill(args: &KillArgs, global: &Global) -> Result<u8, Error> {
    let host = Host::gather();
    let signal = args.signal.as_deref().map(signal).transpose()?;
    if global.dry_run {
        state::running(&host.state_base, &args.name)?;
        show::note(&format!("`{}` would get {}", args.name, signal.unwrap_or(Signal::SIGKILL)));
        return Ok(0);
    }
    update::kill(&args.name, &host, signal)?;
    Ok(0)
}

fn signal(name: &str) -> Result<Signal, Error> {
    let number = name.parse().ok().and_then(|number: i32| Signal::try_from(number).ok());
    let full = format!("SIG{}", name.to_uppercase().trim_start_matches("SIG"));
    number.or_else(|| full.parse().ok()).ok_or_else(|| {
        Error::usage(format!("`{name}` is no signal"), "write it like TERM or 15; see signal(7)")
    })
}

pub(crate) fn change(args: &UpdateArgs, global: &Global) -> Result<u8, Error> {
    let label = update::with_cgroups(&args.name, &Host::gather())?;
    perform(&update::limits(&args.name, &label, &args.limits)?, global)?;
    Ok(0)
}

/// Makes the writes, or prints them.
fn perform(steps: &[Planned], global: &Global) -> Result<(), Error> {
    if global.dry_run {
        return steps.iter().try_for_each(|planned| show::line(&planned.step.call));
    }
    update::perform(steps, &mut |event: Event| {
        if global.trace {
            show::event(&event);
        }
    })
}
