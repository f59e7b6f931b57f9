//! Two sides of the same commands: beside each other where there is room, else one below the
//! other.

use colored::Colorize;

use super::text::{cut, fold, pad, width, wrap};
use crate::teach::pair::{Outcome, Pair};

/// The narrowest terminal on which two sides stand beside each other, in columns.
const SIDE_BY_SIDE: usize = 100;

/// The columns for the word `changed` or `SAME`.
const MARK: usize = 7;

/// The most lines of output that a cell shows.
const LINES: usize = 8;

/// A command and what came out on both sides.
pub(crate) struct Row<'a> {
    /// What stands before the command, as in `$ `.
    pub(crate) prompt: &'static str,
    /// The command.
    pub(crate) command: &'a str,
    /// What there is to know before reading it, a line each.
    pub(crate) remarks: Vec<String>,
    /// What came out.
    pub(crate) pair: &'a Pair,
    /// Whether it is a list of names, which may stand beside each other.
    pub(crate) list: bool,
    /// Why.
    pub(crate) note: Option<&'a str>,
}

/// The table. `names` are the headings of the two sides.
pub(crate) fn table(names: [&str; 2], rows: &[Row]) -> String {
    let width = width();
    // A side that no row has needs no column.
    let one_side =
        |side: fn(&Pair) -> &Option<Outcome>| rows.iter().all(|r| side(r.pair).is_none());
    let hidden = [one_side(|pair| &pair.without), one_side(|pair| &pair.with)];
    if width >= SIDE_BY_SIDE && hidden == [false, false] {
        beside(names, rows, width)
    } else {
        rows.iter().map(|row| stacked(names, row, width)).collect()
    }
}

fn beside(names: [&str; 2], rows: &[Row], width: usize) -> String {
    let widest = rows.iter().map(|row| row.prompt.len() + row.command.chars().count()).max();
    let label = widest.unwrap_or(0).clamp(16, width * 3 / 10);
    let side = (width - 2 - label - MARK - 6) / 2;
    let heading = |name: &str| pad(&cut(name, side), side).underline().to_string();
    let line = |a: &str, b: String, c: String, mark: String| {
        let line = format!("  {a}  {b}  {c}  {mark}");
        format!("{}\n", line.trim_end())
    };
    let blank = " ".repeat(label);
    let mut out = line(&blank, heading(names[0]), heading(names[1]), String::new());
    for row in rows {
        out.push_str(&remarks(row, width));
        let left = cell(row.pair.without.as_ref(), row.list, side);
        let right = cell(row.pair.with.as_ref(), row.list, side);
        let commands = command(row, label);
        for i in 0..left.len().max(right.len()).max(commands.len()) {
            let first = commands.get(i).unwrap_or(&blank);
            let text = |lines: &[String]| pad(lines.get(i).map_or("", String::as_str), side);
            let mark = if i == 0 { mark(row.pair) } else { String::new() };
            out.push_str(&line(first, text(&left), text(&right), mark));
        }
        out.push_str(&note(row.note, width));
    }
    out
}

fn stacked(names: [&str; 2], row: &Row, width: usize) -> String {
    let room = width.saturating_sub(2 + MARK + 2).max(20);
    let mut out = remarks(row, width);
    for (i, text) in command(row, room).iter().enumerate() {
        let mark = if i == 0 { mark(row.pair) } else { String::new() };
        out.push_str(&format!("{}\n", format!("  {text}  {mark}").trim_end()));
    }
    let sides = [(names[0], &row.pair.without), (names[1], &row.pair.with)];
    let longest = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).min(24);
    for (name, outcome) in sides {
        let Some(outcome) = outcome else { continue };
        let cell = cell(Some(outcome), row.list, width.saturating_sub(longest + 6).max(20));
        for (i, text) in cell.iter().enumerate() {
            let name = if i == 0 { cut(name, longest) } else { String::new() };
            let line = format!("    {}  {text}", pad(&name, longest).dimmed());
            out.push_str(&format!("{}\n", line.trim_end()));
        }
    }
    out.push_str(&note(row.note, width));
    out
}

/// The command with its prompt, in lines that are `width` columns wide.
fn command(row: &Row, width: usize) -> Vec<String> {
    let room = width - row.prompt.len();
    let lines: Vec<String> =
        row.command.trim_end().lines().flat_map(|line| fold(line, room)).collect();
    let line = |(i, text): (usize, &String)| {
        let prompt = if i == 0 { row.prompt.to_owned() } else { " ".repeat(row.prompt.len()) };
        format!("{}{}", prompt.dimmed(), pad(text, room).bold())
    };
    lines.iter().enumerate().map(line).collect()
}

fn remarks(row: &Row, width: usize) -> String {
    let lines = row.remarks.iter().flat_map(|text| wrap(text, width.saturating_sub(6).max(20)));
    lines.map(|line| format!("  {}\n", format!("# {line}").dimmed())).collect()
}

fn note(note: Option<&str>, width: usize) -> String {
    let lines = note.map_or(Vec::new(), |note| wrap(note, width.saturating_sub(8).max(20)));
    lines.iter().map(|line| format!("      {}\n", line.italic().dimmed())).collect()
}

fn mark(pair: &Pair) -> String {
    match pair.changed {
        Some(true) => "changed".green().bold().to_string(),
        Some(false) => "SAME".yellow().bold().to_string(),
        None => String::new(),
    }
}

/// What came out, in lines of at most `width` columns; of a list, the names one after another.
pub(crate) fn cell(outcome: Option<&Outcome>, list: bool, width: usize) -> Vec<String> {
    let Some(outcome) = outcome else { return vec!["-".to_owned()] };
    let text = format!("{}{}", outcome.stdout, outcome.stderr);
    let mut lines: Vec<String> = match list {
        true if !text.trim().is_empty() => wrap(&text, width),
        _ => text.lines().flat_map(|line| fold(line, width)).collect(),
    };
    complete(&mut lines, LINES, outcome.status);
    lines.iter().map(|line| cut(line, width)).collect()
}

/// At most `most` lines, silence in words, and the exit status of what failed.
pub(crate) fn complete(lines: &mut Vec<String>, most: usize, status: u8) {
    if lines.len() > most {
        let more = lines.len() - (most - 1);
        lines.truncate(most - 1);
        lines.push(format!("… {more} more lines"));
    }
    if lines.is_empty() {
        lines.push("(prints nothing)".to_owned());
    }
    if status != 0 {
        lines.push(format!("[exit status {status}]"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(stdout: &str, status: u8) -> Outcome {
        Outcome { stdout: stdout.to_owned(), stderr: String::new(), status }
    }

    #[test]
    fn a_list_of_names_becomes_running_text_and_other_lines_stay() {
        let names = outcome("bin\netc\nproc\n", 0);
        assert_eq!(cell(Some(&names), true, 20), ["bin etc proc"]);
        assert_eq!(cell(Some(&names), false, 20), ["bin", "etc", "proc"]);
        assert_eq!(cell(Some(&outcome("\na\n", 0)), false, 20), ["", "a"]);
    }

    #[test]
    fn silence_and_failure_are_said_in_words() {
        assert_eq!(cell(Some(&outcome("", 0)), true, 20), ["(prints nothing)"]);
        assert_eq!(cell(Some(&outcome("no\n", 3)), false, 20), ["no", "[exit status 3]"]);
    }

    #[test]
    fn escape_sequences_do_not_reach_the_terminal() {
        let words = outcome("a\x1b[2J\nb\nc\n", 0);
        assert_eq!(cell(Some(&words), false, 20), [r"a\x1b[2J", "b", "c"]);
        assert_eq!(cell(Some(&words), true, 20), [r"a\x1b[2J b c"]);
    }
}
