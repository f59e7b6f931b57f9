//! What came out of a lesson: the one report of which a terminal, Markdown, HTML and JSON are views.
//!
//! `sandbox lesson N --format json` prints a [`LessonReport`]. `--format jsonl` prints an [`Event`] a
//! line, as it happens.

use serde::{Deserialize, Serialize};

use super::lesson::{Experiment, Lesson, Part, Place};
use super::pair::Pair;
use crate::error::Error;
use crate::plan::Planned;
use crate::plan::step::Undo;
use crate::run;

/// A lesson, or some parts of it, that was gone through.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LessonReport {
    /// Its number.
    pub lesson: u32,
    /// Its name on the command line.
    pub slug: String,
    /// Its title.
    pub title: String,
    /// The parts that were gone through.
    pub parts: Vec<PartReport>,
    /// How many claims held, failed, and were not tried.
    pub claims: Tally,
    /// The sandboxes that left something behind.
    pub left_behind: Vec<String>,
}

/// A part that was gone through.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartReport {
    /// Its name.
    pub id: String,
    /// Its title.
    pub title: String,
    /// The stages that its second side has more than the first.
    pub adds: Vec<String>,
    /// The stages of both sides.
    pub stages: Sides,
    /// Why it cannot be done here; then what follows is empty.
    pub skipped: Option<Skip>,
    /// The question that was asked before.
    pub predict: Option<PredictionReport>,
    /// The calls that the second side makes and the first does not.
    pub calls: Vec<CallReport>,
    /// What only looked, on the machine itself.
    pub probes: Vec<ProbeReport>,
    /// What changed something, on a stand-in host.
    pub experiments: Vec<ExperimentReport>,
    /// What was claimed.
    pub claims: Vec<ClaimReport>,
}

/// The stages of both sides of a part.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sides {
    /// Of the first.
    pub without: Vec<String>,
    /// Of the second.
    pub with: Vec<String>,
}

/// Why a part cannot be done on this machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Skip {
    /// What does not work.
    pub reason: String,
    /// What would allow it.
    pub fix: Option<String>,
}

/// A question, and what was right.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PredictionReport {
    /// The question.
    pub ask: String,
    /// The answers.
    pub options: Vec<OptionReport>,
}

/// A possible answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OptionReport {
    /// The answer.
    pub says: String,
    /// Whether it fits what this machine showed.
    pub right: bool,
    /// What to say to those who chose it.
    pub because: String,
}

/// A system call of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CallReport {
    /// The stage that asks for it.
    pub by: String,
    /// The call, as strace(1) writes it.
    pub call: String,
    /// Why it is made.
    pub why: String,
    /// How the host is rid of what it does.
    pub undo: Option<Undo>,
}

impl From<&Planned> for CallReport {
    fn from(planned: &Planned) -> CallReport {
        CallReport {
            by: planned.by.to_owned(),
            call: planned.step.call.to_string(),
            why: planned.step.why.to_owned(),
            undo: planned.step.undo.clone(),
        }
    }
}

/// A probe, and what came out on both sides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProbeReport {
    /// The command.
    pub command: String,
    /// What came out.
    #[serde(flatten)]
    pub pair: Pair,
}

/// An experiment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExperimentReport {
    /// What it is.
    pub title: String,
    /// Its commands.
    pub steps: Vec<StepReport>,
}

/// A command of an experiment, and what came out on both sides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepReport {
    /// The command.
    pub command: String,
    /// What came out.
    #[serde(flatten)]
    pub pair: Pair,
    /// Where it ran.
    #[serde(rename = "in")]
    pub place: Place,
    /// The name by which claims speak of it.
    pub id: Option<String>,
    /// What the process tried first.
    pub attack: Option<String>,
}

/// A sentence, and whether it is so here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClaimReport {
    /// The sentence.
    pub says: String,
    /// Whether it holds.
    pub holds: bool,
}

/// How many claims held, failed, and were not tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Claims that held.
    pub held: usize,
    /// Claims that did not.
    pub failed: usize,
    /// Claims of parts that this machine cannot do.
    pub skipped: usize,
}

/// What happens while a lesson is gone through, a line of JSON each: `{"event":"part","id":"uts",…}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The lesson begins.
    Lesson {
        /// Its number.
        lesson: u32,
        /// Its name on the command line.
        slug: String,
        /// Its title.
        title: String,
    },
    /// A part begins.
    Part {
        /// Its name.
        id: String,
        /// Its title.
        title: String,
    },
    /// A system call was made, in one of its sandboxes; only with `--trace`.
    Call {
        /// The stage that asked for it.
        by: String,
        /// The call.
        call: String,
        /// The name of the error, if the kernel refused it.
        errno: Option<String>,
        /// How long it took; unknown for the execve(2) that replaced the process.
        microseconds: Option<u64>,
    },
    /// A probe was run on both sides.
    Probe(ProbeReport),
    /// An experiment was made on both sides.
    Experiment(ExperimentReport),
    /// A claim was checked.
    Claim(ClaimReport),
    /// A part has ended.
    PartEnd(PartReport),
    /// The lesson has ended.
    LessonEnd {
        /// How many claims held, failed, and were not tried.
        claims: Tally,
        /// The sandboxes that left something behind.
        left_behind: Vec<String>,
    },
}

impl From<&run::Event<'_>> for Event {
    fn from(made: &run::Event) -> Event {
        Event::Call {
            by: made.planned.by.to_owned(),
            call: made.planned.step.call.to_string(),
            errno: made.result.err().map(|errno| format!("{errno:?}")),
            microseconds: made.took.and_then(|took| took.as_micros().try_into().ok()),
        }
    }
}

/// Somebody who is told what happens.
pub type Tell<'a> = &'a mut dyn FnMut(Event);

impl PartReport {
    /// The report of a part of which nothing is known yet.
    pub fn of(part: &Part) -> PartReport {
        let names = |stages: &[&str]| stages.iter().map(|name| (*name).to_owned()).collect();
        let (without, with) = (&part.without.stages, &part.with.stages);
        let adds: Vec<&str> =
            with.iter().filter(|stage| !without.contains(stage)).copied().collect();
        PartReport {
            id: part.id.clone(),
            title: part.title.clone(),
            adds: names(&adds),
            stages: Sides { without: names(without), with: names(with) },
            skipped: None,
            predict: part
                .predict
                .as_ref()
                .map(|predict| PredictionReport { ask: predict.ask.clone(), options: Vec::new() }),
            calls: Vec::new(),
            probes: Vec::new(),
            experiments: Vec::new(),
            claims: Vec::new(),
        }
    }

    /// Whether all that was claimed holds.
    pub fn holds(&self) -> bool {
        self.claims.iter().all(|claim| claim.holds)
    }
}

impl ExperimentReport {
    /// What came out of an experiment, a pair for each of its commands.
    pub fn of(experiment: &Experiment, pairs: Vec<Pair>) -> ExperimentReport {
        let steps = experiment.steps.iter().zip(pairs).map(|(step, pair)| StepReport {
            command: step.run.clone(),
            pair,
            place: step.place,
            id: step.id.clone(),
            attack: step.attack.map(|attack| attack.name.to_owned()),
        });
        ExperimentReport { title: experiment.title.clone(), steps: steps.collect() }
    }
}

impl Tally {
    /// Counts one more part.
    pub fn add(&mut self, part: &Part, report: &PartReport) {
        if report.skipped.is_some() {
            self.skipped += part.claims.len();
        }
        self.held += report.claims.iter().filter(|claim| claim.holds).count();
        self.failed += report.claims.iter().filter(|claim| !claim.holds).count();
    }
}

impl LessonReport {
    /// The report of a lesson of which nothing is known yet.
    pub fn of(lesson: &Lesson) -> LessonReport {
        LessonReport {
            lesson: lesson.lesson,
            slug: lesson.slug.clone(),
            title: lesson.title.clone(),
            parts: Vec::new(),
            claims: Tally::default(),
            left_behind: Vec::new(),
        }
    }

    /// Adds a part that was gone through.
    pub fn add(&mut self, part: &Part, report: PartReport) {
        self.claims.add(part, &report);
        self.parts.push(report);
    }
}

impl From<&Error> for Skip {
    fn from(error: &Error) -> Skip {
        let reason = error.to_string().lines().next().unwrap_or_default().to_owned();
        Skip { reason, fix: error.hint() }
    }
}
