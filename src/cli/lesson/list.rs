//! `sandbox lesson` without a lesson: what there is, and what was done.

use serde::Serialize;

use super::args::{LessonArgs, lab_for};
use super::parts::join_user;
use crate::cli::global::{Format, Global};
use crate::error::Error;
use crate::show;
use crate::teach::examine::possible;
use crate::teach::lab::Lab;
use crate::teach::lesson::Lesson;
use crate::teach::progress::Progress;
use crate::teach::report::Skip;

/// What `sandbox lesson --format json` prints.
#[derive(Serialize)]
struct Lessons {
    lessons: Vec<Summary>,
}

/// A lesson, and whether this machine can do all of it; if not, why.
#[derive(Serialize)]
pub(crate) struct Summary {
    lesson: u32,
    slug: String,
    title: String,
    parts: Vec<String>,
    runnable: bool,
    reason: Option<String>,
}

impl Summary {
    /// A lesson, with the parts that cannot be done, or why none of them can.
    pub(crate) fn of(
        lesson: &Lesson,
        skipped: &[(String, Skip)],
        error: Option<String>,
    ) -> Summary {
        let mut reason = error;
        if reason.is_none() && !skipped.is_empty() {
            let reasons = skipped.iter().map(|(part, skip)| format!("{part}: {}", skip.reason));
            reason = Some(reasons.collect::<Vec<_>>().join("; "));
        }
        Summary {
            lesson: lesson.lesson,
            slug: lesson.slug.clone(),
            title: lesson.title.clone(),
            parts: lesson.parts.iter().map(|part| part.id.clone()).collect(),
            runnable: reason.is_none(),
            reason,
        }
    }
}

/// The lessons, and what this machine can do of them, found out by trying.
pub(super) fn list(lessons: &[Lesson], args: &LessonArgs, global: &Global) -> Result<u8, Error> {
    if global.dry_run {
        let names = lessons.iter().map(|lesson| lesson.slug.as_str()).collect::<Vec<_>>();
        show::line(format!("read and found in order: {}", names.join(", ")))?;
        return Ok(0);
    }
    let text = global.format == Format::Text;
    if !text {
        global.json()?;
    }
    let all: Vec<&Lesson> = lessons.iter().collect();
    let lab = lab_for(&all, args, global);
    let progress = Progress::read();
    let mut summaries = Vec::new();
    if text {
        show::line("The lessons, and what of them works on this machine:\n")?;
    }
    for lesson in lessons {
        let (skipped, error) = match &lab {
            Ok(lab) => (trial(lesson, lab)?, None),
            Err(error) => (Vec::new(), Some(error.to_string())),
        };
        if text {
            let has = |part: &&String| progress.has(&lesson.slug, part);
            let done = lesson.parts.iter().map(|part| &part.id).filter(has).count();
            let line = show::lesson_line(lesson, done, &skipped, error.as_deref());
            show::print(line)?;
        }
        summaries.push(Summary::of(lesson, &skipped, error));
    }
    if text {
        show::line("\n`sandbox lesson 1` begins.")?;
    } else {
        show::line(show::json(&Lessons { lessons: summaries }))?;
    }
    Ok(0)
}

/// The parts of a lesson that this machine cannot do.
pub(crate) fn trial(lesson: &Lesson, lab: &Lab) -> Result<Vec<(String, Skip)>, Error> {
    let mut lesson = lesson.clone();
    join_user(&mut lesson, &lab.host);
    let mut skipped = Vec::new();
    for part in &lesson.parts {
        if let Some(skip) = possible(part, lab)? {
            skipped.push((part.id.clone(), skip));
        }
    }
    Ok(skipped)
}
