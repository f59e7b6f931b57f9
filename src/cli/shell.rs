//! `sandbox shell`: an interactive shell under the chosen stages.

use clap::Args;

use super::global::Global;
use super::run::perform;
use super::stages::StageArgs;
use super::terminal::TerminalArgs;
use crate::error::Error;

#[derive(Args)]
pub(crate) struct ShellArgs {
    /// Call the sandbox this, for `sandbox ps`, `exec` and `inspect`
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    terminal: TerminalArgs,
    // Last: what follows would stand under the heading of a stage.
    #[command(flatten)]
    stages: StageArgs,
}

pub(crate) fn shell(args: ShellArgs, global: &Global) -> Result<u8, Error> {
    let shell = args.stages.shell()?;
    perform(args.stages.asked(shell)?, args.name, false, args.terminal, global)
}
