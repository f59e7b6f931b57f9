//! Everything that is printed. The only user of `colored`; it starts nothing.
//!
//! `colored` always colours, and `anstream`, through which all is printed, takes the colour out
//! again where it is not wanted: in a pipe, with NO_COLOR, on a dumb terminal.

mod compare;
mod doctor;
mod explain;
mod html;
mod inspect;
mod layers;
mod lesson;
mod plan;
mod record;
mod table;
mod text;
mod usage;

use std::io::{BufRead, IsTerminal, Write};

use colored::Colorize;

use crate::error::Error;
use crate::plan::Planned;

pub(crate) use compare::{comparison, matrix, matrix_markdown};
pub use doctor::doctor;
pub use explain::{stage, stage_list, stages_json};
pub use html::{part_html, prediction_html};
pub use inspect::{inspection, running};
pub use layers::layers;
pub use lesson::{
    Tally, answer, learned, lesson_end, lesson_heading, lesson_line, part_heading, prediction,
    report, skipped, tally,
};
pub use plan::{event, plan, plan_json};
pub use record::{lesson_json, lesson_markdown, part_json, part_markdown};
pub use text::{width, wrap};
pub use usage::{over, usage};

/// Colour always, never, or (`None`) where it is wanted.
pub fn use_colour(colour: Option<bool>) {
    colored::control::set_override(true);
    match colour {
        Some(true) => anstream::ColorChoice::Always.write_global(),
        Some(false) => anstream::ColorChoice::Never.write_global(),
        None => anstream::ColorChoice::Auto.write_global(),
    }
}

/// An error and what to do about it, on stderr.
pub fn error(error: &Error) {
    anstream::eprintln!("{} {error}", "error:".red().bold());
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

/// Shows the next step and waits for Enter. `false` when the answer is `q` or the input ends.
pub fn ask_to_go_on(planned: &Planned) -> bool {
    anstream::eprint!(
        "{} {}\n  {}\n  {} ",
        planned.by.bold(),
        planned.step.call,
        planned.step.why.dimmed(),
        "Enter makes the call, q stops:".dimmed()
    );
    let _ = std::io::stderr().flush();
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    if !std::io::stdin().is_terminal() {
        anstream::eprintln!();
    }
    matches!(read, Ok(1..)) && answer.trim() != "q"
}

/// What `sandbox clean` took away, or would.
pub fn cleaned(names: &[String], dry_run: bool) -> String {
    let verb = if dry_run { "would be taken away" } else { "taken away" };
    if names.is_empty() {
        return "nothing was left behind\n".to_owned();
    }
    names.iter().map(|name| format!("{verb}: what the dead sandbox {name} left\n")).collect()
}
