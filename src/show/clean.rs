//! What was taken away.

use std::path::PathBuf;

/// What `sandbox clean` took away, or would: of dead sandboxes, and of changes of the store that
/// were killed.
pub fn cleaned(names: &[String], unfinished: &[PathBuf], dry_run: bool) -> String {
    let verb = if dry_run { "would be taken away" } else { "taken away" };
    if names.is_empty() && unfinished.is_empty() {
        return "nothing was left behind\n".to_owned();
    }
    let of_sandbox = |name: &String| format!("{verb}: what the dead sandbox {name} left\n");
    let of_store = |path: &PathBuf| format!("{verb}: {}, which is unfinished\n", path.display());
    names.iter().map(of_sandbox).chain(unfinished.iter().map(of_store)).collect()
}
