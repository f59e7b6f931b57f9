//! What was taken away.

use std::path::PathBuf;

use super::talk;
use super::text::word;
use crate::error::Error;

/// What `sandbox clean` took away, or would: of dead sandboxes, and of changes of the store that
/// were killed.
pub fn cleaned(
    names: &[String],
    unfinished: &[PathBuf],
    some_stayed: bool,
    dry_run: bool,
) -> String {
    let verb = if dry_run { "would be taken away" } else { "taken away" };
    if names.is_empty() && unfinished.is_empty() && !some_stayed {
        return "nothing was left behind\n".to_owned();
    }
    let of_sandbox = |name| format!("{verb}: what the dead sandbox {} left\n", word(name));
    let of_store = |path| format!("{verb}: {}, which is unfinished\n", word(path));
    names.iter().map(of_sandbox).chain(unfinished.iter().map(of_store)).collect()
}

/// What did not go, and why, on stderr.
pub fn stayed(name: &str, why: &Error) {
    talk::say(format_args!("what is left of the dead sandbox {}:\n", word(name)));
    talk::error(why);
}
