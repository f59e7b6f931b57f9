//! `sandbox lesson`: list the lessons, work through one, or through one part.

mod args;
mod list;
mod parts;
mod session;

use std::io::IsTerminal;

use super::clean;
use super::global::{Format, Global};
use super::terminal::TerminalArgs;
use crate::error::Error;
use crate::machine::sealed;
use crate::run::rootfs::Root;
use crate::show;
use crate::teach::lab::Lab;
use crate::teach::lesson::Lesson;
use crate::teach::read;
use args::lab_for;
use parts::{break_out, chosen, numbers, toggle};
use session::Session;

pub(crate) use args::LessonArgs;
pub(super) use list::{Summary, trial};

pub(crate) fn lesson(args: LessonArgs, global: &Global) -> Result<u8, Error> {
    if args.lesson.is_some() && !global.dry_run && (args.break_out || asks(&args, global)) {
        // Somebody types on the stand-in host. First of all, for it is all begun again.
        sealed::start_again()?;
    }
    let dir = args.lessons.as_deref();
    let Some(name) = &args.lesson else {
        return list::list(&read::all(dir)?, &args, global);
    };
    if name == "all" {
        return all(&args, global);
    }
    let (name, part) = match name.split_once('.') {
        Some((name, part)) => (name, Some(part)),
        None => (name.as_str(), None),
    };
    let lesson = read::one(dir, name)?;
    let numbers = numbers(&lesson, part)?;
    one(lesson, &numbers, &args, global)
}

/// Whether somebody is there to answer.
fn asks(args: &LessonArgs, global: &Global) -> bool {
    let terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    terminal && !args.no_pause && global.format == Format::Text
}

/// The lessons in a row, until one has a claim that does not hold.
fn all(args: &LessonArgs, global: &Global) -> Result<u8, Error> {
    if matches!(global.format, Format::Json | Format::Jsonl) {
        let hint = "name one: `lesson 1`";
        return Err(Error::usage("only one lesson at a time is printed as JSON", hint));
    }
    for lesson in read::all(args.lessons.as_deref())? {
        let numbers = numbers(&lesson, None)?;
        let status = one(lesson, &numbers, args, global)?;
        if status != 0 {
            return Ok(status);
        }
        show::line("")?;
    }
    Ok(0)
}

fn one(
    mut lesson: Lesson,
    numbers: &[usize],
    args: &LessonArgs,
    global: &Global,
) -> Result<u8, Error> {
    let lab = lab_for(&[&lesson], args, global)?;
    toggle(&mut lesson, args, &lab.host)?;
    if global.dry_run {
        return dry_run(&lesson, numbers, &lab);
    }
    clean::before(&lab.host.state_base)?;
    if args.break_out {
        return break_out_of(&lesson, numbers, &lab, args.terminal);
    }
    let root = Root::from(args.rootfs.clone());
    let mut session = Session::new(&lesson, lab, root, asks(args, global), args.terminal);
    match global.format {
        Format::Text => session.text(numbers, args.shell)?,
        Format::Json => session.json(numbers)?,
        Format::Jsonl => session.jsonl(numbers, global.trace)?,
        Format::Markdown => session.markdown(numbers)?,
    }
    let failed = session.failed();
    let toggled = !(args.with.is_empty() && args.without.is_empty());
    if failed && toggled && global.format == Format::Text {
        show::note(
            "the stages are not the lesson's own: a claim that does not hold shows what the stage \
             that you took away, or added, is for",
        );
    }
    Ok(u8::from(failed))
}

fn dry_run(lesson: &Lesson, numbers: &[usize], lab: &Lab) -> Result<u8, Error> {
    for (number, part) in chosen(lesson, numbers) {
        show::print(show::part_heading(lesson, number, part))?;
        let ready = lab.ready(lab.asked(&part.with))?;
        show::line(show::plan(&ready.plan))?;
    }
    Ok(0)
}

fn break_out_of(
    lesson: &Lesson,
    numbers: &[usize],
    lab: &Lab,
    terminal: TerminalArgs,
) -> Result<u8, Error> {
    let (&[number], parts) = (numbers, &lesson.parts) else {
        let hint = "name one part: `lesson 2.uts --break-out`";
        return Err(Error::usage("which part's sandbox?", hint));
    };
    match parts.get(number - 1) {
        Some(part) => break_out(part, lab, terminal),
        None => Ok(0),
    }
}
