//! Stages in words.

use colored::Colorize;
use serde::Serialize;

use super::json::json;
use super::text::{pad, width, wrap};
use crate::stages::stage::Stage;

/// One stage: what it is, isolates and leaks, and where to read on.
pub fn stage(stage: &dyn Stage) -> String {
    let about = stage.about();
    let mut out = format!("{}  {}\n\n", stage.name().bold(), about.title);
    let mut row = |name: &str, text: &str| {
        let room = width().saturating_sub(14).max(20);
        let lines = wrap(text, room);
        let indent = format!("\n{}", " ".repeat(12));
        out.push_str(&format!("  {}{}\n", pad(name, 10).dimmed(), lines.join(&indent)));
    };
    row("isolates", about.isolates);
    row("leaks", about.leaks);
    if !stage.needs().is_empty() {
        row("needs", &stage.needs().join(", "));
    }
    row("since", about.since);
    row("read", &about.see.join(", "));
    row("source", &source(stage));
    out
}

/// All stages, a line each.
pub fn stage_list(stages: &[&dyn Stage]) -> String {
    let line =
        |stage: &&dyn Stage| format!("  {}{}\n", pad(stage.name(), 12).bold(), stage.about().title);
    let lines: String = stages.iter().map(line).collect();
    format!(
        "The stages, in the order in which they run:\n\n{lines}\n`sandbox explain STAGE` tells more.\n"
    )
}

/// A stage as JSON.
#[derive(Serialize)]
struct StageJson {
    stage: &'static str,
    title: &'static str,
    isolates: &'static str,
    leaks: &'static str,
    needs: &'static [&'static str],
    conflicts: &'static [&'static str],
    since: &'static str,
    see: &'static [&'static str],
    source: String,
}

/// Stages as JSON: `{"stages":[…]}`.
pub fn stages_json(stages: &[&dyn Stage]) -> String {
    #[derive(Serialize)]
    struct All {
        stages: Vec<StageJson>,
    }
    let one = |stage: &&dyn Stage| {
        let about = stage.about();
        StageJson {
            stage: stage.name(),
            title: about.title,
            isolates: about.isolates,
            leaks: about.leaks,
            needs: stage.needs(),
            conflicts: stage.conflicts(),
            since: about.since,
            see: about.see,
            source: source(*stage),
        }
    };
    json(&All { stages: stages.iter().map(one).collect() })
}

fn source(stage: &dyn Stage) -> String {
    format!("src/stages/{}.rs", stage.name().replace('-', "_"))
}
