//! `sandbox clean`: take away what dead sandboxes left.

use serde::Serialize;

use super::global::Global;
use crate::error::Error;
use crate::machine::host::Host;
use crate::run::state;
use crate::show;

/// What `sandbox clean --format json` prints: the names of the sandboxes.
#[derive(Serialize)]
struct Cleaned {
    removed: Vec<String>,
    dry_run: bool,
}

pub(crate) fn clean(global: &Global) -> Result<u8, Error> {
    let (json, dry_run) = (global.json()?, global.dry_run);
    let base = Host::gather().state_base;
    let removed = if dry_run { state::dead(&base)? } else { state::sweep(&base)? };
    if json {
        show::line(show::json(&Cleaned { removed, dry_run }))?;
    } else {
        show::print(show::cleaned(&removed, dry_run))?;
    }
    Ok(0)
}
