//! `sandbox doctor`: what this machine allows, found out by trying.

use std::collections::BTreeSet;

use rootfs_fetch::Store;
use serde::Serialize;

use super::global::Global;
use super::lab::lab;
use super::lesson::{Summary, trial};
use super::rootfs::needs::Needs;
use crate::error::Error;
use crate::plan::step::StageName;
use crate::run::rootfs::Root;
use crate::show;
use crate::stages::names::STAND_IN;
use crate::stages::{STAGES, with_needs};
use crate::teach::examine::skip;
use crate::teach::lab::Lab;
use crate::teach::lesson::{Lesson, Side};
use crate::teach::probe::Task;
use crate::teach::report::Skip;
use crate::teach::{read, stand_in};

/// What `sandbox doctor --format json` prints.
#[derive(Serialize)]
struct Diagnosis {
    /// What is wrong with the default rootfs.
    rootfs: Vec<String>,
    stages: Vec<Verdict>,
    lessons: Vec<Summary>,
}

/// Whether a stage works here; if not, why, and what would allow it.
#[derive(Serialize)]
struct Verdict {
    stage: StageName,
    works: bool,
    reason: Option<String>,
    fix: Option<String>,
}

/// The exit code is 0 when every lesson can be done, else 1.
pub(crate) fn doctor(global: &Global) -> Result<u8, Error> {
    let json = global.json()?;
    if global.dry_run {
        show::note("each stage would be tried in a child that ends at once");
        return Ok(0);
    }
    let all: Vec<StageName> = STAGES.iter().map(|stage| stage.name()).collect();
    let lab = lab(Root::Default, &all, global)?;
    let all_lessons = read::all(None)?;
    let problems = verify(&all_lessons)?;
    let mut stages = Vec::new();
    for stage in all {
        stages.push((stage, attempt(stage, &lab)?));
    }
    let mut lessons = Vec::new();
    for lesson in all_lessons {
        let skipped = trial(&lesson, &lab)?;
        lessons.push((lesson, skipped));
    }
    if json {
        let verdict = |(stage, skip): &(StageName, Option<Skip>)| Verdict {
            stage,
            works: skip.is_none(),
            reason: skip.as_ref().map(|skip| skip.reason.clone()),
            fix: skip.as_ref().and_then(|skip| skip.fix.clone()),
        };
        let diagnosis = Diagnosis {
            rootfs: problems.clone(),
            stages: stages.iter().map(verdict).collect(),
            lessons: lessons.iter().map(|(one, skipped)| Summary::of(one, skipped, None)).collect(),
        };
        show::line(show::json(&diagnosis))?;
    } else {
        show::print(show::doctor(&lab, &problems, &stages, &lessons))?;
    }
    let whole = problems.is_empty() && lessons.iter().all(|(_, skipped)| skipped.is_empty());
    Ok(u8::from(!whole))
}

/// What is wrong with the default rootfs. Nothing can be tried in one without a shell.
fn verify(lessons: &[Lesson]) -> Result<Vec<String>, Error> {
    let verified = Store::open(None)?.verify(Store::DEFAULT)?;
    let mut problems = verified.problems.clone();
    let needs = lessons.iter().map(|lesson| Needs::of(lesson, &verified));
    let missing: BTreeSet<String> = needs.flat_map(|needs| needs.missing).collect();
    if !missing.is_empty() {
        let missing: Vec<String> = missing.iter().map(|name| format!("`{name}`")).collect();
        problems.push(format!("it has no {}", missing.join(", ")));
    }
    if verified.has("sh") {
        return Ok(problems);
    }
    Err(Error::not_here(
        format!("the rootfs `{}` is broken: it has no `sh`", Store::DEFAULT),
        "`sandbox rootfs fetch` makes it anew",
    ))
}

/// Tries a stage, with those that it needs, in a child that ends at once.
fn attempt(stage: StageName, lab: &Lab) -> Result<Option<Skip>, Error> {
    if stage == STAND_IN {
        return skip(stand_in::perform(lab, None, &[]).map(drop));
    }
    let mut side = Side::of(with_needs(stage));
    if !lab.host.privileged {
        side.join_user();
    }
    skip(Task::on(&side, lab, None).run().map(drop))
}
