//! What every subcommand understands.

use clap::{Args, ValueEnum};

use crate::error::Error;

/// The options of every subcommand.
#[derive(Args)]
pub(crate) struct Global {
    /// When to use colour
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: When,
    /// How to print what was found out
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: Format,
    /// Print each system call as it is made, with its result, on stderr
    #[arg(long, global = true)]
    pub(crate) trace: bool,
    /// Print what would be done, and do nothing
    #[arg(long, global = true)]
    pub(crate) dry_run: bool,
    /// End when this process does, which started this one
    #[arg(long, global = true, hide = true, value_name = "PID")]
    pub(crate) die_with_parent: Option<i32>,
}

/// When to use colour.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum When {
    Auto,
    Always,
    Never,
}

/// How to print what was found out.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Text,
    /// For programs: one object
    Json,
    /// For programs: an object a line, as it happens; only a lesson
    Jsonl,
    /// For books; only a lesson, and the matrix
    Markdown,
}

impl Global {
    /// Whether to print JSON.
    pub(crate) fn json(&self) -> Result<bool, Error> {
        let hint = "use `--format text` or `--format json`";
        match self.format {
            Format::Text => Ok(false),
            Format::Json => Ok(true),
            Format::Markdown => {
                Err(Error::usage("only `sandbox lesson` can be printed as Markdown", hint))
            }
            Format::Jsonl => {
                Err(Error::usage("only `sandbox lesson` can be printed as it happens", hint))
            }
        }
    }
}
