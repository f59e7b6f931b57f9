//! `sandbox doctor`: what this machine allows, found out by trying.

use serde_json::{Value, json};

use super::Global;
use super::lesson::{summary, trial};
use super::stages::rootfs;
use crate::error::Error;
use crate::show;
use crate::stages::stage::StageName;
use crate::stages::{STAGES, join_user, with_needs};
use crate::teach::examine::{Skip, skip};
use crate::teach::lesson::Side;
use crate::teach::probe::{Lab, Task};
use crate::teach::{lesson, stand_in};

/// Prints `{"stages":[{"stage","works","reason","fix"}],"lessons":[…]}`, or the same for people.
/// The exit code is 0 when every lesson can be done, else 1.
pub(crate) fn doctor(global: &Global) -> Result<u8, Error> {
    let json = global.json()?;
    if global.dry_run {
        show::note("each stage would be tried in a child that ends at once");
        return Ok(0);
    }
    let all: Vec<StageName> = STAGES.iter().map(|stage| stage.name()).collect();
    let lab = Lab::new(rootfs(None)?, global.trace).make_ready(&all)?;
    let mut stages = Vec::new();
    for stage in STAGES {
        stages.push((stage.name(), attempt(stage.name(), &lab)?));
    }
    let mut lessons = Vec::new();
    for lesson in lesson::all(None)? {
        let skipped = trial(&lesson, &lab)?;
        lessons.push((lesson, skipped));
    }
    if json {
        let stages: Vec<Value> = stages.iter().map(stage_json).collect();
        let lessons: Vec<Value> =
            lessons.iter().map(|(lesson, skipped)| summary(lesson, skipped, None)).collect();
        anstream::println!("{:#}", json!({ "stages": stages, "lessons": lessons }));
    } else {
        anstream::print!("{}", show::doctor(&lab, &stages, &lessons));
    }
    Ok(u8::from(lessons.iter().any(|(_, skipped)| !skipped.is_empty())))
}

fn stage_json((stage, skip): &(StageName, Option<Skip>)) -> Value {
    let reason = skip.as_ref().map(|skip| &skip.reason);
    let fix = skip.as_ref().and_then(|skip| skip.fix.as_ref());
    json!({ "stage": stage, "works": skip.is_none(), "reason": reason, "fix": fix })
}

/// Tries a stage, with those that it needs, in a child that ends at once.
fn attempt(stage: StageName, lab: &Lab) -> Result<Option<Skip>, Error> {
    if stage == "stand-in" {
        return skip(stand_in::perform(lab, None, &[]).map(drop));
    }
    let mut side = Side { stages: with_needs(stage), ..Side::default() };
    join_user(&mut side.stages, &lab.host);
    skip(Task::on(&side, lab, None).run().map(drop))
}
