//! What each stage hides, measured on this machine.

use crate::error::Error;
use crate::stages::stage::StageName;
use crate::stages::{STAGES, join_user, with_needs};
use crate::teach::examine::{Skip, skip};
use crate::teach::lesson::Side;
use crate::teach::probe::{BUILT_IN, Lab, Pair, Task};

/// What one stage hides.
pub struct Row {
    /// The stage.
    pub stage: StageName,
    /// For each built-in probe, whether the stage changes it; or why it cannot be tried.
    pub isolates: Result<Vec<bool>, Skip>,
}

/// Runs the built-in probes with each stage and without it.
///
/// # Errors
/// What is not the machine's fault: no rootfs.
pub fn measure(lab: &Lab) -> Result<Vec<Row>, Error> {
    // The stand-in host is made of all the others.
    let stages = STAGES.iter().map(|stage| stage.name()).filter(|name| *name != "stand-in");
    stages.map(|stage| Ok(Row { stage, isolates: isolates(stage, lab)? })).collect()
}

fn isolates(stage: StageName, lab: &Lab) -> Result<Result<Vec<bool>, Skip>, Error> {
    let mut with = Side { stages: with_needs(stage), ..Side::default() };
    if stage == "chroot" {
        // A bare one has no /proc to ask.
        with.stages.extend(with_needs("rootfs"));
    }
    if stage == "user" && lab.host.machine_root {
        // Root becomes nobody, who may not be able to walk to the programs in root's rootfs.
        with.stages.extend(["mnt", "rootfs", "chroot"]);
    } else if stage != "user" {
        join_user(&mut with.stages, &lab.host);
    }
    let mut without = with.clone();
    without.stages.retain(|name| *name != stage);
    if let Some(skip) = skip(Task::on(&with, lab, None).run().map(drop))? {
        return Ok(Err(skip));
    }
    let changes = |command| -> Result<bool, Error> {
        let on = |side| Task::on(side, lab, Some(command)).run().map(Some);
        Ok(Pair::new(on(&without)?, on(&with)?, None).changed == Some(true))
    };
    let changed: Result<Vec<bool>, Error> =
        BUILT_IN.iter().map(|probe| changes(probe.command)).collect();
    changed.map(Ok)
}
