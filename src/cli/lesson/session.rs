//! Going through a lesson.

use std::io::BufRead;

use super::parts::{break_out, chosen};
use crate::cli::terminal::TerminalArgs;
use crate::error::Error;
use crate::plan::command::{Command, shell};
use crate::run::ready::{Asked, Ready};
use crate::run::rootfs::Root;
use crate::run::{Options, run, state};
use crate::show;
use crate::stages::names::USER;
use crate::teach::examine::{examine, look, possible};
use crate::teach::lab::Lab;
use crate::teach::lesson::{Lesson, Part};
use crate::teach::progress::Progress;
use crate::teach::report::{Event, LessonReport, PartReport};

/// Going through a lesson.
pub(super) struct Session<'a> {
    lesson: &'a Lesson,
    lab: Lab,
    /// The rootfs for what somebody types.
    root: Root,
    /// Whether somebody is there to answer.
    asks: bool,
    terminal: TerminalArgs,
    report: LessonReport,
    progress: Progress,
}

impl<'a> Session<'a> {
    pub(super) fn new(
        lesson: &'a Lesson,
        lab: Lab,
        root: Root,
        asks: bool,
        terminal: TerminalArgs,
    ) -> Session<'a> {
        let (report, progress) = (LessonReport::of(lesson), Progress::read());
        Session { lesson, lab, root, asks, terminal, report, progress }
    }

    /// Whether a claim did not hold.
    pub(super) fn failed(&self) -> bool {
        self.report.claims.failed > 0
    }

    /// For people.
    pub(super) fn text(&mut self, numbers: &[usize], opens_shell: bool) -> Result<(), Error> {
        show::print(show::lesson_heading(self.lesson))?;
        let mut last = None;
        for (number, part) in chosen(self.lesson, numbers) {
            show::print(show::part_heading(self.lesson, number, part))?;
            self.part(part)?;
            last = Some(part);
            let is_last = numbers.last() == Some(&number);
            if self.asks && !opens_shell && !self.keys(part, is_last)? {
                break;
            }
        }
        if let Some(part) = last.filter(|_| opens_shell) {
            self.shell(part)?;
        }
        if numbers.len() > 1 {
            show::print(show::lesson_end(self.lesson))?;
        }
        self.report.left_behind = self.left_behind()?;
        show::print(show::tally(&self.report.claims, &self.report.left_behind))?;
        Ok(())
    }

    fn part(&mut self, part: &Part) -> Result<(), Error> {
        let mut report = PartReport::of(part);
        report.skipped = possible(part, &self.lab)?;
        if let Some(skip) = &report.skipped {
            show::print(show::skipped(skip))?;
            self.report.add(part, report);
            return Ok(());
        }
        let given = self.prediction(part)?;
        look(part, &self.lab, &mut report, &mut |_| ())?;
        show::print(show::report(part, &report))?;
        if let Some(predict) = &report.predict {
            show::line(show::answer(predict, given))?;
        }
        show::print(show::learned(part))?;
        if report.holds() {
            self.progress.add(&self.lesson.slug, &part.id);
        }
        self.report.add(part, report);
        Ok(())
    }

    /// Asks the question of a part. Returns the answer, counted from 0.
    fn prediction(&self, part: &Part) -> Result<Option<usize>, Error> {
        let Some(predict) = &part.predict else { return Ok(None) };
        show::print(show::prediction(predict))?;
        let line = if self.asks { ask("  > ")? } else { String::new() };
        show::line("")?;
        let number = line.trim().parse::<usize>().ok().and_then(|number| number.checked_sub(1));
        Ok(number.filter(|number| *number < predict.options.len()))
    }

    /// What the student wants to do after a part. `false` for no more.
    fn keys(&self, part: &Part, is_last: bool) -> Result<bool, Error> {
        let hint = if part.try_it.is_some() { " · h hint" } else { "" };
        let next = if is_last { "end" } else { "next" };
        loop {
            let prompt =
                format!("Enter {next} · s shell here · t try to break out{hint} · q quit > ");
            match ask(&prompt)?.trim_end_matches('\n') {
                "s" => self.shell(part)?,
                "t" => drop(break_out(part, &self.lab, self.terminal)?),
                "h" => show::line(format!("  {}", part.try_it.as_deref().unwrap_or_default()))?,
                "q" => return Ok(false),
                answer if answer.trim().is_empty() => return Ok(true),
                _ => {}
            }
        }
    }

    /// A shell under the stages of a part, on this machine.
    fn shell(&self, part: &Part) -> Result<(), Error> {
        let asked = self.lab.asked(&part.with);
        let powers = if self.lab.host.machine_root() && !part.with.has(USER) {
            ", in which you are this machine's root: nothing but these stages holds you"
        } else {
            ""
        };
        show::note(&format!("a shell in the sandbox of this part{powers}; `exit` ends it"));
        let argv = shell(part.with.changes_root());
        let command = Some(Command { argv, ..Command::default() });
        self.terminal.perform(|| {
            let asked = Asked { command, rootfs: self.root.clone(), ..asked };
            let run = |ready: &Ready| Ok(run(&ready.plan, Options::through(&ready.spec))?.status);
            self.lab.perform(&asked, run)
        })?;
        Ok(())
    }

    /// For programs, in one object: a [`LessonReport`].
    pub(super) fn json(&mut self, numbers: &[usize]) -> Result<(), Error> {
        for (_, part) in chosen(self.lesson, numbers) {
            let report = examine(part, &self.lab, &mut |_| ())?;
            self.report.add(part, report);
        }
        self.report.left_behind = self.left_behind()?;
        show::line(show::json(&self.report))?;
        Ok(())
    }

    /// For programs, as it happens: an [`Event`] a line; with `calls`, each system call too.
    pub(super) fn jsonl(&mut self, numbers: &[usize], calls: bool) -> Result<(), Error> {
        if calls {
            self.lab.watch = Some(|made| drop(line(&Event::from(made))));
        }
        let (lesson, slug) = (self.lesson.lesson, self.lesson.slug.clone());
        line(&Event::Lesson { lesson, slug, title: self.lesson.title.clone() })?;
        for (_, part) in chosen(self.lesson, numbers) {
            let mut printed = Ok(());
            let report = examine(part, &self.lab, &mut |event| {
                if printed.is_ok() {
                    printed = line(&event);
                }
            });
            printed?;
            let report = report?;
            self.report.add(part, report);
        }
        let left_behind = self.left_behind()?;
        line(&Event::LessonEnd { claims: self.report.claims, left_behind })
    }

    /// For books.
    pub(super) fn markdown(&mut self, numbers: &[usize]) -> Result<(), Error> {
        show::line(show::lesson_markdown(self.lesson))?;
        for (number, part) in chosen(self.lesson, numbers) {
            let report = examine(part, &self.lab, &mut |_| ())?;
            show::print(show::part_markdown(number, part, &report))?;
            self.report.add(part, report);
        }
        Ok(())
    }

    fn left_behind(&self) -> Result<Vec<String>, Error> {
        Ok(state::dead(&self.lab.host.state_base)?.removed)
    }
}

fn line(event: &Event) -> Result<(), Error> {
    show::line(serde_json::to_string(event).unwrap_or_default())
}

/// One line from the terminal; the end of the input is `q`.
fn ask(prompt: &str) -> Result<String, Error> {
    show::print(prompt)?;
    let mut line = String::new();
    match std::io::stdin().lock().read_line(&mut line) {
        Ok(1..) => Ok(line),
        _ => Ok("q".to_owned()),
    }
}
