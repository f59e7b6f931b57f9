//! What a container costs, measured on this machine's own disk.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Instant;

use crate::error::Error;
use crate::layers::Layers;
use crate::plan::Plan;
use crate::run::state::State;
use crate::run::{Options, run};
use crate::stages::stage::Spec;
use crate::stages::stage::Undo;
use crate::teach::lesson::Side;
use crate::teach::probe::{Lab, Outcome, TIMEOUT, Task};

/// Makes so many containers one after another, each with layers of its own that stay until all are
/// there, and tells what the second and the last took.
///
/// # Errors
/// A stage's step that the kernel refused; a disk that is full.
pub fn containers(lab: &Lab, side: &Side, number: u32) -> Result<Outcome, Error> {
    let dir = lab.host.layers_base.join(&lab.id);
    let mut state = State::create(&lab.host.state_base.join(&lab.id))?;
    state.record(&Undo::Tree(dir.clone()))?;
    let measured =
        fs::create_dir(&dir).map_err(Error::io("make a place for layers")).and_then(|()| {
            (1..=number).map(|n| one(lab, side, &dir, n)).collect::<Result<Vec<_>, _>>()
        });
    state.undo()?;
    let measured = measured?;
    let told = [2, number].map(|n| {
        let (millis, kilobytes) = measured.get(n as usize - 1).copied().unwrap_or_default();
        format!("container {n}: {kilobytes} KB of its own, ready after {millis:.1} ms\n")
    });
    Ok(Outcome { stdout: told.concat(), stderr: String::new(), status: 0 })
}

/// Milliseconds and kilobytes.
fn one(lab: &Lab, side: &Side, dir: &Path, number: u32) -> Result<(f64, u64), Error> {
    let id = format!("{}-{number}", lab.id);
    let own = dir.join(number.to_string());
    let task = Task::on(side, lab, None);
    let spec = task.spec();
    let layers = Layers { dir: own.clone(), kept: true, ..spec.layers };
    let plan = Plan::new(&Spec { id, layers, ..spec })?;
    let mut nothing = || 0;
    let begin = Instant::now();
    run(&plan, Options::captured(TIMEOUT, Some(&mut nothing)))?;
    let millis = begin.elapsed().as_secs_f64() * 1000.0;
    Ok((millis, blocks(&own).map_err(Error::io("measure a layer"))? / 2))
}

/// What a tree takes on its disk, in blocks of 512 bytes. A file with two names counts twice.
fn blocks(tree: &Path) -> std::io::Result<u64> {
    let about = fs::symlink_metadata(tree)?;
    let mut sum = about.blocks();
    // Into the kernel's own directory nobody may look.
    if let Some(entries) = about.is_dir().then(|| fs::read_dir(tree).ok()).flatten() {
        for entry in entries {
            sum += blocks(&entry?.path())?;
        }
    }
    Ok(sum)
}
