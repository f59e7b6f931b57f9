//! `sandbox clean`: take away what dead sandboxes left, and changes of the store that were killed.

use std::path::PathBuf;

use rootfs_fetch::Store;
use serde::Serialize;

use super::global::Global;
use crate::error::Error;
use crate::machine::host::Host;
use crate::run::state;
use crate::show;

/// What `sandbox clean --format json` prints: the names of the sandboxes, and what was unfinished in
/// the store.
#[derive(Serialize)]
struct Cleaned {
    removed: Vec<String>,
    unfinished: Vec<PathBuf>,
    dry_run: bool,
}

pub(crate) fn clean(global: &Global) -> Result<u8, Error> {
    let (json, dry_run) = (global.json()?, global.dry_run);
    let base = Host::gather().state_base;
    let removed = if dry_run { state::dead(&base)? } else { state::sweep(&base)? };
    // Who has no place for data has no store.
    let unfinished = match Store::open(None) {
        Ok(store) if dry_run => store.left_behind()?,
        Ok(store) => store.clean()?,
        Err(_) => Vec::new(),
    };
    if json {
        anstream::println!("{}", show::json(&Cleaned { removed, unfinished, dry_run }));
    } else {
        anstream::print!("{}", show::cleaned(&removed, &unfinished, dry_run));
    }
    Ok(0)
}
