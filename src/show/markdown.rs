//! A lesson as Markdown, for books and blackboards.

use super::table::cell;
use super::text::printable;
use crate::teach::attacks;
use crate::teach::lesson::{Lesson, Part, Side};
use crate::teach::pair::{Outcome, Pair};
use crate::teach::report::PartReport;

/// The beginning of a lesson as Markdown.
pub fn lesson_markdown(lesson: &Lesson) -> String {
    format!("# Lesson {}: {}\n\n{}\n", lesson.lesson, lesson.title, lesson.about)
}

/// A part that was gone through, as Markdown.
pub fn part_markdown(number: usize, part: &Part, report: &PartReport) -> String {
    let mut out = format!("## {number}. {}\n\n{}\n", part.title, part.explain);
    if let Some(skip) = &report.skipped {
        return format!("{out}Skipped: {}\n\n", printable(&skip.reason));
    }
    if !report.calls.is_empty() {
        let calls = report.calls.iter().map(|call| format!("{}\n", call.call));
        out.push_str(&format!("```c\n{}```\n\n", calls.collect::<String>()));
    }
    for (probe, found) in part.probes.iter().zip(&report.probes) {
        out.push_str(&pair_markdown(part, &found.command, &found.pair, probe.list));
    }
    for (told, experiment) in part.experiments.iter().zip(&report.experiments) {
        out.push_str(&format!("On a stand-in host: {}\n\n", experiment.title));
        for (told, step) in told.steps.iter().zip(&experiment.steps) {
            let run = match step.attack.as_deref().and_then(attacks::find) {
                Some(attack) => format!("{}    # after: {}", step.command, attack.about),
                None => step.command.clone(),
            };
            out.push_str(&pair_markdown(part, &run, &step.pair, told.list));
        }
    }
    for claim in &report.claims {
        let verdict = if claim.holds { "holds" } else { "**does not hold**" };
        out.push_str(&format!("- {verdict}: {}\n", claim.says));
    }
    format!("{out}\n{}\n", part.learned)
}

fn pair_markdown(part: &Part, command: &str, pair: &Pair, list: bool) -> String {
    let side = |side: &Side, outcome: &Option<Outcome>| match outcome {
        None => String::new(),
        Some(outcome) => {
            let lines = cell(Some(outcome), list, 100).join("\n");
            let fence = fence(&lines);
            let command = command.trim_end();
            format!("{}:\n\n{fence}console\n$ {command}\n{lines}\n{fence}\n\n", side.name)
        }
    };
    let mark = match pair.changed {
        Some(true) => "Changed.\n\n",
        Some(false) => "The same.\n\n",
        None => "",
    };
    let sides = [side(&part.without, &pair.without), side(&part.with, &pair.with)];
    format!("{}{mark}", sides.concat())
}

/// A fence that nothing in `text` ends.
fn fence(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    "`".repeat(longest.max(2) + 1)
}
