//! What a container costs, measured on this machine's own disk.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Instant;

use super::lab::{Lab, TIMEOUT};
use super::lesson::Side;
use super::pair::Outcome;
use crate::error::Error;
use crate::layers;
use crate::plan::step::Undo;
use crate::run::ready::Asked;
use crate::run::state::State;
use crate::run::{Options, run};

/// Makes so many containers one after another, each with layers of its own that stay until all are
/// there, and tells what the second and the last took.
///
/// # Errors
/// A stage's step that the kernel refused; a disk that is full.
pub fn containers(lab: &Lab, side: &Side, number: u32) -> Result<Outcome, Error> {
    let base = match &lab.layers_base {
        Some(base) => base.clone(),
        None => layers::base()?,
    };
    let dir = layers::of_run(&base, &lab.id);
    let mut state = State::create(&lab.host.state_base.join(&lab.id))?;
    state.record(&Undo::Tree(dir.clone()))?;
    let measured =
        fs::create_dir_all(&dir).map_err(Error::io("make a place for layers")).and_then(|()| {
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
    let mut side = side.clone();
    side.settings.overlay.keep = Some(number.to_string());
    let (id, layers_base) = (Some(format!("{}-{number}", lab.id)), Some(dir.to_owned()));
    let asked = Asked { id, layers_base, ..lab.asked(&side) };
    lab.perform(&asked, |ready| {
        let mut nothing = || 0;
        let begin = Instant::now();
        run(&ready.plan, Options::captured(&ready.spec, TIMEOUT).inside(&mut nothing))?;
        let millis = begin.elapsed().as_secs_f64() * 1000.0;
        let layers = &ready.spec.layers;
        let own = layers.keep_as.as_ref().unwrap_or(&layers.dir);
        Ok((millis, blocks(own).map_err(Error::io("measure a layer"))? / 2))
    })
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
