//! The lab in which lessons are gone through and levels compared.

use crate::error::Error;
use crate::plan::step::StageName;
use crate::run::rootfs::{self, Root};
use crate::show;
use crate::teach::lab::Lab;

use super::global::Global;

/// A lab for what needs these stages.
pub(super) fn lab(root: Root, stages: &[StageName], global: &Global) -> Result<Lab, Error> {
    let mut notes = Vec::new();
    let rootfs = rootfs::directory(&root, global.dry_run, &mut notes)?;
    notes.iter().for_each(|note| show::note(note));
    let mut lab = Lab::new(root, rootfs, stages, global.dry_run)?;
    if global.trace {
        lab.watch = Some(show::event);
    }
    Ok(lab)
}
