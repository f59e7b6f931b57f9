//! Two isolation levels side by side, and all stages in a table.

use colored::Colorize;

use super::table::{Row, table};
use super::text::{fold, pad, width, wrap};
use crate::teach::matrix;
use crate::teach::pair::Pair;
use crate::teach::probe::{BUILT_IN, BuiltIn};

/// Two isolation levels side by side.
pub(crate) fn comparison(names: [&str; 2], rows: &[(BuiltIn, Pair)]) -> String {
    if rows.is_empty() {
        return "nothing differs\n".to_owned();
    }
    let rows: Vec<Row> = rows
        .iter()
        .map(|(probe, pair)| Row {
            prompt: "$ ",
            command: probe.command,
            remarks: Vec::new(),
            pair,
            list: probe.list,
            note: None,
        })
        .collect();
    table(names, &rows)
}

/// What each stage hides.
pub(crate) fn matrix(rows: &[matrix::Row]) -> String {
    let mut out = pad("", 12);
    for probe in BUILT_IN {
        out.push_str(&format!(" {}", probe.name.bold()));
    }
    out.push('\n');
    for row in rows {
        out.push_str(&pad(row.stage, 12).bold().to_string());
        match &row.isolates {
            Ok(isolates) => {
                for (probe, isolated) in BUILT_IN.iter().zip(isolates) {
                    let mark = pad(if *isolated { "yes" } else { "·" }, probe.name.len());
                    let mark = if *isolated { mark.green() } else { mark.dimmed() };
                    out.push_str(&format!(" {mark}"));
                }
                out.truncate(out.trim_end().len());
                out.push('\n');
            }
            Err(skip) => {
                let text = format!("not possible here: {}", skip.reason);
                let lines = wrap(&text, width().saturating_sub(13).max(20));
                out.push_str(&format!(" {}\n", lines.join(&format!("\n{}", " ".repeat(13)))));
            }
        }
    }
    out.push_str("\nyes  isolated by this stage; what it needs is on both sides\n·    shared\n\n");
    out.push_str("Measured just now, each probe with the stage and without it:\n\n");
    for probe in BUILT_IN {
        let lines = fold(probe.command, width().saturating_sub(12).max(20));
        let command = lines.join(&format!("\n{}", " ".repeat(12)));
        out.push_str(&format!("  {}{}\n", pad(probe.name, 10), command.dimmed()));
    }
    out
}

/// The same as a Markdown table.
pub(crate) fn matrix_markdown(rows: &[matrix::Row]) -> String {
    let names: Vec<&str> = BUILT_IN.iter().map(|probe| probe.name).collect();
    let mut out =
        format!("| stage | {} |\n|---{}|\n", names.join(" | "), "|---".repeat(names.len()));
    for row in rows {
        let cells: Vec<&str> = match &row.isolates {
            Ok(isolates) => isolates.iter().map(|yes| if *yes { "isolated" } else { "" }).collect(),
            Err(_) => vec!["not possible here"; names.len()],
        };
        out.push_str(&format!("| {} | {} |\n", row.stage, cells.join(" | ")));
    }
    out
}
