//! The one door to a plan: what is asked for becomes a plan for this machine.
//!
//! Stages that belong to it join, options without their stage are refused, the stages look at the
//! machine and check what they were told. What cannot be seen is tried by doing it; a dry run changes
//! nothing, and says what it would have tried.

use std::cell::{Cell, RefCell};
use std::path::PathBuf;

use super::rootfs::{self, Root};
use super::state;
use crate::error::Error;
use crate::layers::Layers;
use crate::machine::host::Host;
use crate::plan::Plan;
use crate::plan::command::Command;
use crate::plan::step::StageName;
use crate::stages::spec::{Extra, Spec};
use crate::stages::stage::{Joins, Stage};
use crate::stages::{self, Stages, in_order, with_needs};

/// What is asked for, by whomever.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// The stages.
    pub stages: Vec<StageName>,
    /// Those of them that were asked for by name, and not as part of a level: nothing takes their
    /// place.
    pub by_name: Vec<StageName>,
    /// The stages that must not come along.
    pub without: Vec<StageName>,
    /// What the stages are told.
    pub told: Stages,
    /// The rootfs.
    pub rootfs: Root,
    /// The command; none for what stays this program.
    pub command: Option<Command>,
    /// Steps of nobody's.
    pub extra: Option<Extra>,
    /// Names of calls to leave out.
    pub forget: Vec<String>,
    /// The name of the sandbox; one is drawn when there is none.
    pub id: Option<String>,
    /// The directory for all layers, where it is not the user's own.
    pub layers_base: Option<PathBuf>,
}

/// A plan, and what it was made from.
#[derive(Debug)]
pub struct Ready {
    /// The plan.
    pub plan: Plan,
    /// What was asked of the stages.
    pub spec: Spec,
    /// What is worth knowing about it.
    pub notes: Vec<String>,
}

/// How far one may go to find out what cannot be seen, and what was found out so far.
#[derive(Clone, Debug, Default)]
pub struct Trials {
    dry: bool,
    /// Whether this program may be started again: not once it has done something.
    may_start_again: Cell<bool>,
    /// The stages that have to take another way.
    failed: RefCell<Vec<StageName>>,
}

impl Trials {
    /// For one command; a dry run tries nothing.
    pub fn new(dry: bool) -> Trials {
        Trials { dry, may_start_again: Cell::new(!dry), failed: RefCell::default() }
    }

    /// For a command that will make many sandboxes: asks for help with these stages now, before it
    /// has done anything, and never later.
    ///
    /// # Errors
    /// When this program should be started again, and could not.
    pub fn begin(&self, names: &[StageName], host: &Host) -> Result<(), Error> {
        for mut stage in Stages::default().list() {
            let mut spec = Spec { host: host.clone(), ..Spec::default() };
            let may_be_lent = names.contains(&stage.name()) && stage.ask_for_help().is_some();
            if may_be_lent && stage.look(&mut spec).is_err() {
                self.ask_for_help(stage.as_ref(), &mut Vec::new())?;
            }
        }
        self.may_start_again.set(false);
        Ok(())
    }

    /// Somebody on this machine may help with a stage: then this does not come back.
    fn ask_for_help(&self, stage: &dyn Stage, notes: &mut Vec<String>) -> Result<(), Error> {
        let Some(help) = stage.ask_for_help() else { return Ok(()) };
        if self.dry {
            notes.push(format!("not tried in a dry run: {}", help.asks));
        } else if self.may_start_again.get() {
            if let Some(error) = (help.ask)() {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Whether a stage failed that had not failed before.
    fn learn(&self, stage: StageName) -> bool {
        let mut failed = self.failed.borrow_mut();
        let new = !failed.contains(&stage);
        failed.push(stage);
        new
    }
}

// ANCHOR: ready
/// Makes a plan of what is asked for.
///
/// # Errors
/// Stages that do not fit, an option without its stage, what this machine cannot do.
pub fn ready(asked: Asked, host: &Host, trials: &Trials) -> Result<Ready, Error> {
    let all = asked.told.clone().list();
    let (names, mut notes) = choose(&asked, &all, host)?;
    let mut spec = Spec {
        stages: names,
        host: host.clone(),
        id: asked.id.clone().unwrap_or_else(state::new_id),
        command: asked.command.clone(),
        extra: asked.extra.clone(),
        forget: asked.forget.clone(),
        limits: asked.told.cgroups.limits.clone(),
        layers_base: asked.layers_base.clone(),
        ..Spec::default()
    };
    let lowers = rootfs::provide(&asked.rootfs, &mut spec, trials.dry, &mut notes)?;
    spec.layers = Layers { lowers, ..Layers::default() };
    let mut stages: Vec<Box<dyn Stage>> =
        all.into_iter().filter(|stage| spec.has(stage.name())).collect();
    for stage in &mut stages {
        if let Err(error) = stage.look(&mut spec) {
            trials.ask_for_help(stage.as_ref(), &mut notes)?;
            return instead(stage.as_ref(), error, asked, notes, host, trials);
        }
    }
    for stage in &stages {
        stage.check(&spec)?;
    }
    for stage in &mut stages {
        if trials.failed.borrow().contains(&stage.name()) {
            notes.extend(stage.another_way(&mut spec)?.map(str::to_owned));
        }
        if let Some(doubt) = stage.doubt(&spec).filter(|_| trials.dry) {
            notes.push(format!("not tried in a dry run: whether {doubt}"));
        }
    }
    let plan = stages::plan(&stages, &spec)?;
    Ok(Ready { plan, spec, notes })
}
// ANCHOR_END: ready

/// Makes a plan of what is asked for, and acts on it. Where the kernel refuses what was doubtful, once
/// more in another way.
///
/// # Errors
/// As for [`ready`], and those of the act.
pub fn perform<T>(
    asked: &Asked,
    host: &Host,
    trials: &Trials,
    mut act: impl FnMut(&Ready) -> Result<T, Error>,
) -> Result<T, Error> {
    loop {
        let ready = ready(asked.clone(), host, trials)?;
        match act(&ready) {
            Err(Error::Step { by, doubtful: true, .. }) if trials.learn(by) => {}
            done => return done,
        }
    }
}

/// The stages that are meant, with those that come along, in the order in which they run.
///
/// # Errors
/// As for [`ready`].
fn choose(
    asked: &Asked,
    all: &[Box<dyn Stage>],
    host: &Host,
) -> Result<(Vec<StageName>, Vec<String>), Error> {
    let mut spec = Spec { stages: asked.stages.clone(), host: host.clone(), ..Spec::default() };
    let mut notes = Vec::new();
    // The last first: whoever runs before others serves them, and joins when it knows whom.
    for stage in all.iter().rev() {
        let name = stage.name();
        if spec.has(name) {
            continue;
        }
        match (stage.joins(&spec), asked.without.contains(&name)) {
            (Joins::Always(why), true) => {
                let problem = format!("the stage `{name}` cannot be left out: {why}");
                return Err(Error::usage(problem, format!("leave out `--without {name}`")));
            }
            (Joins::No, _) | (_, true) => continue,
            (Joins::Saying(note), false) => notes.push(note.to_owned()),
            (Joins::Yes | Joins::Always(_), false) => {}
        }
        spec.stages.push(name);
    }
    misplaced(all, &spec.stages)?;
    fit(all, &spec.stages)?;
    Ok((in_order(&spec.stages), notes))
}

/// Whether these stages fit together and each option that was told has its stage; for whoever writes
/// them down before there is a machine.
///
/// # Errors
/// What does not fit.
pub fn check(names: &[StageName], told: &Stages) -> Result<(), Error> {
    let asked = Asked { stages: names.to_vec(), ..Asked::default() };
    let host = Host { privileged: true, ..Host::default() };
    choose(&asked, &told.clone().list(), &host).map(drop)
}

// ANCHOR: misplaced
/// An option does nothing without its stage, so it is refused.
fn misplaced(all: &[Box<dyn Stage>], chosen: &[StageName]) -> Result<(), Error> {
    let obeyed = |option: &String| {
        let mut chosen = all.iter().filter(|stage| chosen.contains(&stage.name()));
        chosen.any(|stage| stage.obeys().contains(&option.as_str()))
    };
    for stage in all.iter().filter(|stage| !chosen.contains(&stage.name())) {
        let name = stage.name();
        if let Some(option) = stage.told().iter().find(|option| !obeyed(option)) {
            let mut missing = with_needs(name);
            missing.retain(|stage| !chosen.contains(stage));
            let in_its_place = all.iter().find(|other| {
                let (rival, rivals) = (other.name(), other.conflicts());
                chosen.contains(&rival)
                    && (rivals.contains(&name) || stage.conflicts().contains(&rival))
            });
            let mut hint = format!("add `--with {}`", missing.join(","));
            if let Some(rival) = in_its_place {
                hint = format!("add `--with {} --without {}`", missing.join(","), rival.name());
            }
            return Err(Error::usage(
                format!("`--{option}` is for the stage `{name}`, which is not chosen"),
                hint,
            ));
        }
    }
    Ok(())
}
// ANCHOR_END: misplaced

/// Each stage has what it needs, and no two do the same.
fn fit(all: &[Box<dyn Stage>], chosen: &[StageName]) -> Result<(), Error> {
    for stage in all.iter().filter(|stage| chosen.contains(&stage.name())) {
        let name = stage.name();
        if let Some(other) = stage.conflicts().iter().find(|other| chosen.contains(other)) {
            return Err(Error::stages(
                format!("the stages `{name}` and `{other}` do the same in two ways"),
                format!("choose one: `--without {name}` or `--without {other}`"),
            ));
        }
        let mut missing = stage.needs().to_vec();
        missing.retain(|need| !chosen.contains(need));
        if !missing.is_empty() {
            return Err(Error::stages(
                format!("the stage `{name}` needs `{}`", missing.join("`, `")),
                format!("add `--with {}`", missing.join(",")),
            ));
        }
    }
    Ok(())
}

/// Another stage takes the place of one that this machine cannot have, if a level asked for that and
/// the other one can do all that was told.
fn instead(
    stage: &dyn Stage,
    error: Error,
    mut asked: Asked,
    mut notes: Vec<String>,
    host: &Host,
    trials: &Trials,
) -> Result<Ready, Error> {
    let name = stage.name();
    let Some((other, different)) = stage.instead() else { return Err(error) };
    if asked.by_name.contains(&name) {
        return Err(error);
    }
    asked.stages.retain(|stage| *stage != name);
    asked.stages.push(other);
    if choose(&asked, &asked.told.clone().list(), host).is_err() {
        return Err(error);
    }
    notes.push(format!("{error}: the stage `{other}` takes the place of `{name}`; {different}"));
    let mut ready = ready(asked, host, trials)?;
    ready.notes.retain(|note| !notes.contains(note));
    ready.notes.splice(0..0, notes);
    Ok(ready)
}
