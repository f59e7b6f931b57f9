//! `sandbox clean`: take away what dead sandboxes left, and changes of the store that were killed.

use std::path::{Path, PathBuf};

use rootfs_fetch::Store;
use serde::Serialize;

use super::global::Global;
use crate::error::Error;
use crate::machine::host::Host;
use crate::run::state::{self, Swept};
use crate::show;

/// What `sandbox clean --format json` prints: the names of the sandboxes, and what was unfinished in
/// the store.
#[derive(Serialize)]
struct Cleaned {
    removed: Vec<String>,
    unfinished: Vec<PathBuf>,
    stayed: Vec<Stayed>,
    dry_run: bool,
}

/// What would not go, and why.
#[derive(Serialize)]
struct Stayed {
    name: String,
    why: String,
}

pub(crate) fn clean(global: &Global) -> Result<u8, Error> {
    let (json, dry_run) = (global.json()?, global.dry_run);
    let base = Host::gather().state_base;
    let Swept { removed, stayed } =
        if dry_run { state::dead(&base)? } else { state::sweep(&base)? };
    // Who has no place for data has no store.
    let unfinished = match Store::open(None) {
        Ok(store) if dry_run => store.left_behind()?,
        Ok(store) => store.clean()?,
        Err(_) => Vec::new(),
    };
    let status = if stayed.is_empty() { 0 } else { 125 };
    if json {
        let one = |(name, why): (String, Error)| Stayed { name, why: why.to_string() };
        let stayed = stayed.into_iter().map(one).collect();
        let cleaned = Cleaned { removed, unfinished, stayed, dry_run };
        show::line(show::json(&cleaned))?;
    } else {
        show::print(show::cleaned(&removed, &unfinished, !stayed.is_empty(), dry_run))?;
        stayed.iter().for_each(|(name, why)| show::stayed(name, why));
    }
    Ok(status)
}

/// Takes away what dead sandboxes left, before others are made. What will not go is a note.
pub(super) fn before(base: &Path) -> Result<(), Error> {
    let stayed = state::sweep(base)?.stayed;
    let names: Vec<&str> = stayed.iter().map(|(name, _)| name.as_str()).collect();
    if let Some((_, why)) = stayed.first() {
        show::note(&format!(
            "what is left of {} could not be taken away: {why}; `sandbox clean` tries again",
            names.join(", ")
        ));
    }
    Ok(())
}
