//! What each stage hides, measured on this machine.

use super::examine::skip;
use super::lab::Lab;
use super::lesson::Side;
use super::pair::Pair;
use super::probe::{BUILT_IN, Task};
use super::report::Skip;
use crate::error::Error;
use crate::plan::step::StageName;
use crate::stages::names::{CHROOT, MNT, ROOTFS, STAND_IN, USER};
use crate::stages::{STAGES, in_order, with_needs};

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
    let stages = STAGES.iter().map(|stage| stage.name()).filter(|name| *name != STAND_IN);
    stages.map(|stage| Ok(Row { stage, isolates: isolates(stage, lab)? })).collect()
}

fn isolates(stage: StageName, lab: &Lab) -> Result<Result<Vec<bool>, Skip>, Error> {
    let mut stages = with_needs(stage);
    if stage == CHROOT {
        // A bare one has no /proc to ask.
        stages.extend(with_needs(ROOTFS));
    }
    if stage == USER && lab.host.machine_root() {
        // Root becomes nobody, who may not be able to walk to the programs in root's rootfs.
        stages.extend([MNT, ROOTFS, CHROOT]);
    }
    let mut with = Side::of(in_order(&stages));
    if stage != USER && !lab.host.privileged {
        with.join_user();
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
