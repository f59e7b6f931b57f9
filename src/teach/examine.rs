//! Going through a part of a lesson: run everything on both sides, and check the claims.

use std::collections::HashMap;

use regex_lite::Regex;

use crate::cgroups;
use crate::error::Error;
use crate::machine::host::Host;
use crate::plan::{Plan, Planned};
use crate::teach::lesson::{self, Condition, Experiment, Need, Part, Side, WhichSide};
use crate::teach::probe::{Lab, Outcome, Pair, Task};
use crate::teach::stand_in::{self, Action};

/// What came out of a part.
pub struct Report {
    /// Why the part cannot be done here; then all else is empty.
    pub skipped: Option<Skip>,
    /// The calls that the side `with` makes and the other does not.
    pub calls: Vec<Planned>,
    /// The probes, as in the part.
    pub probes: Vec<Pair>,
    /// The experiments and their steps, as in the part.
    pub experiments: Vec<Vec<Pair>>,
    /// Whether each claim holds.
    pub claims: Vec<bool>,
    /// Whether each option of the prediction is right.
    pub options: Vec<bool>,
}

/// Why a part cannot be done on this machine.
#[derive(Clone, Debug, PartialEq)]
pub struct Skip {
    /// What does not work.
    pub reason: String,
    /// What would allow it.
    pub fix: Option<String>,
}

/// Whether this machine can do a part, found out by trying.
///
/// # Errors
/// What is not the machine's fault: wrong stages, no rootfs.
pub fn possible(part: &Part, lab: &Lab) -> Result<Option<Skip>, Error> {
    if part.needs == Some(Need::DynamicProgram) && lab.host.dynamic_program.is_none() {
        return Ok(Some(Skip {
            reason: "every `ls` on this machine is linked statically".to_owned(),
            fix: Some("install one that needs shared libraries, as GNU coreutils has".to_owned()),
        }));
    }
    if part.needs == Some(Need::TmpfsAttributes) && !crate::layers::tmpfs_keeps_attributes() {
        return Ok(Some(Skip {
            reason:
                "this kernel's tmpfs, on which the stand-in host lives, keeps no attributes of \
                     users, and an overlay marks opaque directories with one"
                    .to_owned(),
            fix: Some("Linux 6.6 or newer; on a disk it works with older ones".to_owned()),
        }));
    }
    if lab.host.layers_in_memory && part.experiments.iter().any(|one| one.containers.is_some()) {
        return Ok(Some(Skip {
            reason: "the disk below your data directory cannot hold an upper layer".to_owned(),
            fix: Some("set SANDBOX_HOME to a directory on ext4 or another plain disk".to_owned()),
        }));
    }
    // The stand-in host can pass on no more than this machine gives it.
    for side in [&part.without, &part.with].iter().filter(|s| s.stages.contains(&"cgroups")) {
        let chosen = cgroups::choose(&lab.host, &side.settings.limits, &lab.id);
        if let Some(skip) = skip(chosen.map(drop))? {
            return Ok(Some(skip));
        }
    }
    if !part.probes.is_empty() {
        for side in [&part.without, &part.with] {
            let tried = Task::on(side, lab, None).run();
            if let Some(skip) = skip(tried.map(drop))? {
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

/// Tells what the machine or the stages refuse from what is somebody's mistake.
///
/// # Errors
/// The mistake.
pub fn skip(tried: Result<(), Error>) -> Result<Option<Skip>, Error> {
    match tried {
        Ok(()) => Ok(None),
        // An instructor's `--without` may leave a stage without what it needs: a reason like others.
        Err(
            error @ (Error::Step { .. }
            | Error::NoCgroup { .. }
            | Error::NeedsStages { .. }
            | Error::Conflict { .. }
            | Error::OverlayOfNobody),
        ) => {
            let reason = error.to_string().lines().next().unwrap_or_default().to_owned();
            Ok(Some(Skip { reason, fix: error.hint() }))
        }
        Err(error) => Err(error),
    }
}

/// Runs the probes and experiments of a part that is [`possible`], and checks its claims.
///
/// # Errors
/// What keeps a command from being run although its stages work.
pub fn examine(part: &Part, lab: &Lab) -> Result<Report, Error> {
    let mut found: HashMap<&str, Pair> = HashMap::new();
    let mut probes = Vec::new();
    for probe in &part.probes {
        let on = |side| Task::on(side, lab, Some(&probe.run)).run();
        let ignore = probe.ignore.as_deref().and_then(|pattern| Regex::new(pattern).ok());
        let pair = Pair::new(Some(on(&part.without)?), Some(on(&part.with)?), ignore.as_ref());
        found.insert(&probe.run, pair.clone());
        probes.push(pair);
    }
    let mut experiments = Vec::new();
    for experiment in &part.experiments {
        let pairs = conduct(experiment, part, lab)?;
        for (step, pair) in experiment.steps.iter().zip(&pairs) {
            found.insert(step.name(), pair.clone());
        }
        experiments.push(pairs);
    }
    let holds = |condition: &Condition| {
        found.get(condition.about.as_str()).is_some_and(|pair| pair.fulfils(condition))
    };
    let options = part.predict.iter().flat_map(|predict| &predict.options);
    Ok(Report {
        skipped: None,
        calls: calls(part, lab)?,
        claims: part.claims.iter().map(|claim| holds(&claim.holds_if)).collect(),
        options: options.map(|option| holds(&option.right_if)).collect(),
        probes,
        experiments,
    })
}

/// Runs an experiment, each side on a stand-in host of its own.
fn conduct(experiment: &Experiment, part: &Part, lab: &Lab) -> Result<Vec<Pair>, Error> {
    let on = |side: &Side, which: WhichSide| -> Result<Vec<Option<Outcome>>, Error> {
        if experiment.only.is_some_and(|only| only != which) {
            return Ok(vec![None; experiment.steps.len()]);
        }
        if let Some(number) = experiment.containers {
            let cost = crate::teach::cost::containers(lab, side, number)?;
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

fn calls(part: &Part, lab: &Lab) -> Result<Vec<Planned>, Error> {
    // What never runs on this machine itself is planned as for the stand-in host.
    let mut lab = lab.clone();
    if part.probes.is_empty() {
        let layers_base = stand_in::LAYERS.into();
        lab.host = Host { machine_root: false, guard: Vec::new(), layers_base, ..lab.host };
    }
    let on = |side: &Side| if part.probes.is_empty() { side.on_stand_in() } else { side.clone() };
    // The same id on both sides, or every path would be a difference.
    let plan = |side: &Side| {
        let mut spec = Task::on(&on(side), &lab, None).spec();
        spec.id = "ID".to_owned();
        spec.layers.dir = spec.host.layers_base.join(&spec.id);
        Plan::new(&spec)
    };
    let (without, with) = (plan(&part.without)?, plan(&part.with)?);
    Ok(with.added_since(&without).into_iter().cloned().collect())
}

impl Report {
    /// The report of a part that cannot be done here.
    pub fn skipped(skip: Skip) -> Report {
        Report {
            skipped: Some(skip),
            calls: Vec::new(),
            probes: Vec::new(),
            experiments: Vec::new(),
            claims: Vec::new(),
            options: Vec::new(),
        }
    }
}
