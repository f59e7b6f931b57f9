//! `sandbox lesson` without a lesson: what there is, and what was done.

use serde_json::{Value, json};

use super::super::{Format, Global};
use super::{LessonArgs, join_user, lab};
use crate::error::Error;
use crate::show;
use crate::teach::examine::{Skip, possible};
use crate::teach::lesson::Lesson;
use crate::teach::probe::Lab;
use crate::teach::progress::Progress;

/// The lessons, and what this machine can do of them, found out by trying.
pub(super) fn list(lessons: &[Lesson], args: &LessonArgs, global: &Global) -> Result<u8, Error> {
    if global.dry_run {
        let names = lessons.iter().map(|lesson| lesson.slug.as_str()).collect::<Vec<_>>();
        anstream::println!("read and found in order: {}", names.join(", "));
        return Ok(0);
    }
    let all: Vec<&Lesson> = lessons.iter().collect();
    let lab = lab(&all, args, global);
    let progress = Progress::read();
    let done = |lesson: &Lesson| {
        lesson.parts.iter().filter(|part| progress.has(&lesson.slug, &part.id)).count()
    };
    let mut values = Vec::new();
    if global.format == Format::Text {
        anstream::println!("The lessons, and what of them works on this machine:\n");
    }
    for lesson in lessons {
        let (skipped, error) = match &lab {
            Ok(lab) => (trial(lesson, lab)?, None),
            Err(error) => (Vec::new(), Some(error.to_string())),
        };
        if global.format == Format::Text {
            anstream::print!(
                "{}",
                show::lesson_line(lesson, done(lesson), &skipped, error.as_deref())
            );
        }
        values.push(summary(lesson, &skipped, error));
    }
    match global.format {
        Format::Text => anstream::println!("\n`sandbox lesson 1` begins."),
        _ => {
            global.json()?;
            anstream::println!("{:#}", json!({ "lessons": values }));
        }
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

/// A lesson in the JSON list of lessons.
pub(crate) fn summary(lesson: &Lesson, skipped: &[(String, Skip)], error: Option<String>) -> Value {
    let reason = error.or_else(|| {
        let reasons: Vec<String> =
            skipped.iter().map(|(part, skip)| format!("{part}: {}", skip.reason)).collect();
        (!reasons.is_empty()).then(|| reasons.join("; "))
    });
    json!({
        "lesson": lesson.lesson,
        "slug": lesson.slug,
        "title": lesson.title,
        "parts": lesson.parts.iter().map(|part| &part.id).collect::<Vec<_>>(),
        "runnable": reason.is_none(),
        "reason": reason,
    })
}
