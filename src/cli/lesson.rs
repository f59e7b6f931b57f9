//! `sandbox lesson`: list the lessons, work through one, or through one part.

mod list;
mod session;

use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::PathBuf;

use clap::Args;

use super::global::{Format, Global};
use super::lab::lab;
use super::stages::adjust;
use crate::error::Error;
use crate::machine::host::Host;
use crate::machine::sealed;
use crate::plan::step::StageName;
use crate::run::rootfs::Root;
use crate::run::state;
use crate::show;
use crate::stages::names::{CGROUPS, USER};
use crate::teach::examine::possible;
use crate::teach::lab::Lab;
use crate::teach::lesson::{Lesson, Part};
use crate::teach::read;
use crate::teach::stand_in;
use session::Session;

pub(super) use list::{Summary, trial};

#[derive(Args)]
pub(crate) struct LessonArgs {
    /// The lesson, or one part of it: 1, chroot, 1.2, chroot.break-out; or `all` of them in a row
    #[arg(value_name = "LESSON[.PART]")]
    lesson: Option<String>,
    /// Add stages to the second side of each part
    #[arg(long, value_name = "STAGE,…", value_delimiter = ',', requires = "lesson")]
    with: Vec<String>,
    /// Take stages away from the second side, to see which claims no longer hold
    #[arg(long, value_name = "STAGE,…", value_delimiter = ',', requires = "lesson")]
    without: Vec<String>,
    /// Ask nothing and wait for nothing
    #[arg(long)]
    no_pause: bool,
    /// Open a shell in the sandbox of the last part that was shown
    #[arg(long, requires = "lesson")]
    shell: bool,
    /// Open a shell in the sandbox of a part on a stand-in host, and do nothing else
    #[arg(long, requires = "lesson", conflicts_with = "shell")]
    break_out: bool,
    /// Read the lessons from this directory instead of those that are built in
    #[arg(long, value_name = "DIR")]
    lessons: Option<PathBuf>,
    /// The root filesystem: a name from `sandbox rootfs list`, or a directory
    #[arg(long, value_name = "NAME|DIR", env = "SANDBOX_ROOTFS")]
    rootfs: Option<OsString>,
}

pub(crate) fn lesson(args: LessonArgs, global: &Global) -> Result<u8, Error> {
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
        anstream::println!();
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
    state::sweep(&lab.host.state_base)?;
    if args.break_out {
        sealed::start_again()?;
        return break_out_of(&lesson, numbers, &lab);
    }
    let terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let asks = terminal && !args.no_pause && global.format == Format::Text;
    let mut session = Session::new(&lesson, lab, asks);
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

/// A lab for these lessons.
fn lab_for(lessons: &[&Lesson], args: &LessonArgs, global: &Global) -> Result<Lab, Error> {
    let parts = lessons.iter().flat_map(|lesson| &lesson.parts);
    let sides = parts.flat_map(|part| [&part.without, &part.with]);
    let mut used: Vec<StageName> = sides.flat_map(|side| side.stages.iter().copied()).collect();
    if args.break_out {
        // The stand-in host has limits where it can.
        used.push(CGROUPS);
    }
    lab(Root::from(args.rootfs.clone()), &used, global)
}

/// The numbers of the parts that are meant, from 1.
fn numbers(lesson: &Lesson, part: Option<&str>) -> Result<Vec<usize>, Error> {
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
fn toggle(lesson: &mut Lesson, args: &LessonArgs, host: &Host) -> Result<(), Error> {
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
fn join_user(lesson: &mut Lesson, host: &Host) -> bool {
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

fn dry_run(lesson: &Lesson, numbers: &[usize], lab: &Lab) -> Result<u8, Error> {
    for (number, part) in chosen(lesson, numbers) {
        anstream::print!("{}", show::part_heading(lesson, number, part));
        let ready = lab.ready(lab.asked(&part.with))?;
        anstream::println!("{}", show::plan(&ready.plan));
    }
    Ok(0)
}

fn break_out_of(lesson: &Lesson, numbers: &[usize], lab: &Lab) -> Result<u8, Error> {
    let (&[number], parts) = (numbers, &lesson.parts) else {
        let hint = "name one part: `lesson 2.uts --break-out`";
        return Err(Error::usage("which part's sandbox?", hint));
    };
    match parts.get(number - 1) {
        Some(part) => break_out(part, lab),
        None => Ok(0),
    }
}

/// A shell in the sandbox of a part, with a stand-in host around it.
fn break_out(part: &Part, lab: &Lab) -> Result<u8, Error> {
    if let Some(skip) = possible(part, lab)? {
        anstream::print!("{}", show::skipped(&skip));
        return Ok(125);
    }
    show::note("this is the sandbox on a stand-in host: break what you like; `exit` ends it");
    stand_in::shell(lab, &part.with, show::error)
}

/// The parts with these numbers.
fn chosen<'a>(lesson: &'a Lesson, numbers: &'a [usize]) -> impl Iterator<Item = (usize, &'a Part)> {
    numbers.iter().filter_map(|number| Some((*number, lesson.parts.get(number - 1)?)))
}
