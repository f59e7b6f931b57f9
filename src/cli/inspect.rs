//! `sandbox ps`, `sandbox inspect` and `sandbox exec`: sandboxes that run.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::Global;
use crate::error::Error;
use crate::machine::host::Host;
use crate::run::inspect::inspect;
use crate::run::join;
use crate::run::state::living;
use crate::run::{Event, Options};
use crate::show;
use crate::stages::stage::Command;

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
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// Prints `{"sandboxes":[{"name","pid","stages","command"}]}`, or the same for people.
pub(crate) fn ps(global: &Global) -> Result<u8, Error> {
    let sandboxes = living(&Host::gather().state_base)?;
    if global.json()? {
        let one = |(name, label): &(String, crate::run::state::Label)| json!({ "name": name, "pid": label.pid, "stages": label.stages, "command": label.command });
        let all: Vec<_> = sandboxes.iter().map(one).collect();
        anstream::println!("{:#}", json!({ "sandboxes": all }));
    } else {
        anstream::print!("{}", show::running(&sandboxes));
    }
    Ok(0)
}

pub(crate) fn inspect_process(args: InspectArgs, global: &Global) -> Result<u8, Error> {
    let found = inspect(process(&args.process, &Host::gather())?)?;
    if global.json()? {
        let json = serde_json::to_string_pretty(&found).map_err(Error::io("describe it"))?;
        anstream::println!("{json}");
    } else {
        anstream::print!("{}", show::inspection(&found));
    }
    Ok(0)
}

pub(crate) fn exec(args: ExecArgs, global: &Global) -> Result<u8, Error> {
    let host = Host::gather();
    let command = Command { argv: args.command, workdir: args.workdir, ..Command::default() };
    let plan = join::plan(process(&args.process, &host)?, &command, &host)?;
    if global.dry_run {
        super::plan::print(&plan, global)?;
        return Ok(0);
    }
    let mut watch = |event: Event| show::event(&event);
    let mut options = Options::through(None);
    if global.trace {
        options.watch = Some(&mut watch);
    }
    Ok(crate::run::run(&plan, options)?.status)
}

fn process(named: &str, host: &Host) -> Result<i32, Error> {
    let sandboxes = living(&host.state_base)?;
    if let Some((_, label)) = sandboxes.iter().find(|(name, _)| name == named) {
        return Ok(label.pid);
    }
    named.parse().ok().filter(|pid| *pid > 0).ok_or_else(|| Error::Usage {
        problem: format!("no sandbox `{named}` of yours runs"),
        hint: "`sandbox ps` lists those that do; a process is named by its number".to_owned(),
    })
}
