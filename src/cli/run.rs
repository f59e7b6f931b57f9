//! `sandbox run`: anything under the chosen stages.

use std::ffi::OsString;
use std::io::{BufRead, IsTerminal};

use clap::Args;

use super::clean;
use super::global::Global;
use super::stages::{StageArgs, planned};
use super::terminal::{Taken, TerminalArgs};
use crate::error::Error;
use crate::machine::host::Host;
use crate::plan::Planned;
use crate::run::ready::{Asked, Ready, Trials, perform as perform_plan};
use crate::run::state::{self, Label};
use crate::run::{Event, Options, run as run_plan};
use crate::show;

#[derive(Args)]
pub(crate) struct RunArgs {
    /// Call the sandbox this, for `sandbox ps`, `exec` and `inspect`
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Wait for Enter before each system call
    #[arg(long)]
    step: bool,
    #[command(flatten)]
    terminal: TerminalArgs,
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
    command: Vec<OsString>,
    // Last: what follows would stand under the heading of a stage.
    #[command(flatten)]
    stages: StageArgs,
}

pub(crate) fn run(args: RunArgs, global: &Global) -> Result<u8, Error> {
    perform(args.stages.asked(args.command)?, args.name, args.step, args.terminal, global)
}

// ANCHOR: perform
/// Carries out what is asked for on this terminal, or shows the plan of it with `--dry-run`.
pub(crate) fn perform(
    asked: Asked,
    name: Option<String>,
    step: bool,
    terminal: TerminalArgs,
    global: &Global,
) -> Result<u8, Error> {
    let host = Host::gather();
    if let Some(name) = &name {
        state::check_name(&host.state_base, name)?;
    }
    let asked = Asked { id: name, ..asked };
    if global.dry_run {
        super::plan::print(&planned(asked, &host)?.plan, global)?;
        return Ok(0);
    }
    clean::before(&host.state_base)?;
    let mut noted: Vec<String> = Vec::new();
    let mut taken = None;
    perform_plan(&asked, &host, &Trials::new(false), |ready| {
        let new: Vec<&String> = ready.notes.iter().filter(|note| !noted.contains(note)).collect();
        new.iter().for_each(|note| show::note(note));
        noted = ready.notes.clone();
        if taken.is_none() {
            match terminal.take()? {
                Taken::Done(status) => return Ok(status),
                here => taken = Some(here),
            }
        }
        let mut watch = |event: Event| show::event(&event);
        let mut ask = |planned: &Planned| ask_to_go_on(planned);
        let mut options = Options::through(&ready.spec);
        options.label = Some(label(ready));
        if global.trace || step {
            options.watch = Some(&mut watch);
        }
        if step {
            options.ask = Some(&mut ask);
        }
        Ok(run_plan(&ready.plan, options)?.status)
    })
}
// ANCHOR_END: perform

fn label(ready: &Ready) -> Label {
    let spec = &ready.spec;
    let words = spec.command.iter().flat_map(|command| &command.argv);
    Label {
        stages: spec.stages.iter().map(|stage| (*stage).to_owned()).collect(),
        command: words.map(|word| word.to_string_lossy().into_owned()).collect(),
        pid: 0,
        started: None,
        cgroups: spec.cgroups.iter().map(|cgroup| cgroup.dir.clone()).collect(),
    }
}

/// Shows the next step and waits for Enter. `false` when the answer is `q` or the input ends.
fn ask_to_go_on(planned: &Planned) -> bool {
    show::say(show::question(planned));
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    if !std::io::stdin().is_terminal() {
        show::say("\n");
    }
    matches!(read, Ok(1..)) && answer.trim() != "q"
}
