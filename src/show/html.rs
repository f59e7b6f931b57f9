//! A lesson part that was gone through, as HTML: for the pages of the book.

use serde_json::Value;

use super::lesson::ALIKE;
use super::table::complete;
use crate::teach::attacks;
use crate::teach::lesson::Part;

/// With more calls than these, they are behind a fold.
const MANY: usize = 10;

/// The most lines of output that a cell shows.
const LINES: usize = 16;

/// What a part showed and proved: a table with both sides of each command, and the claims. `result`
/// is the part as in the JSON form of `sandbox lesson --format json`. No line of it is empty, so
/// that it may stand in Markdown.
pub fn part_html(part: &Part, result: &Value) -> String {
    if let Some(reason) = result["skipped"]["reason"].as_str() {
        let fix = result["skipped"]["fix"].as_str();
        let fix = fix.map_or(String::new(), |fix| format!(" What would allow it: {}.", text(fix)));
        return format!("<p class=\"skipped\">skipped: {}.{fix}</p>\n", text(reason));
    }
    let sides = [("without", part.without.name.as_str()), ("with", part.with.name.as_str())];
    let mut out = calls(&result["calls"]);
    let probes = list(&result["probes"]).iter().zip(&part.probes);
    let probes = probes.map(|(pair, probe)| Row {
        prompt: "$",
        pair,
        id: None,
        note: probe.note.as_deref(),
    });
    let probes: Vec<Row> = probes.collect();
    if !probes.is_empty() {
        out.push_str(&table("on the machine itself", sides, &probes));
    }
    for (experiment, of) in list(&result["experiments"]).iter().zip(&part.experiments) {
        let title = experiment["title"].as_str().unwrap_or_default();
        let title = match of.containers {
            None => format!("{title}, on a stand-in host"),
            Some(_) => title.to_owned(),
        };
        let steps = list(&experiment["steps"]).iter().map(|pair| {
            let prompt = match pair["in"].as_str() {
                Some("host") => "host $",
                Some("joined") => "joined $",
                _ => "sandbox $",
            };
            Row { prompt, pair, id: pair["id"].as_str(), note: None }
        });
        out.push_str(&table(&title, sides, &steps.collect::<Vec<_>>()));
    }
    let claims = list(&result["claims"]).iter().map(claim);
    out + &format!("<ul class=\"claims\">\n{}</ul>\n", claims.collect::<String>())
}

/// The question that a part asks before looking, with the answers behind a fold.
pub fn prediction_html(result: &Value) -> String {
    let options = list(&result["predict"]["options"]);
    if options.is_empty() {
        return String::new();
    }
    let said = |value: &Value| text(value.as_str().unwrap_or_default());
    let asked = options.iter().map(|option| format!("<li>{}</li>\n", said(&option["says"])));
    let answered = options.iter().map(|option| {
        let verdict = if option["right"] == true { "Right." } else { "Not so." };
        format!("<li><strong>{verdict}</strong> {}</li>\n", said(&option["because"]))
    });
    format!(
        "<div class=\"predict\">\n<p>Before you look: {}</p>\n<ol>\n{}</ol>\n\
         <details><summary>The answers</summary>\n<ol>\n{}</ol>\n</details>\n</div>\n",
        said(&result["predict"]["ask"]),
        asked.collect::<String>(),
        answered.collect::<String>()
    )
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn calls(calls: &Value) -> String {
    let calls = list(calls);
    if calls.is_empty() {
        return String::new();
    }
    let count = calls.len();
    let mut lines = String::new();
    for group in calls.chunk_by(|a, b| a["why"] == b["why"]) {
        for call in group.iter().take(ALIKE) {
            lines.push_str(&format!("{}\n", pre(call["call"].as_str().unwrap_or_default())));
        }
        if group.len() > ALIKE {
            lines.push_str(&format!("… and {} more like these\n", group.len() - ALIKE));
        }
        let why = group.first().and_then(|call| call["why"].as_str()).unwrap_or_default();
        lines.push_str(&format!("<span class=\"why\">    {}</span>\n", text(why)));
    }
    let title = "system calls this part adds";
    let lines = format!("<pre class=\"calls\">{}</pre>", lines.trim_end());
    if count > MANY {
        return format!("<details><summary>{count} {title}</summary>\n{lines}\n</details>\n");
    }
    format!("<p class=\"calls-title\">{title}</p>\n{lines}\n")
}

/// A command, what came out on both sides, and what there is to know about it.
struct Row<'a> {
    prompt: &'static str,
    pair: &'a Value,
    id: Option<&'a str>,
    note: Option<&'a str>,
}

/// The sides, by their key in the result and their name; one that no row has needs no column.
fn table(title: &str, sides: [(&str, &str); 2], rows: &[Row]) -> String {
    let there = |(key, _): &(&str, &str)| rows.iter().any(|row| !row.pair[*key].is_null());
    let sides: Vec<(&str, &str)> = sides.into_iter().filter(there).collect();
    let heads = sides.iter().map(|(_, name)| format!("<th scope=\"col\">{}</th>", text(name)));
    format!(
        "<table class=\"sides\">\n<caption>{}</caption>\n<thead><tr>{}</tr></thead>\n<tbody>\n{}\
         </tbody>\n</table>\n",
        text(title),
        heads.collect::<String>(),
        rows.iter().map(|row| row.html(&sides)).collect::<String>()
    )
}

impl Row<'_> {
    fn html(&self, sides: &[(&str, &str)]) -> String {
        let mark = match self.pair["changed"].as_bool() {
            Some(true) => "<span class=\"mark changed\">changed</span>",
            Some(false) => "<span class=\"mark same\">SAME</span>",
            None => "",
        };
        let span = |class: &str, says: Option<&str>| {
            let html = |says| format!("<span class=\"{class}\">{}</span>", text(says));
            says.map_or(String::new(), html)
        };
        let attack = self.pair["attack"].as_str().and_then(attacks::find);
        let cells = sides.iter().map(|(key, name)| match &self.pair[*key] {
            Value::Null => format!("<td data-side=\"{}\" class=\"none\">not run</td>", text(name)),
            outcome => {
                format!("<td data-side=\"{}\"><pre>{}</pre></td>", text(name), cell(outcome))
            }
        });
        format!(
            "<tr><th colspan=\"{}\" scope=\"rowgroup\">{mark}{}{}<code>{} {}</code>{}</th></tr>\n\
             <tr>{}</tr>\n",
            sides.len(),
            span("id", self.id),
            span("id", attack.map(|attack| attack.about)),
            self.prompt,
            pre(self.pair["command"].as_str().unwrap_or_default().trim_end()),
            span("note", self.note),
            cells.collect::<String>()
        )
    }
}

/// What came out.
fn cell(outcome: &Value) -> String {
    let said = |stream: &str| outcome[stream].as_str().unwrap_or_default();
    let all = format!("{}{}", said("stdout"), said("stderr"));
    let mut lines: Vec<String> = all.lines().map(|line| line.trim_end().to_owned()).collect();
    complete(&mut lines, LINES, outcome["status"].as_u64().unwrap_or(0));
    pre(&lines.join("\n"))
}

fn claim(claim: &Value) -> String {
    let says = text(claim["says"].as_str().unwrap_or_default());
    if claim["holds"] == true {
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

/// Text as HTML; no control character, and no empty line.
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
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
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
        assert_eq!(pre("<b>&\"\x1b[1m"), "&lt;b&gt;&amp;&quot;\u{fffd}[1m");
        assert_eq!(pre("a\n\n\nb"), "a\n&#10;\nb");
    }
}
