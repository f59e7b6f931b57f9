//! `sandbox lesson`: list the lessons, work through one, or through one part.

mod list;

use std::ffi::OsString;
use std::io::{BufRead, IsTerminal, Write};
use std::path::PathBuf;

use clap::Args;

use super::stages::{adjust, rootfs, shell_of, usage};
use super::{Format, Global};
use crate::error::Error;
use crate::machine::host::Host;
use crate::machine::sealed;
use crate::plan::Plan;
use crate::run::Options;
use crate::run::state;
use crate::show;
use crate::show::Tally;
use crate::stages::stage::{Command, Spec};
use crate::teach::examine::{Report, examine, possible};
use crate::teach::lesson::{self, Lesson, Part};
use crate::teach::probe::{Lab, Task};
use crate::teach::progress::Progress;
use crate::teach::stand_in;
use list::list;
pub(super) use list::{summary, trial};

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
    let lessons = lesson::all(args.lessons.as_deref())?;
    let Some(name) = &args.lesson else { return list(&lessons, &args, global) };
    if name == "all" {
        return all(&lessons, &args, global);
    }
    let (lesson, numbers) = select(&lessons, name)?;
    one(lesson, &numbers, &args, global)
}

/// The lessons in a row, until one has a claim that does not hold.
fn all(lessons: &[Lesson], args: &LessonArgs, global: &Global) -> Result<u8, Error> {
    if global.format == Format::Json {
        return Err(usage("only one lesson at a time is printed as JSON", "name one: `lesson 1`"));
    }
    for lesson in lessons {
        let numbers: Vec<usize> = (1..=lesson.parts.len()).collect();
        let status = one(lesson, &numbers, args, global)?;
        if status != 0 {
            return Ok(status);
        }
        anstream::println!();
    }
    Ok(0)
}

fn one(
    lesson: &Lesson,
    numbers: &[usize],
    args: &LessonArgs,
    global: &Global,
) -> Result<u8, Error> {
    let mut lesson = lesson.clone();
    let lab = lab(&[&lesson], args, global)?;
    toggle(&mut lesson, args, &lab.host)?;
    if global.dry_run {
        return dry_run(&lesson, numbers, &lab);
    }
    state::sweep(&lab.host.state_base)?;
    if args.break_out {
        sealed::start_again()?;
        let &[number] = numbers else {
            return Err(usage(
                "which part's sandbox?",
                "name one part: `lesson 2.uts --break-out`",
            ));
        };
        return lesson.parts.get(number - 1).map_or(Ok(0), |part| break_out(part, &lab));
    }
    let terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let asks = terminal && !args.no_pause && global.format == Format::Text;
    let progress = Progress::read();
    let mut session = Session { lesson: &lesson, lab, asks, tally: Tally::default(), progress };
    match global.format {
        Format::Text => {
            session.text(numbers, args.shell)?;
            if session.tally.failed > 0 && !(args.with.is_empty() && args.without.is_empty()) {
                show::note(
                    "the stages are not the lesson's own: a claim that does not hold shows what \
                     the stage that you took away, or added, is for",
                );
            }
        }
        Format::Json => session.json(numbers)?,
        Format::Markdown => session.markdown(numbers)?,
    }
    Ok(u8::from(session.tally.failed > 0))
}

/// A lab for these lessons.
fn lab(lessons: &[&Lesson], args: &LessonArgs, global: &Global) -> Result<Lab, Error> {
    let parts = lessons.iter().flat_map(|lesson| &lesson.parts);
    let sides = parts.flat_map(|part| [&part.without, &part.with]);
    let mut used: Vec<_> = sides.flat_map(|side| side.stages.iter().copied()).collect();
    if args.break_out {
        // The stand-in host has limits where it can.
        used.push("cgroups");
    }
    Lab::new(rootfs(args.rootfs.as_ref())?, global.trace).make_ready(&used)
}

/// The lesson of this name, and the numbers of the parts that are meant, from 1.
fn select<'a>(lessons: &'a [Lesson], name: &str) -> Result<(&'a Lesson, Vec<usize>), Error> {
    let (name, part) = name.split_once('.').map_or((name, None), |(name, part)| (name, Some(part)));
    let found = lessons.iter().find(|l| l.slug == name || l.lesson.to_string() == name);
    let lesson = found.ok_or_else(|| {
        let known: Vec<String> =
            lessons.iter().map(|l| format!("{} ({})", l.lesson, l.slug)).collect();
        Error::Usage {
            problem: format!("there is no lesson `{name}`"),
            hint: format!("the lessons are {}", known.join(", ")),
        }
    })?;
    let Some(part) = part else { return Ok((lesson, (1..=lesson.parts.len()).collect())) };
    let is_meant = |(i, p): &(usize, &Part)| p.id == part || (i + 1).to_string() == part;
    match lesson.parts.iter().enumerate().find(is_meant) {
        Some((index, _)) => Ok((lesson, vec![index + 1])),
        None => {
            let known: Vec<&str> = lesson.parts.iter().map(|part| part.id.as_str()).collect();
            Err(Error::Usage {
                problem: format!("lesson {} has no part `{part}`", lesson.lesson),
                hint: format!("its parts are 1 to {}: {}", known.len(), known.join(", ")),
            })
        }
    }
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
    let about_user =
        |part: &Part| part.without.stages.contains(&"user") || part.with.stages.contains(&"user");
    let mut joined = false;
    for part in lesson.parts.iter_mut().filter(|part| !about_user(part)) {
        for side in [&mut part.without, &mut part.with] {
            side.stages.insert(0, "user");
            side.user_joined = true;
        }
        joined = true;
    }
    joined
}

fn dry_run(lesson: &Lesson, numbers: &[usize], lab: &Lab) -> Result<u8, Error> {
    for (number, part) in chosen(lesson, numbers) {
        anstream::print!("{}", show::part_heading(lesson, number, part));
        let plan = Plan::new(&Task::on(&part.with, lab, None).spec())?;
        anstream::println!("{}", show::plan(&plan));
    }
    Ok(0)
}

/// A shell in the sandbox of a part, with a stand-in host around it.
fn break_out(part: &Part, lab: &Lab) -> Result<u8, Error> {
    if let Some(skip) = possible(part, lab)? {
        anstream::print!("{}", show::skipped(&skip));
        return Ok(125);
    }
    show::note("this is the sandbox on a stand-in host: break what you like; `exit` ends it");
    stand_in::shell(lab, &part.with)
}

fn chosen<'a>(lesson: &'a Lesson, numbers: &'a [usize]) -> impl Iterator<Item = (usize, &'a Part)> {
    numbers.iter().filter_map(|number| Some((*number, lesson.parts.get(number - 1)?)))
}

/// Going through a lesson.
struct Session<'a> {
    lesson: &'a Lesson,
    lab: Lab,
    /// Whether somebody is there to answer.
    asks: bool,
    tally: Tally,
    progress: Progress,
}

impl Session<'_> {
    fn text(&mut self, numbers: &[usize], shell: bool) -> Result<(), Error> {
        anstream::print!("{}", show::lesson_heading(self.lesson));
        let mut last = None;
        for (number, part) in chosen(self.lesson, numbers) {
            anstream::print!("{}", show::part_heading(self.lesson, number, part));
            self.part(part)?;
            last = Some(part);
            let is_last = numbers.last() == Some(&number);
            if self.asks && !shell && !self.keys(part, is_last)? {
                break;
            }
        }
        if shell {
            last.map_or(Ok(()), |part| self.shell(part))?;
        }
        if numbers.len() > 1 {
            anstream::print!("{}", show::lesson_end(self.lesson));
        }
        anstream::print!("{}", show::tally(&self.tally, &self.left_behind()?));
        Ok(())
    }

    fn part(&mut self, part: &Part) -> Result<(), Error> {
        if let Some(skip) = possible(part, &self.lab)? {
            anstream::print!("{}", show::skipped(&skip));
            self.tally.add(part, &Report::skipped(skip));
            return Ok(());
        }
        let mut given = None;
        if let Some(predict) = &part.predict {
            anstream::print!("{}", show::prediction(predict));
            if self.asks {
                let line = ask("  > ");
                given = line.trim().parse::<usize>().ok().and_then(|n| n.checked_sub(1));
                given = given.filter(|index| *index < predict.options.len());
            }
            anstream::println!();
        }
        let report = examine(part, &self.lab)?;
        anstream::print!("{}", show::report(part, &report));
        if let Some(predict) = &part.predict {
            anstream::println!("{}", show::answer(predict, &report.options, given));
        }
        anstream::print!("{}", show::learned(part));
        self.tally.add(part, &report);
        if report.claims.iter().all(|holds| *holds) {
            self.progress.add(&self.lesson.slug, &part.id);
        }
        Ok(())
    }

    /// What the student wants to do after a part. `false` for no more.
    fn keys(&self, part: &Part, is_last: bool) -> Result<bool, Error> {
        let hint = if part.try_it.is_some() { " · h hint" } else { "" };
        let next = if is_last { "end" } else { "next" };
        loop {
            let prompt =
                format!("Enter {next} · s shell here · t try to break out{hint} · q quit > ");
            match ask(&prompt).trim_end_matches('\n') {
                "s" => self.shell(part)?,
                "t" => drop(break_out(part, &self.lab)?),
                "h" => anstream::println!("  {}", part.try_it.as_deref().unwrap_or_default()),
                "q" => return Ok(false),
                answer if answer.trim().is_empty() => return Ok(true),
                _ => {}
            }
        }
    }

    /// A shell under the stages of a part, on this machine.
    fn shell(&self, part: &Part) -> Result<(), Error> {
        let spec = Task::on(&part.with, &self.lab, None).spec();
        let powers = if spec.host.machine_root && !spec.has("user") {
            ", in which you are this machine's root: nothing but these stages holds you"
        } else {
            ""
        };
        show::note(&format!("a shell in the sandbox of this part{powers}; `exit` ends it"));
        let command = Command { argv: shell_of(&spec.stages), ..Command::default() };
        let spec = Spec { command: Some(command), ..spec };
        crate::run::run(&Plan::new(&spec)?, Options::through(None))?;
        Ok(())
    }

    fn examined(&mut self, part: &Part) -> Result<Report, Error> {
        let report = match possible(part, &self.lab)? {
            Some(skip) => Report::skipped(skip),
            None => examine(part, &self.lab)?,
        };
        self.tally.add(part, &report);
        Ok(report)
    }

    fn json(&mut self, numbers: &[usize]) -> Result<(), Error> {
        let mut parts = Vec::new();
        for (_, part) in chosen(self.lesson, numbers) {
            parts.push(show::part_json(part, &self.examined(part)?));
        }
        let left = self.left_behind()?;
        anstream::println!("{}", show::lesson_json(self.lesson, &parts, &self.tally, &left));
        Ok(())
    }

    fn markdown(&mut self, numbers: &[usize]) -> Result<(), Error> {
        anstream::println!("{}", show::lesson_markdown(self.lesson));
        for (number, part) in chosen(self.lesson, numbers) {
            let report = self.examined(part)?;
            anstream::print!("{}", show::part_markdown(number, part, &report));
        }
        Ok(())
    }

    fn left_behind(&self) -> Result<Vec<String>, Error> {
        state::dead(&self.lab.host.state_base)
    }
}

/// One line from the terminal; the end of the input is `q`.
fn ask(prompt: &str) -> String {
    anstream::print!("{prompt}");
    let _ = std::io::stdout().flush();
    let mut line = String::new();
    match std::io::stdin().lock().read_line(&mut line) {
        Ok(1..) => line,
        _ => "q".to_owned(),
    }
}
