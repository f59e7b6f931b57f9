//! `sandbox completions`: a script that completes the command line.

use clap::Args;
use clap_complete::Shell;

use crate::error::Error;
use crate::show;

#[derive(Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

pub(crate) fn completions(args: CompletionsArgs, mut command: clap::Command) -> Result<u8, Error> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "sandbox", &mut script);
    show::print(String::from_utf8_lossy(&script))?;
    Ok(0)
}
