//! `sandbox clean`: take away what dead sandboxes left.

use super::Global;
use crate::error::Error;
use crate::machine::host::Host;
use crate::run::state;
use crate::show;

pub(crate) fn clean(global: &Global) -> Result<u8, Error> {
    let json = global.json()?;
    let base = Host::gather().state_base;
    let names = if global.dry_run { state::dead(&base)? } else { state::sweep(&base)? };
    if json {
        anstream::println!(
            "{}",
            serde_json::json!({ "removed": names, "dry_run": global.dry_run })
        );
    } else {
        anstream::print!("{}", show::cleaned(&names, global.dry_run));
    }
    Ok(0)
}
