//! The last test target: says how many tests needed privilege, and ran.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn main() {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("privileged");
    let files = fs::read_dir(&dir).into_iter().flatten().flatten();
    let text: String = files.filter_map(|file| fs::read_to_string(file.path()).ok()).collect();
    let _ = fs::remove_dir_all(&dir);
    // A run of a part of the tests leaves its records too: each test counts once, and one that
    // was skipped counts as skipped.
    let named =
        |what| text.lines().filter_map(|line| line.strip_prefix(what)).collect::<BTreeSet<_>>();
    let (ran, skipped, elsewhere) = (named("ran "), named("skipped "), named("elsewhere "));
    let ran = ran.iter().filter(|test| !skipped.contains(*test) && !elsewhere.contains(*test));
    let ran = ran.count();
    println!(
        "\n{} tests needed root or a user namespace: {ran} ran, {} skipped",
        ran + skipped.len(),
        skipped.len()
    );
    skipped.iter().for_each(|test| println!("  skipped {test}"));
    elsewhere.iter().for_each(|test| println!("  not for this kind of machine: {test}"));
}
