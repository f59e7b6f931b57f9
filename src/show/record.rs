//! A lesson for programs and for books.

use serde_json::{Value, json};

use super::lesson::Tally;
use super::plan::step_json;
use super::table::cell;
use crate::teach::examine::Report;
use crate::teach::lesson::{Lesson, Part, Place, Side};
use crate::teach::probe::{Outcome, Pair};

/// A part that was gone through, in the JSON form of `sandbox lesson --format json`.
pub fn part_json(part: &Part, report: &Report) -> Value {
    let known = &part.without.stages;
    let adds: Vec<_> = part.with.stages.iter().filter(|stage| !known.contains(stage)).collect();
    let probes = part.probes.iter().zip(&report.probes);
    let probes = probes.map(|(probe, pair)| pair_json(&probe.run, pair)).collect::<Vec<_>>();
    let claims = part.claims.iter().zip(&report.claims);
    let claims = claims.map(|(claim, holds)| json!({ "says": claim.says, "holds": holds }));
    let predict = part.predict.as_ref().map(|predict| {
        let options = predict.options.iter().zip(&report.options).map(|(option, right)| {
            json!({ "says": option.says, "right": right, "because": option.because })
        });
        json!({ "ask": predict.ask, "options": options.collect::<Vec<_>>() })
    });
    json!({
        "id": part.id,
        "title": part.title,
        "adds": adds,
        "stages": { "without": part.without.stages, "with": part.with.stages },
        "skipped": report.skipped.as_ref().map(|s| json!({ "reason": s.reason, "fix": s.fix })),
        "predict": predict,
        "calls": report.calls.iter().map(step_json).collect::<Vec<_>>(),
        "probes": probes,
        "experiments": experiments_json(part, report),
        "claims": claims.collect::<Vec<_>>(),
    })
}

fn experiments_json(part: &Part, report: &Report) -> Vec<Value> {
    let all = part.experiments.iter().zip(&report.experiments);
    all.map(|(experiment, pairs)| {
        let steps = experiment.steps.iter().zip(pairs).map(|(step, pair)| {
            let mut value = pair_json(&step.run, pair);
            let place = match step.place {
                Place::Host => "host",
                Place::Sandbox => "sandbox",
                Place::Joined => "joined",
            };
            value["in"] = json!(place);
            value["id"] = json!(step.id);
            value["attack"] = json!(step.attack.map(|attack| attack.name));
            value
        });
        json!({ "title": experiment.title, "steps": steps.collect::<Vec<_>>() })
    })
    .collect()
}

fn pair_json(command: &str, pair: &Pair) -> Value {
    json!({
        "command": command, "without": pair.without, "with": pair.with, "changed": pair.changed,
    })
}

/// A whole lesson as JSON.
pub fn lesson_json(lesson: &Lesson, parts: &[Value], tally: &Tally, left: &[String]) -> String {
    let claims = json!({ "held": tally.held, "failed": tally.failed, "skipped": tally.skipped });
    let value = json!({
        "lesson": lesson.lesson, "slug": lesson.slug, "title": lesson.title,
        "parts": parts, "claims": claims, "left_behind": left,
    });
    format!("{value:#}")
}

/// The beginning of a lesson as Markdown.
pub fn lesson_markdown(lesson: &Lesson) -> String {
    format!("# Lesson {}: {}\n\n{}\n", lesson.lesson, lesson.title, lesson.about)
}

/// A part that was gone through, as Markdown.
pub fn part_markdown(number: usize, part: &Part, report: &Report) -> String {
    let mut out = format!("## {number}. {}\n\n{}\n", part.title, part.explain);
    if let Some(skip) = &report.skipped {
        return format!("{out}Skipped: {}\n\n", skip.reason);
    }
    if !report.calls.is_empty() {
        let calls = report.calls.iter().map(|planned| format!("{}\n", planned.step.call));
        out.push_str(&format!("```c\n{}```\n\n", calls.collect::<String>()));
    }
    for (probe, pair) in part.probes.iter().zip(&report.probes) {
        out.push_str(&pair_markdown(part, &probe.run, pair));
    }
    for (experiment, pairs) in part.experiments.iter().zip(&report.experiments) {
        out.push_str(&format!("On a stand-in host: {}\n\n", experiment.title));
        for (step, pair) in experiment.steps.iter().zip(pairs) {
            let run = match step.attack {
                Some(attack) => format!("{}    # after: {}", step.run, attack.about),
                None => step.run.clone(),
            };
            out.push_str(&pair_markdown(part, &run, pair));
        }
    }
    for (claim, holds) in part.claims.iter().zip(&report.claims) {
        let verdict = if *holds { "holds" } else { "**does not hold**" };
        out.push_str(&format!("- {verdict}: {}\n", claim.says));
    }
    format!("{out}\n{}\n", part.learned)
}

fn pair_markdown(part: &Part, command: &str, pair: &Pair) -> String {
    let side = |side: &Side, outcome: &Option<Outcome>| match outcome {
        None => String::new(),
        Some(outcome) => {
            let lines = cell(Some(outcome), 100).join("\n");
            format!("{}:\n\n```console\n$ {}\n{lines}\n```\n\n", side.name, command.trim_end())
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
