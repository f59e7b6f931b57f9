//! What was taken away.

use super::talk;
use crate::error::Error;

/// What `sandbox clean` took away, or would.
pub fn cleaned(names: &[String], some_stayed: bool, dry_run: bool) -> String {
    let verb = if dry_run { "would be taken away" } else { "taken away" };
    if names.is_empty() && !some_stayed {
        return "nothing was left behind\n".to_owned();
    }
    names.iter().map(|name| format!("{verb}: what the dead sandbox {name} left\n")).collect()
}

/// What did not go, and why, on stderr.
pub fn stayed(name: &str, why: &Error) {
    anstream::eprintln!("what is left of the dead sandbox {name}:");
    talk::error(why);
}
