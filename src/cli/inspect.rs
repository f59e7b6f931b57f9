//! `sandbox ps`, `sandbox inspect` and `sandbox exec`: sandboxes that run.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::global::Global;
use super::terminal::TerminalArgs;
use crate::cgroups;
use crate::error::Error;
use crate::machine::host::Host;
use crate::machine::{process, sealed};
use crate::plan::command::Command;
use crate::run::inspect::inspect;
use crate::run::state::{Label, living};
use crate::run::{Event, Options, join, run};
use crate::show;

#[derive(Args)]
pub(crate) struct InspectArgs {
    /// A running sandbox, or any process by its number
    #[arg(value_name = "NAME|PID")]
    process: String,
}

#[derive(Args)]
pub(crate) struct ExecArgs {
    /// A running sandbox, or any process by its number
    #[arg(value_name = "NAME|PID")]
    process: String,
    /// Start the command in this directory
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<PathBuf>,
    #[command(flatten)]
    terminal: TerminalArgs,
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// What `sandbox ps --format json` prints.
#[derive(Serialize)]
struct Living {
    sandboxes: Vec<Sandbox>,
}

/// A sandbox that runs.
#[derive(Serialize)]
struct Sandbox {
    name: String,
    pid: i32,
    stages: Vec<String>,
    command: Vec<String>,
}

pub(crate) fn ps(global: &Global) -> Result<u8, Error> {
    let sandboxes = living(&Host::gather().state_base)?;
    if global.json()? {
        let one = |(name, label): (String, Label)| Sandbox {
            name,
            pid: label.pid,
            stages: label.stages,
            command: label.command,
        };
        let sandboxes = sandboxes.into_iter().map(one).collect();
        show::line(show::json(&Living { sandboxes }))?;
    } else {
        show::print(show::running(&sandboxes))?;
    }
    Ok(0)
}

pub(crate) fn inspect_process(args: InspectArgs, global: &Global) -> Result<u8, Error> {
    let found = inspect(number_of(&args.process)?)?;
    if global.json()? {
        show::line(show::json(&found))?;
    } else {
        show::print(show::inspection(&found))?;
    }
    Ok(0)
}

pub(crate) fn exec(args: ExecArgs, global: &Global) -> Result<u8, Error> {
    let command = Command { argv: args.command, workdir: args.workdir, ..Command::default() };
    if !global.dry_run {
        // Those in there can look at who joins them, and at the file it runs from.
        sealed::start_again()?;
    }
    let pid = number_of(&args.process)?;
    for dir in cgroups::closed(pid) {
        let dir = dir.display();
        show::note(&format!(
            "`{dir}` is closed to you from here: the command is not in that cgroup"
        ));
    }
    let plan = join::plan(pid, &command, &Host::gather())?;
    if global.dry_run {
        super::plan::print(&plan, global)?;
        return Ok(0);
    }
    let mut watch = |event: Event| show::event(&event);
    let mut options = Options::default();
    if global.trace {
        options.watch = Some(&mut watch);
    }
    args.terminal.perform(|| Ok(run(&plan, options)?.status))
}

fn number_of(named: &str) -> Result<i32, Error> {
    let sandboxes = living(&Host::gather().state_base)?;
    if let Some((_, label)) = sandboxes.iter().find(|(name, _)| name == named) {
        if process::started(label.pid) != label.started {
            return Err(Error::usage(
                format!("the command of `{named}` has ended"),
                "`sandbox ps` lists those that run",
            ));
        }
        return Ok(label.pid);
    }
    match named.parse() {
        Ok(pid) if pid > 0 => Ok(pid),
        _ => Err(Error::usage(
            format!("no sandbox `{named}` of yours runs"),
            "`sandbox ps` lists those that do; a process is named by its number",
        )),
    }
}
