//! Plans and their steps, for people and for programs.

use colored::Colorize;
use serde::Serialize;

use super::json::json;
use super::talk::say;
use crate::plan::{Plan, Planned};
use crate::run::Event;
use crate::teach::report::CallReport;

/// A plan: every call under its stage, and below the calls that share it, the reason.
pub fn plan(plan: &Plan) -> String {
    let mut out = String::new();
    let mut steps = plan.steps.iter().peekable();
    let mut by = "";
    while let Some(planned) = steps.next() {
        if planned.by != by {
            by = planned.by;
            out.push_str(&format!("{}\n", by.bold()));
        }
        out.push_str(&format!("  {}\n", planned.step.call));
        let same = |next: &&&Planned| next.by == by && next.step.why == planned.step.why;
        if steps.peek().filter(|next| same(next)).is_none() {
            out.push_str(&format!("      {}\n", planned.step.why.dimmed()));
        }
    }
    out
}

/// A plan as JSON: `{"steps":[{"by","call","why","undo"}]}`.
#[derive(Serialize)]
struct PlanJson {
    steps: Vec<CallReport>,
}

/// A plan as JSON.
pub fn plan_json(plan: &Plan) -> String {
    json(&PlanJson { steps: plan.steps.iter().map(CallReport::from).collect() })
}

/// A step that was made, on stderr, as strace(1) would show it.
pub fn event(event: &Event) {
    let result = match event.result {
        Ok(()) => "= 0".green().to_string(),
        Err(errno) => format!("= -1 {errno:?} ({})", errno.desc()).red().to_string(),
    };
    let took = event.took.map_or(String::new(), |took| format!("  {} µs", took.as_micros()));
    let call = event.planned.step.call.to_string();
    let call = call.rsplit_once(" = ").map_or(call.as_str(), |(call, _)| call);
    let by = event.planned.by.bold();
    say(format!("{by:<10} {call} {result}{}\n", took.dimmed()));
}

/// The next step, and how to go on, for `--step`.
pub fn question(planned: &Planned) -> String {
    format!(
        "{} {}\n  {}\n  {} ",
        planned.by.bold(),
        planned.step.call,
        planned.step.why.dimmed(),
        "Enter makes the call, q stops:".dimmed()
    )
}
