//! Everything that is printed. The only user of `colored`; it starts nothing.
//!
//! `colored` always colours, and `anstream`, through which all is printed, takes the colour out
//! again where it is not wanted: in a pipe, with NO_COLOR, on a dumb terminal.

mod clean;
mod compare;
mod doctor;
mod explain;
mod html;
mod inspect;
mod json;
mod layers;
mod lesson;
mod markdown;
mod plan;
mod table;
mod talk;
mod text;
mod usage;

pub use clean::{cleaned, stayed};
pub(crate) use compare::{comparison, matrix, matrix_markdown};
pub use doctor::doctor;
pub use explain::{stage, stage_list, stages_json};
pub use html::{part_html, prediction_html};
pub use inspect::{inspection, running};
pub use json::json;
pub use layers::{changes, kept, layers};
pub use lesson::{
    answer, learned, lesson_end, lesson_heading, lesson_line, part_heading, prediction, report,
    skipped, tally,
};
pub use markdown::{lesson_markdown, part_markdown};
pub use plan::{event, plan, plan_json, question};
pub use talk::{error, line, note, print, say};
pub use text::{width, wrap};
pub use usage::usage;

/// Colour always, never, or (`None`) where it is wanted.
pub fn use_colour(colour: Option<bool>) {
    colored::control::set_override(true);
    match colour {
        Some(true) => anstream::ColorChoice::Always.write_global(),
        Some(false) => anstream::ColorChoice::Never.write_global(),
        None => anstream::ColorChoice::Auto.write_global(),
    }
}
