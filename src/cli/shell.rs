//! `sandbox shell`: an interactive shell under the chosen stages.

use clap::Args;

use super::Global;
use super::stages::{StageArgs, shell_of};
use crate::error::Error;

#[derive(Args)]
pub(crate) struct ShellArgs {
    #[command(flatten)]
    stages: StageArgs,
    /// Call the sandbox this, for `sandbox ps`, `exec` and `inspect`
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

pub(crate) fn shell(args: ShellArgs, global: &Global) -> Result<u8, Error> {
    let shell = shell_of(&args.stages.chosen()?);
    let spec = super::run::named(args.stages.spec(shell)?, args.name)?;
    super::run::perform(spec, false, global)
}
