//! `sandbox completions`: a script that completes the command line.

use clap::Args;
use clap_complete::Shell;

use crate::error::Error;

#[derive(Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

pub(crate) fn completions(args: CompletionsArgs, mut command: clap::Command) -> Result<u8, Error> {
    clap_complete::generate(args.shell, &mut command, "sandbox", &mut std::io::stdout());
    Ok(0)
}
