//! What is said besides the answer, on stderr.

use colored::Colorize;

use super::text::{printable, width, wrap};
use crate::error::Error;

/// An error and what to do about it, on stderr.
pub fn error(error: &Error) {
    anstream::eprintln!("{} {}", "error:".red().bold(), printable(&error.to_string()));
    if let Some(hint) = error.hint() {
        anstream::eprintln!("\n{} {}", "hint:".cyan().bold(), hang(&hint, 6));
    }
}

/// Something worth knowing that is not the answer, on stderr.
pub fn note(text: &str) {
    anstream::eprintln!("{} {}", "note:".cyan(), hang(text, 6));
}

fn hang(text: &str, indent: usize) -> String {
    let lines = wrap(text, width().saturating_sub(indent).max(20));
    lines.join(&format!("\n{}", " ".repeat(indent)))
}
