//! `sandbox shell`: an interactive shell under the chosen stages.

use clap::Args;

use super::global::Global;
use super::run::perform;
use super::stages::StageArgs;
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
    let shell = args.stages.shell()?;
    perform(args.stages.asked(shell)?, args.name, false, global)
}
