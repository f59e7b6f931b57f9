//! The parts of a lesson: which are meant, with which stages, and breaking out of one.

use super::args::LessonArgs;
use crate::cli::stages::adjust;
use crate::cli::terminal::TerminalArgs;
use crate::error::Error;
use crate::machine::host::Host;
use crate::show;
use crate::stages::names::USER;
use crate::teach::examine::possible;
use crate::teach::lab::Lab;
use crate::teach::lesson::{Lesson, Part};
use crate::teach::stand_in;

/// The numbers of the parts that are meant, from 1.
pub(super) fn numbers(lesson: &Lesson, part: Option<&str>) -> Result<Vec<usize>, Error> {
    let Some(part) = part else { return Ok((1..=lesson.parts.len()).collect()) };
    let is_meant = |(at, known): (usize, &Part)| known.id == part || (at + 1).to_string() == part;
    if let Some(at) = lesson.parts.iter().enumerate().position(is_meant) {
        return Ok(vec![at + 1]);
    }
    let known: Vec<&str> = lesson.parts.iter().map(|part| part.id.as_str()).collect();
    Err(Error::usage(
        format!("lesson {} has no part `{part}`", lesson.lesson),
        format!("its parts are 1 to {}: {}", known.len(), known.join(", ")),
    ))
}

/// What the instructor and the machine change about a lesson's stages.
pub(super) fn toggle(lesson: &mut Lesson, args: &LessonArgs, host: &Host) -> Result<(), Error> {
    for part in &mut lesson.parts {
        let with = std::mem::take(&mut part.with.stages);
        part.with.stages = adjust(with, &args.with, &args.without)?;
    }
    if join_user(lesson, host) {
        show::note(
            "not root: the stage `user` joins on both sides of each part, to give the other \
             stages their privilege; `id` says root because of it",
        );
    }
    Ok(())
}

/// Who is not root needs `user`: on both sides, or what it does would be put down to another
/// stage; but not in a part that is about `user`. Says whether it was added.
pub(super) fn join_user(lesson: &mut Lesson, host: &Host) -> bool {
    if host.privileged {
        return false;
    }
    let mut joined = false;
    for part in &mut lesson.parts {
        if !part.without.has(USER) && !part.with.has(USER) {
            part.without.join_user();
            part.with.join_user();
            joined = true;
        }
    }
    joined
}

/// The parts with these numbers.
pub(super) fn chosen<'a>(
    lesson: &'a Lesson,
    numbers: &'a [usize],
) -> impl Iterator<Item = (usize, &'a Part)> {
    numbers.iter().filter_map(|number| Some((*number, lesson.parts.get(number - 1)?)))
}

/// A shell in the sandbox of a part, with a stand-in host around it.
pub(super) fn break_out(part: &Part, lab: &Lab, terminal: TerminalArgs) -> Result<u8, Error> {
    if let Some(skip) = possible(part, lab)? {
        show::print(show::skipped(&skip))?;
        return Ok(125);
    }
    show::note("this is the sandbox on a stand-in host: break what you like; `exit` ends it");
    terminal.perform(|| stand_in::shell(lab, &part.with, show::error))
}
