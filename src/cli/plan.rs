//! `sandbox plan`: what would be done, and why.

use std::ffi::OsString;

use clap::{Args, ValueEnum};

use super::Global;
use super::stages::{StageArgs, shell_of};
use crate::error::Error;
use crate::plan::Plan;
use crate::show;

#[derive(Args)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    stages: StageArgs,
    /// For people, as a shell script that does the same by hand, or for programs
    #[arg(long = "as", value_name = "FORM", default_value = "text")]
    form: Form,
    /// The command to plan for [default: a shell]
    #[arg(trailing_var_arg = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Form {
    Text,
    Sh,
    Json,
}

pub(crate) fn plan(args: PlanArgs, global: &Global) -> Result<u8, Error> {
    let argv =
        if args.command.is_empty() { shell_of(&args.stages.chosen()?) } else { args.command };
    let mut spec = args.stages.spec(argv)?;
    if matches!(args.form, Form::Sh) {
        // What is made by hand is not ours to sweep.
        spec.host.state_base = std::env::temp_dir();
        spec.id = format!("by-hand-{}", spec.id);
    }
    let plan = Plan::new(&spec)?;
    match args.form {
        Form::Text => print(&plan, global)?,
        Form::Sh => anstream::print!("{}", crate::plan::script::script(&plan)),
        Form::Json => anstream::println!("{}", show::plan_json(&plan)),
    }
    Ok(0)
}

/// Prints a plan for people, or as JSON when that was asked for.
pub(crate) fn print(plan: &Plan, global: &Global) -> Result<(), Error> {
    if global.json()? {
        anstream::println!("{}", show::plan_json(plan));
    } else {
        anstream::print!("{}", show::plan(plan));
    }
    Ok(())
}
