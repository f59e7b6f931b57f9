//! The state of sandboxes: what is believed of it, what is obeyed, and what becomes of the rest.

#![allow(clippy::unwrap_used)] // a test may panic

#[path = "../common/mod.rs"]
mod common;
mod ids;
mod removal;
mod together;
mod trust;

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::{Mutex, PoisonError};

use common::{Who, wait_for};

/// One test at a time: root has one state directory, and what is dead in it is everybody's to take.
static TURN: Mutex<()> = Mutex::new(());

fn everybody(test: &str, act: impl Fn(&Who)) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    common::everybody(test, act);
}

fn runs(who: &Who, name: &str) -> bool {
    who.run(&["ps", "--format", "json"]).succeeds().contains(&format!("\"{name}\""))
}

/// Starts a sandbox, and waits until its command runs.
fn started(who: &Who, name: &str, stages: &[&str], command: &[&str]) -> Child {
    let args = [&["run", "--name", name], stages, &["--"], command].concat();
    let mut sandbox = who.sandbox(&args);
    let child = sandbox.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_for("the sandbox runs", || runs(who, name));
    child
}

/// As a killed sandbox leaves it, with what its journal says.
fn leave(who: &Who, name: &str, journal: &str) {
    let dir = who.state().join(name);
    make_dir(who, &who.state());
    make_dir(who, &dir);
    for (file, text) in [("lock", ""), ("journal", journal)] {
        fs::write(dir.join(file), text).unwrap();
        give(who, &dir.join(file));
    }
}

fn make_dir(who: &Who, dir: &Path) {
    use std::os::unix::fs::DirBuilderExt;
    if !dir.exists() {
        fs::DirBuilder::new().mode(0o700).create(dir).unwrap();
        give(who, dir);
    }
}

fn give(who: &Who, path: &Path) {
    if nix::unistd::geteuid().is_root() {
        std::os::unix::fs::chown(path, Some(who.uid), Some(who.uid)).unwrap();
    }
}

/// The layers of this one's sandboxes.
fn layers(who: &Who) -> std::path::PathBuf {
    who.home().join(".local/share/sandbox/layers")
}

/// The names in a directory, sorted; of one that is not there, none.
fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
