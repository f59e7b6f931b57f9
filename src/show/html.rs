//! A lesson part that was gone through, as HTML: for the pages of the book.

use rootfs_fetch::printable;

use super::lesson::{ALIKE, prompt};
use super::table::complete;
use crate::teach::attacks;
use crate::teach::lesson::Part;
use crate::teach::pair::{Outcome, Pair};
use crate::teach::report::{CallReport, ClaimReport, PartReport, PredictionReport};

/// With more calls than these, they are behind a fold.
const MANY: usize = 10;

/// The most lines of output that a cell shows.
const LINES: usize = 16;

/// What a part showed and proved: a table with both sides of each command, and the claims. No line of
/// it is empty, so that it may stand in Markdown.
pub fn part_html(part: &Part, report: &PartReport) -> String {
    if let Some(skip) = &report.skipped {
        let fix = match &skip.fix {
            Some(fix) => format!(" What would allow it: {}.", text(fix)),
            None => String::new(),
        };
        return format!("<p class=\"skipped\">skipped: {}.{fix}</p>\n", text(&skip.reason));
    }
    let mut out = calls(&report.calls);
    let probes = part.probes.iter().zip(&report.probes).map(|(probe, found)| Row {
        prompt: "$ ",
        command: &found.command,
        pair: &found.pair,
        id: None,
        attack: None,
        note: probe.note.as_deref(),
    });
    let probes: Vec<Row> = probes.collect();
    if !probes.is_empty() {
        out.push_str(&table("on the machine itself", part, &probes));
    }
    for (experiment, found) in part.experiments.iter().zip(&report.experiments) {
        let title = match experiment.containers {
            None => format!("{}, on a stand-in host", found.title),
            Some(_) => found.title.clone(),
        };
        let steps = found.steps.iter().map(|step| Row {
            prompt: prompt(step.place),
            command: &step.command,
            pair: &step.pair,
            id: step.id.as_deref(),
            attack: step.attack.as_deref(),
            note: None,
        });
        out.push_str(&table(&title, part, &steps.collect::<Vec<_>>()));
    }
    let claims: String = report.claims.iter().map(claim).collect();
    out + &format!("<ul class=\"claims\">\n{claims}</ul>\n")
}

/// The question that a part asks before looking, with the answers behind a fold.
pub fn prediction_html(predict: &PredictionReport) -> String {
    if predict.options.is_empty() {
        return String::new();
    }
    let asked = predict.options.iter().map(|option| format!("<li>{}</li>\n", text(&option.says)));
    let answered = predict.options.iter().map(|option| {
        let verdict = if option.right { "Right." } else { "Not so." };
        format!("<li><strong>{verdict}</strong> {}</li>\n", text(&option.because))
    });
    format!(
        "<div class=\"predict\">\n<p>Before you look: {}</p>\n<ol>\n{}</ol>\n\
         <details><summary>The answers</summary>\n<ol>\n{}</ol>\n</details>\n</div>\n",
        text(&predict.ask),
        asked.collect::<String>(),
        answered.collect::<String>()
    )
}

fn calls(calls: &[CallReport]) -> String {
    if calls.is_empty() {
        return String::new();
    }
    let mut lines = String::new();
    for group in calls.chunk_by(|a, b| a.why == b.why) {
        for call in group.iter().take(ALIKE) {
            lines.push_str(&format!("{}\n", pre(&call.call)));
        }
        if group.len() > ALIKE {
            lines.push_str(&format!("… and {} more like these\n", group.len() - ALIKE));
        }
        let why = group.first().map_or("", |call| call.why.as_str());
        lines.push_str(&format!("<span class=\"why\">    {}</span>\n", text(why)));
    }
    let (count, title) = (calls.len(), "system calls this part adds");
    let lines = format!("<pre class=\"calls\">{}</pre>", lines.trim_end());
    if count > MANY {
        return format!("<details><summary>{count} {title}</summary>\n{lines}\n</details>\n");
    }
    format!("<p class=\"calls-title\">{title}</p>\n{lines}\n")
}

/// A command, what came out on both sides, and what there is to know about it.
struct Row<'a> {
    prompt: &'static str,
    command: &'a str,
    pair: &'a Pair,
    id: Option<&'a str>,
    attack: Option<&'a str>,
    note: Option<&'a str>,
}

/// The heading of a side, and where its outcomes are.
type Side<'a> = (&'a str, fn(&Pair) -> Option<&Outcome>);

/// Both sides; one that no row has needs no column.
fn table(title: &str, part: &Part, rows: &[Row]) -> String {
    let without: Side = (&part.without.name, |pair| pair.without.as_ref());
    let with: Side = (&part.with.name, |pair| pair.with.as_ref());
    let is_there = |(_, side): &Side| rows.iter().any(|row| side(row.pair).is_some());
    let sides: Vec<Side> = [without, with].into_iter().filter(is_there).collect();
    let heads = sides.iter().map(|(name, _)| format!("<th scope=\"col\">{}</th>", text(name)));
    format!(
        "<table class=\"sides\">\n<caption>{}</caption>\n<thead><tr>{}</tr></thead>\n<tbody>\n{}\
         </tbody>\n</table>\n",
        text(title),
        heads.collect::<String>(),
        rows.iter().map(|row| row.html(&sides)).collect::<String>()
    )
}

impl Row<'_> {
    fn html(&self, sides: &[Side]) -> String {
        let mark = match self.pair.changed {
            Some(true) => "<span class=\"mark changed\">changed</span>",
            Some(false) => "<span class=\"mark same\">SAME</span>",
            None => "",
        };
        let span = |class: &str, says: Option<&str>| match says {
            Some(says) => format!("<span class=\"{class}\">{}</span>", text(says)),
            None => String::new(),
        };
        let attack = self.attack.and_then(attacks::find);
        let cells = sides.iter().map(|(name, side)| match side(self.pair) {
            None => format!("<td data-side=\"{}\" class=\"none\">not run</td>", text(name)),
            Some(outcome) => {
                format!("<td data-side=\"{}\"><pre>{}</pre></td>", text(name), cell(outcome))
            }
        });
        format!(
            "<tr><th colspan=\"{}\" scope=\"rowgroup\">{mark}{}{}<code>{}{}</code>{}</th></tr>\n\
             <tr>{}</tr>\n",
            sides.len(),
            span("id", self.id),
            span("id", attack.map(|attack| attack.about)),
            self.prompt,
            pre(self.command.trim_end()),
            span("note", self.note),
            cells.collect::<String>()
        )
    }
}

/// What came out.
fn cell(outcome: &Outcome) -> String {
    let all = format!("{}{}", outcome.stdout, outcome.stderr);
    let mut lines: Vec<String> = all.lines().map(|line| line.trim_end().to_owned()).collect();
    complete(&mut lines, LINES, outcome.status);
    pre(&lines.join("\n"))
}

fn claim(claim: &ClaimReport) -> String {
    let says = text(&claim.says);
    if claim.holds {
        format!("<li class=\"holds\">{says}</li>\n")
    } else {
        format!("<li class=\"fails\">{says}: <strong>this does not hold here</strong></li>\n")
    }
}

/// Text as HTML, in one line; what stands between backticks is code.
fn text(text: &str) -> String {
    let pieces = pre(text).replace('\n', " ");
    let mut out = String::new();
    for (i, piece) in pieces.split('`').enumerate() {
        let tags = if i % 2 == 1 { ("<code>", "</code>") } else { ("", "") };
        out.push_str(&format!("{}{piece}{}", tags.0, tags.1));
    }
    out
}

/// Text as HTML, as it can be printed, and without an empty line.
fn pre(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' if out.ends_with('\n') || out.is_empty() => out.push_str("&#10;"),
            '\n' | '\t' => out.push(c),
            c => out.push_str(&printable(c.encode_utf8(&mut [0; 4]).as_bytes())),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::pre;

    #[test]
    fn what_stands_between_backticks_is_code() {
        assert_eq!(super::text("run `a<b` now"), "run <code>a&lt;b</code> now");
    }

    #[test]
    fn no_output_becomes_markup_or_ends_the_html() {
        assert_eq!(pre("<b>&\"\x1b[1m"), "&lt;b&gt;&amp;&quot;\\x1b[1m");
        assert_eq!(pre("a\n\n\nb"), "a\n&#10;\nb");
    }
}
