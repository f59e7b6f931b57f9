//! What was taken away.

use super::text::word;

/// What `sandbox clean` took away, or would.
pub fn cleaned(names: &[String], dry_run: bool) -> String {
    let verb = if dry_run { "would be taken away" } else { "taken away" };
    if names.is_empty() {
        return "nothing was left behind\n".to_owned();
    }
    let names = names.iter().map(word);
    names.map(|name| format!("{verb}: what the dead sandbox {name} left\n")).collect()
}
