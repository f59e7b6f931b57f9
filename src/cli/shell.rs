//! `sandbox shell`: an interactive shell under the chosen stages.

use clap::Args;

use super::Global;
use super::stages::{StageArgs, shell_of};
use crate::error::Error;

#[derive(Args)]
pub(crate) struct ShellArgs {
    #[command(flatten)]
    stages: StageArgs,
}

pub(crate) fn shell(args: ShellArgs, global: &Global) -> Result<u8, Error> {
    let shell = shell_of(&args.stages.chosen()?);
    super::run::perform(&args.stages.spec(vec![shell])?, false, global)
}
