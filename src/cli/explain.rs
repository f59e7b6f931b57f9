//! `sandbox explain`: one stage in words.

use clap::Args;

use super::global::Global;
use crate::error::Error;
use crate::show;
use crate::stages::levels::stage as stage_name;
use crate::stages::stage::Stage;
use crate::stages::{STAGES, find};

#[derive(Args)]
pub(crate) struct ExplainArgs {
    /// The stage; without one, a line for each
    stage: Option<String>,
}

pub(crate) fn explain(args: ExplainArgs, global: &Global) -> Result<u8, Error> {
    let json = global.json()?;
    let stages: Vec<&dyn Stage> = match &args.stage {
        Some(name) => find(stage_name(name)?).into_iter().collect(),
        None => STAGES.iter().map(Box::as_ref).collect(),
    };
    if json {
        show::line(show::stages_json(&stages))?;
    } else if args.stage.is_some() {
        stages.iter().try_for_each(|stage| show::print(show::stage(*stage)))?;
    } else {
        show::print(show::stage_list(&stages))?;
    }
    Ok(0)
}
