//! `sandbox run`: anything under the chosen stages.

use std::ffi::OsString;

use clap::Args;

use super::Global;
use super::stages::{StageArgs, usage};
use crate::error::Error;
use crate::plan::{Plan, Planned};
use crate::run::state;
use crate::run::state::Label;
use crate::run::{Event, Options};
use crate::show;
use crate::stages::stage::Spec;

#[derive(Args)]
pub(crate) struct RunArgs {
    /// Call the sandbox this, for `sandbox ps`, `exec` and `inspect`
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Wait for Enter before each system call
    #[arg(long)]
    step: bool,
    #[command(flatten)]
    stages: StageArgs,
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

pub(crate) fn run(args: RunArgs, global: &Global) -> Result<u8, Error> {
    perform(named(args.stages.spec(args.command)?, args.name)?, args.step, global)
}

/// The name becomes that of everything the sandbox puts on the host.
pub(crate) fn named(spec: Spec, name: Option<String>) -> Result<Spec, Error> {
    let Some(name) = name else { return Ok(spec) };
    let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || name.len() > 32 || name.starts_with('-') || !name.chars().all(letter) {
        return Err(usage(&format!("`{name}` cannot be a name"), "use 1 to 32 of a-z, 0-9 and -"));
    }
    let spec = Spec { id: name, ..spec };
    if state::living(&spec.host.state_base)?.iter().any(|(name, _)| *name == spec.id) {
        let problem = format!("a sandbox `{}` runs already", spec.id);
        return Err(usage(&problem, "choose another name; `sandbox ps` lists them"));
    }
    Ok(spec)
}

// ANCHOR: perform
/// Carries out the plan of `spec` on this terminal, or shows it with `--dry-run`.
pub(crate) fn perform(spec: Spec, step: bool, global: &Global) -> Result<u8, Error> {
    let plan = Plan::new(&spec)?;
    if global.dry_run {
        super::plan::print(&plan, global)?;
        return Ok(0);
    }
    state::sweep(&spec.host.state_base)?;
    let mut watch = |event: Event| {
        if global.trace || step {
            show::event(&event);
        }
    };
    let mut ask = |planned: &Planned| show::ask_to_go_on(planned);
    let mut options = Options::through(None);
    options.watch = Some(&mut watch);
    options.label = Some(label(&spec));
    if step {
        options.ask = Some(&mut ask);
    }
    Ok(crate::run::run(&plan, options)?.status)
}
// ANCHOR_END: perform

fn label(spec: &Spec) -> Label {
    let words = spec.command.iter().flat_map(|command| &command.argv);
    Label {
        stages: spec.stages.iter().map(|stage| (*stage).to_owned()).collect(),
        command: words.map(|word| word.to_string_lossy().into_owned()).collect(),
        pid: 0,
        cgroups: spec.cgroups().into_iter().map(|cgroup| cgroup.dir).collect(),
    }
}
