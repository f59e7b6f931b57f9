//! Going through a part of a lesson: run everything on both sides, and check the claims.

use std::collections::HashMap;
use std::rc::Rc;

use regex_lite::Regex;

use super::cost;
use super::lab::Lab;
use super::lesson::{self, Condition, Experiment, Need, Part, Side, WhichSide};
use super::pair::{Outcome, Pair};
use super::probe::Task;
use super::report::{
    CallReport, ClaimReport, Event, ExperimentReport, OptionReport, PartReport, ProbeReport, Skip,
    Tell,
};
use super::stand_in::{self, Action};
use crate::error::Error;
use crate::layers;
use crate::machine::host::Host;
use crate::machine::programs;
use crate::plan::Plan;
use crate::run::ready::Asked;
use crate::stages::Stages;
use crate::stages::names::CGROUPS;

/// Whether this machine can do a part, found out by trying.
///
/// # Errors
/// What is not the machine's fault: wrong stages, no rootfs.
pub fn possible(part: &Part, lab: &Lab) -> Result<Option<Skip>, Error> {
    if let Some(skip) = lacks(part, lab)? {
        return Ok(Some(skip));
    }
    // The stand-in host can pass on no more than this machine gives it.
    for side in [&part.without, &part.with].into_iter().filter(|side| side.has(CGROUPS)) {
        let told = Stages { cgroups: side.settings.cgroups.clone(), ..Stages::default() };
        let cgroup = Side { stages: vec![CGROUPS], settings: told, ..Side::default() };
        if let Some(skip) = skip(lab.ready(lab.asked(&cgroup)).map(drop))? {
            return Ok(Some(skip));
        }
    }
    if !part.probes.is_empty() {
        for side in [&part.without, &part.with] {
            if let Some(skip) = skip(Task::on(side, lab, None).run().map(drop))? {
                return Ok(Some(skip));
            }
        }
    }
    if part.experiments.is_empty() {
        return Ok(None);
    }
    let nothing = lesson::Action::nothing();
    let sides = [&part.without, &part.with].map(Side::on_stand_in);
    let actions = sides.map(|side| Action { action: &nothing, side });
    skip(stand_in::perform(lab, None, &actions).map(drop))
}

/// What this machine lacks that no stage would tell.
fn lacks(part: &Part, lab: &Lab) -> Result<Option<Skip>, Error> {
    let skip = |reason: &str, fix: &str| {
        Ok(Some(Skip { reason: reason.to_owned(), fix: Some(fix.to_owned()) }))
    };
    if part.needs == Some(Need::DynamicProgram) && programs::dynamic().is_none() {
        return skip(
            "every `ls` on this machine is linked statically",
            "install one that needs shared libraries, as GNU coreutils has",
        );
    }
    if part.needs == Some(Need::TmpfsAttributes) && !layers::tmpfs_keeps_attributes() {
        return skip(
            "this kernel's tmpfs, on which the stand-in host lives, keeps no attributes of users, and \
             an overlay marks opaque directories with one",
            "Linux 6.6 or newer; on a disk it works with older ones",
        );
    }
    let on_disk = part.experiments.iter().any(|experiment| experiment.containers.is_some());
    if on_disk && !lab.has_disk_for_layers()? {
        return skip(
            "the disk below your data directory cannot hold an upper layer",
            "set SANDBOX_HOME to a directory on ext4 or another plain disk",
        );
    }
    Ok(None)
}

/// Tells what the machine or the stages refuse from what is somebody's mistake.
///
/// # Errors
/// The mistake.
pub fn skip(tried: Result<(), Error>) -> Result<Option<Skip>, Error> {
    match tried {
        Ok(()) => Ok(None),
        // An instructor's `--without` may leave a stage without what it needs: a reason like others.
        Err(error) if error.can_be_skipped() => Ok(Some(Skip::from(&error))),
        Err(error) => Err(error),
    }
}

/// Goes through a part: tries whether this machine can do it, runs its probes and experiments, and
/// checks its claims.
///
/// # Errors
/// What keeps a command from being run although its stages work.
pub fn examine(part: &Part, lab: &Lab, tell: Tell) -> Result<PartReport, Error> {
    tell(Event::Part { id: part.id.clone(), title: part.title.clone() });
    let mut report = PartReport::of(part);
    report.skipped = possible(part, lab)?;
    if report.skipped.is_none() {
        look(part, lab, &mut report, tell)?;
    }
    tell(Event::PartEnd(report.clone()));
    Ok(report)
}

/// Runs the probes and experiments of a part that is [`possible`], and checks its claims.
///
/// # Errors
/// As for [`examine`].
pub fn look(part: &Part, lab: &Lab, report: &mut PartReport, tell: Tell) -> Result<(), Error> {
    let mut found: HashMap<&str, Pair> = HashMap::new();
    for probe in &part.probes {
        let on = |side| Task::on(side, lab, Some(&probe.run)).run();
        let ignore = probe.ignore.as_deref().and_then(|pattern| Regex::new(pattern).ok());
        let pair = Pair::new(Some(on(&part.without)?), Some(on(&part.with)?), ignore.as_ref());
        found.insert(&probe.run, pair.clone());
        let probe = ProbeReport { command: probe.run.clone(), pair };
        tell(Event::Probe(probe.clone()));
        report.probes.push(probe);
    }
    for experiment in &part.experiments {
        let pairs = conduct(experiment, part, lab)?;
        for (step, pair) in experiment.steps.iter().zip(&pairs) {
            found.insert(step.name(), pair.clone());
        }
        let experiment = ExperimentReport::of(experiment, pairs);
        tell(Event::Experiment(experiment.clone()));
        report.experiments.push(experiment);
    }
    let holds = |condition: &Condition| {
        found.get(condition.about.as_str()).is_some_and(|pair| pair.fulfils(condition))
    };
    for claim in &part.claims {
        let claim = ClaimReport { says: claim.says.clone(), holds: holds(&claim.holds_if) };
        tell(Event::Claim(claim.clone()));
        report.claims.push(claim);
    }
    if let (Some(predict), Some(report)) = (&part.predict, &mut report.predict) {
        let option = |option: &lesson::Choice| OptionReport {
            says: option.says.clone(),
            right: holds(&option.right_if),
            because: option.because.clone(),
        };
        report.options = predict.options.iter().map(option).collect();
    }
    report.calls = calls(part, lab)?;
    Ok(())
}

/// Runs an experiment, each side on a stand-in host of its own.
fn conduct(experiment: &Experiment, part: &Part, lab: &Lab) -> Result<Vec<Pair>, Error> {
    let on = |side: &Side, which: WhichSide| -> Result<Vec<Option<Outcome>>, Error> {
        if experiment.only.is_some_and(|only| only != which) {
            return Ok(vec![None; experiment.steps.len()]);
        }
        if let Some(number) = experiment.containers {
            let cost = cost::containers(lab, side, number)?;
            return Ok(vec![Some(cost); experiment.steps.len()]);
        }
        let action = |action| Action { action, side: side.on_stand_in() };
        let actions: Vec<Action> = experiment.steps.iter().map(action).collect();
        Ok(stand_in::perform(lab, experiment.disk, &actions)?.into_iter().map(Some).collect())
    };
    let without = on(&part.without, WhichSide::Without)?;
    let with = on(&part.with, WhichSide::With)?;
    Ok(without.into_iter().zip(with).map(|(left, right)| Pair::new(left, right, None)).collect())
}

/// The calls that the side `with` makes and the other does not.
fn calls(part: &Part, lab: &Lab) -> Result<Vec<CallReport>, Error> {
    // What never runs on this machine itself is planned as for the stand-in host.
    let on_stand_in = part.probes.is_empty();
    let mut lab = lab.clone();
    if on_stand_in {
        lab.host = Host { initial: false, ..lab.host };
        lab.layers_base = Some(stand_in::LAYERS.into());
        lab.trials = Rc::default();
    }
    let plan = |side: &Side| -> Result<Plan, Error> {
        let side = if on_stand_in { side.on_stand_in() } else { side.clone() };
        // The same id on both sides, or every path would be a difference.
        let asked = Asked { id: Some("ID".to_owned()), ..lab.asked(&side) };
        Ok(lab.ready(asked)?.plan)
    };
    let (without, with) = (plan(&part.without)?, plan(&part.with)?);
    Ok(with.added_since(&without).into_iter().map(CallReport::from).collect())
}
