//! A lesson on the terminal.

use colored::Colorize;

use super::table::{Row, table};
use super::text::{pad, width, word, wrap};
use crate::teach::attacks;
use crate::teach::lesson::{Lesson, Part, Place, Prediction};
use crate::teach::report::{CallReport, PartReport, PredictionReport, Skip, StepReport, Tally};

/// How many calls with the same reason are shown before the rest is only counted.
pub(crate) const ALIKE: usize = 3;

/// The beginning of a lesson.
pub fn lesson_heading(lesson: &Lesson) -> String {
    let title = format!("Lesson {}  {}", lesson.lesson, word(&lesson.title));
    format!("{}\n\n{}\n", title.bold(), paragraph(&lesson.about, 2))
}

/// The beginning of a part: what the student should know before looking.
pub fn part_heading(lesson: &Lesson, number: usize, part: &Part) -> String {
    let place = format!("part {number} of {}", lesson.parts.len());
    let title = format!("{}.{number}  {}", lesson.lesson, word(&part.title));
    let room = width().saturating_sub(place.len());
    let rule = "─".repeat(width());
    let head = format!("{}{}", pad(&title, room).bold(), place.dimmed());
    format!("{}\n{head}\n\n{}\n", rule.dimmed(), paragraph(&part.explain, 2))
}

/// A question.
pub fn prediction(predict: &Prediction) -> String {
    let mut out = paragraph(&format!("Before you look: {}", predict.ask), 2);
    for (i, option) in predict.options.iter().enumerate() {
        out.push_str(&format!("    {}  {}\n", (i + 1).to_string().bold(), word(&option.says)));
    }
    out
}

/// Why a part cannot be done here.
pub fn skipped(skip: &Skip) -> String {
    let mut out = paragraph(&format!("skipped: {}", skip.reason), 2).yellow().to_string();
    if let Some(fix) = &skip.fix {
        out.push_str(&paragraph(&format!("what would allow it: {fix}"), 2));
    }
    out + "\n"
}

/// What a part did, showed and proved.
pub fn report(part: &Part, report: &PartReport) -> String {
    let names = [part.without.name.as_str(), part.with.name.as_str()];
    let mut out = calls(&report.calls);
    let rows: Vec<Row> = (part.probes.iter().zip(&report.probes))
        .map(|(probe, found)| Row {
            prompt: "$ ",
            command: &found.command,
            remarks: Vec::new(),
            pair: &found.pair,
            list: probe.list,
            note: probe.note.as_deref(),
        })
        .collect();
    if !rows.is_empty() {
        out.push_str(&table(names, &rows));
        out.push('\n');
    }
    for (experiment, found) in part.experiments.iter().zip(&report.experiments) {
        let title = match experiment.containers {
            None => format!("{}, on a stand-in host", found.title),
            Some(_) => found.title.clone(),
        };
        out.push_str(&paragraph(&title, 2).underline().to_string());
        let steps = experiment.steps.iter().zip(&found.steps);
        let rows: Vec<Row> = steps.map(|(step, found)| row(step.list, found)).collect();
        out.push_str(&table(names, &rows));
        out.push('\n');
    }
    for claim in &report.claims {
        out.push_str(&claim_line(&claim.says, claim.holds));
    }
    out + "\n"
}

/// What stands before a command, to say where it ran.
pub(super) fn prompt(place: Place) -> &'static str {
    match place {
        Place::Host => "host $ ",
        Place::Sandbox => "sandbox $ ",
        Place::Joined => "joined $ ",
    }
}

fn row(list: bool, step: &StepReport) -> Row<'_> {
    let mut remarks: Vec<String> = step.id.iter().cloned().collect();
    if let Some(attack) = step.attack.as_deref().and_then(attacks::find) {
        let steps = [(attack.before)(), (attack.inside)()].concat();
        let calls: Vec<String> = steps.iter().map(|step| step.call.to_string()).collect();
        let name = step.id.as_ref().unwrap_or(&step.command);
        remarks = vec![format!("{name}: {}", attack.about), calls.join("; ")];
    }
    let (prompt, command) = (prompt(step.place), step.command.as_str());
    Row { prompt, command, remarks, pair: &step.pair, list, note: None }
}

fn claim_line(says: &str, holds: bool) -> String {
    let mark = if holds { "✔".green() } else { "✘".red().bold() };
    let says = if holds { says.to_owned() } else { format!("{says}: this does not hold here") };
    let lines = wrap(&says, width().saturating_sub(4).max(20));
    format!("  {mark} {}\n", lines.join("\n    "))
}

/// The calls that a part adds: each reason once, below the calls that share it.
fn calls(calls: &[CallReport]) -> String {
    if calls.is_empty() {
        return String::new();
    }
    let mut out = format!("  {}\n", "system calls this part adds".underline());
    for group in calls.chunk_by(|a, b| a.why == b.why) {
        for call in group.iter().take(ALIKE) {
            let lines = wrap(&call.call, width().saturating_sub(8).max(20));
            out.push_str(&format!("    {}\n", lines.join("\n        ")));
        }
        if group.len() > ALIKE {
            out.push_str(&format!("    … and {} more like these\n", group.len() - ALIKE));
        }
        let why = group.first().map_or("", |call| call.why.as_str());
        let lines = wrap(why, width().saturating_sub(8).max(20));
        lines.iter().for_each(|line| out.push_str(&format!("        {}\n", line.dimmed())));
    }
    out + "\n"
}

/// What was right, and a word on the answer that was given, if one was.
pub fn answer(predict: &PredictionReport, given: Option<usize>) -> String {
    let mut out = String::new();
    if let Some((at, option)) = given.and_then(|at| Some((at, predict.options.get(at)?))) {
        let verdict = if option.right { "right" } else { "not so" };
        let said = format!("You said {}: {verdict}. {}", at + 1, option.because);
        out.push_str(&paragraph(&said, 2));
    }
    if !predict.options.iter().any(|option| option.right) {
        out.push_str(&paragraph("None of the answers fits what this machine showed.", 2));
    }
    for (at, option) in predict.options.iter().enumerate() {
        if option.right && Some(at) != given {
            let begin = if given.is_some() { "It was" } else { "Answer:" };
            let text = format!("{begin} {}, {}. {}", at + 1, option.says, option.because);
            out.push_str(&paragraph(&text, 2));
        }
    }
    out
}

/// What to make of a part.
pub fn learned(part: &Part) -> String {
    format!("{}\n", paragraph(&part.learned, 2))
}

/// The end of a lesson.
pub fn lesson_end(lesson: &Lesson) -> String {
    let mut out = format!("{}\n", "─".repeat(width()).dimmed());
    let mut section = |title: &str, text: &str| {
        out.push_str(&format!("{}\n{}\n", title.bold(), paragraph(text, 2)));
    };
    section("Still leaks", &lesson.leaks);
    section("What container runtimes do", &lesson.runtimes);
    out.push_str(&format!("{}\n", "Exercises".bold()));
    for (i, exercise) in lesson.exercises.iter().enumerate() {
        let lines = wrap(exercise, width().saturating_sub(5).max(20));
        out.push_str(&format!("  {}  {}\n", i + 1, lines.join("\n     ")));
    }
    out.push_str(&format!("\n{}\n{}", "To read".bold(), paragraph(&lesson.read.join(", "), 2)));
    out + "\n"
}

/// The last lines: how it went, and what is still there that should not be.
pub fn tally(tally: &Tally, left_behind: &[String]) -> String {
    let count = |n: usize, what: &str| format!("{n} {what}");
    let failed = count(tally.failed, "failed");
    let failed = if tally.failed > 0 { failed.red().bold().to_string() } else { failed };
    let mut out = format!("{}, {failed}", count(tally.held, "claims held"));
    if tally.skipped > 0 {
        out.push_str(&format!(", {}", count(tally.skipped, "skipped").yellow()));
    }
    out.push('\n');
    for name in left_behind {
        out.push_str(&format!("left behind: {}; `sandbox clean` takes it away\n", word(name)));
    }
    out
}

/// A lesson of the list, and why it cannot be done here.
pub fn lesson_line(
    lesson: &Lesson,
    done: usize,
    skipped: &[(String, Skip)],
    error: Option<&str>,
) -> String {
    let parts = match (done, lesson.parts.len()) {
        (0, parts) => format!("{parts} parts"),
        (done, parts) if done >= parts => format!("{parts} parts, all done"),
        (done, parts) => format!("{parts} parts, {done} done"),
    };
    let name = format!("{:>2}  {}", lesson.lesson, pad(&lesson.slug, 14));
    let mut out = format!("{}{}  ({parts})\n", name.bold(), word(&lesson.title));
    let mut remark = |text: &str| {
        let lines = wrap(text, width().saturating_sub(6).max(20));
        lines.iter().for_each(|line| out.push_str(&format!("      {}\n", line.yellow())));
    };
    if let Some(error) = error {
        remark(&format!("not here: {error}"));
    }
    for group in skipped.chunk_by(|a, b| a.1 == b.1) {
        let parts: Vec<&str> = group.iter().map(|(part, _)| part.as_str()).collect();
        let noun = if parts.len() == 1 { "part" } else { "parts" };
        let reason = group.first().map_or("", |(_, skip)| &skip.reason);
        remark(&format!("without the {noun} {}: {reason}", parts.join(", ")));
    }
    out
}

fn paragraph(text: &str, indent: usize) -> String {
    // Longer lines than this are hard to read, on whatever terminal.
    let room = width().min(92).saturating_sub(indent).max(20);
    let line = |line: &String| format!("{}{line}", " ".repeat(indent)).trim_end().to_owned() + "\n";
    wrap(text, room).iter().map(line).collect()
}
