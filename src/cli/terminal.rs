//! Whose terminal a command has.

use clap::{Args, ValueEnum};

use crate::error::Error;
use crate::run::terminal::{self, Lent};
use crate::show;

#[derive(Args, Clone, Copy)]
pub(crate) struct TerminalArgs {
    /// Give the command a terminal of its own, or let it inherit the caller's, on which it can type too
    #[arg(long, value_name = "WHOSE", default_value = "own", help_heading = "The command")]
    tty: Whose,
}

/// Whose terminal a command has.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Whose {
    Own,
    Inherit,
}

/// Where things stand once the command may have its terminal.
pub(crate) enum Taken {
    /// All has been done, by a process with a terminal of its own. This was its exit status.
    Done(u8),
    /// It is to be done here. What was lent comes back when this is dropped.
    Here { _lent: Option<Lent> },
}

impl TerminalArgs {
    /// Takes the terminal for what follows. It may come back twice: see [`terminal::own`].
    pub(crate) fn take(self) -> Result<Taken, Error> {
        if self.tty == Whose::Own {
            return Ok(terminal::own()?.map_or(Taken::Here { _lent: None }, Taken::Done));
        }
        if terminal::is_there() {
            show::note(
                "the command has your own terminal: on kernels that allow it, it can type there as if \
                 it were you, and your shell will read that (TIOCSTI, see ioctl_tty(2))",
            );
        }
        Ok(Taken::Here { _lent: Some(terminal::lend()) })
    }

    /// Does this on the terminal, for who goes on afterwards. Returns the exit status.
    pub(crate) fn perform(self, act: impl FnOnce() -> Result<u8, Error>) -> Result<u8, Error> {
        let here = std::process::id();
        let taken = self.take();
        if std::process::id() == here {
            return match taken? {
                Taken::Done(status) => Ok(status),
                Taken::Here { _lent } => act(),
            };
        }
        let status = taken.and_then(|_| act()).unwrap_or_else(|error| {
            show::error(&error);
            error.exit_code()
        });
        std::process::exit(status.into())
    }
}
