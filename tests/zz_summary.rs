//! The last test target: says how many tests needed privilege, and ran.

use std::fs;
use std::path::Path;

fn main() {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("privileged");
    let files = fs::read_dir(&dir).into_iter().flatten().flatten();
    let text: String = files.filter_map(|file| fs::read_to_string(file.path()).ok()).collect();
    let _ = fs::remove_dir_all(&dir);
    let count = |what: &str| text.lines().filter(|line| line.starts_with(what)).count();
    let (ran, skipped) = (count("ran "), count("skipped "));
    println!(
        "\n{} tests needed root or a user namespace: {ran} ran, {skipped} skipped",
        ran + skipped
    );
    text.lines().filter(|line| line.starts_with("skipped ")).for_each(|line| println!("  {line}"));
}
