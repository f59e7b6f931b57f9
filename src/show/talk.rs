//! The one place that writes: the answer on stdout, and what is said besides on stderr.
//!
//! Each writes at once, so that nothing is left to be written again by a child, and none panics.

use std::fmt::Display;
use std::io::{ErrorKind, Write};

use colored::Colorize;

use super::text::{printable, width, wrap};
use crate::error::Error;

/// The answer, or a part of it.
///
/// # Errors
/// [`Error::Unread`] when nobody reads it any more, and what else keeps it from being written.
pub fn print(text: impl Display) -> Result<(), Error> {
    let mut stdout = anstream::stdout().lock();
    match write!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Error::Unread),
        written => written.map_err(Error::io("write the answer")),
    }
}

/// The same, as a line.
///
/// # Errors
/// As for [`print()`].
pub fn line(text: impl Display) -> Result<(), Error> {
    print(format_args!("{text}\n"))
}

/// Something that is not the answer; where it cannot be said, it is not.
pub fn say(text: impl Display) {
    let mut stderr = anstream::stderr().lock();
    let _ = write!(stderr, "{text}").and_then(|()| stderr.flush());
}

/// An error and what to do about it, on stderr. That nobody reads is told to nobody.
pub fn error(error: &Error) {
    if let Error::Unread = error {
        return;
    }
    say(format_args!("{} {}\n", "error:".red().bold(), printable(&error.to_string())));
    if let Some(hint) = error.hint() {
        say(format_args!("\n{} {}\n", "hint:".cyan().bold(), hang(&hint, 6)));
    }
}

/// Something worth knowing that is not the answer, on stderr.
pub fn note(text: &str) {
    say(format_args!("{} {}\n", "note:".cyan(), hang(text, 6)));
}

fn hang(text: &str, indent: usize) -> String {
    let lines = wrap(text, width().saturating_sub(indent).max(20));
    lines.join(&format!("\n{}", " ".repeat(indent)))
}
