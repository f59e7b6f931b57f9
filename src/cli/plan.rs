//! `sandbox plan`: what would be done, and why.

use std::env;
use std::ffi::OsString;

use clap::{Args, ValueEnum};

use super::global::Global;
use super::stages::{StageArgs, planned};
use crate::error::Error;
use crate::machine::host::Host;
use crate::plan::Plan;
use crate::plan::script::script;
use crate::run::ready::Asked;
use crate::run::state;
use crate::show;

#[derive(Args)]
pub(crate) struct PlanArgs {
    /// For people, as a shell script that does the same by hand, or for programs
    #[arg(long = "as", value_name = "FORM", default_value = "text")]
    form: Form,
    /// The command to plan for [default: a shell]
    #[arg(trailing_var_arg = true, value_name = "COMMAND")]
    command: Vec<OsString>,
    // Last: what follows would stand under the heading of a stage.
    #[command(flatten)]
    stages: StageArgs,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    Text,
    Sh,
    Json,
}

pub(crate) fn plan(args: PlanArgs, global: &Global) -> Result<u8, Error> {
    let argv = if args.command.is_empty() { args.stages.shell()? } else { args.command };
    let (mut host, mut asked) = (Host::gather(), args.stages.asked(argv)?);
    if args.form == Form::Sh {
        // What is made by hand is not ours to sweep.
        host.state_base = env::temp_dir();
        asked = Asked { id: Some(format!("by-hand-{}", state::new_id())), ..asked };
    }
    let ready = planned(asked, &host)?;
    match args.form {
        Form::Text => print(&ready.plan, global)?,
        Form::Sh => show::print(script(&ready.plan, &ready.spec.state_dir()))?,
        Form::Json => show::line(show::plan_json(&ready.plan))?,
    }
    Ok(0)
}

/// Prints a plan for people, or as JSON when that was asked for.
pub(crate) fn print(plan: &Plan, global: &Global) -> Result<(), Error> {
    if global.json()? {
        show::line(show::plan_json(plan))?;
    } else {
        show::print(show::plan(plan))?;
    }
    Ok(())
}
