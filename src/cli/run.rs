//! `sandbox run`: anything under the chosen stages.

use std::ffi::OsString;

use clap::Args;

use super::Global;
use super::stages::StageArgs;
use crate::error::Error;
use crate::plan::{Plan, Planned};
use crate::run::{Event, Options};
use crate::stage::Spec;
use crate::{show, state};

#[derive(Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    stages: StageArgs,
    /// Wait for Enter before each system call
    #[arg(long)]
    step: bool,
    /// The command and its arguments
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "COMMAND"
    )]
    command: Vec<OsString>,
}

pub(crate) fn run(args: RunArgs, global: &Global) -> Result<u8, Error> {
    perform(&args.stages.spec(args.command)?, args.step, global)
}

/// Carries out the plan of `spec` on this terminal, or shows it with `--dry-run`.
pub(crate) fn perform(spec: &Spec, step: bool, global: &Global) -> Result<u8, Error> {
    let plan = Plan::new(spec)?;
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
    if step {
        options.ask = Some(&mut ask);
    }
    Ok(crate::run::run(&plan, options)?.status)
}
