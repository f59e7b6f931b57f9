//! The layers of a sandbox, drawn from the top down.

use std::path::PathBuf;

use colored::Colorize;

use super::text::pad;
use crate::layers::{Layers, Mark};

/// What is seen, what is written, and what is only read.
pub fn layers(name: &str, own: &Layers, lowers: &[PathBuf], marks: &[(PathBuf, Mark)]) -> String {
    let mut out = format!("{}  what the sandbox sees at /\n", pad("merged", 8).bold());
    let row = |kind: &str, what: &str, dir: &PathBuf| {
        format!("├─ {} {}\n│    {}\n", pad(kind, 8).bold(), what, dir.display())
    };
    out.push_str(&row("upper", &format!("what `{name}` has written"), &own.upper()));
    for (path, mark) in marks {
        let mark = match mark {
            Mark::New => "new".green(),
            Mark::CopiedUp => "copied up".yellow(),
            Mark::Whiteout => "whiteout".red(),
            Mark::Opaque => "opaque".red(),
        };
        out.push_str(&format!("│      {:<10} {}\n", mark, path.display()));
    }
    let last = lowers.len().saturating_sub(1);
    for (at, dir) in lowers.iter().enumerate() {
        let (kind, what) = match at {
            0 => ("init", "files that no container shares"),
            _ if at == last => ("lower", "the rootfs, only read"),
            _ => ("lower", "a layer, only read"),
        };
        let corner = if at == last { "└─" } else { "├─" };
        let bar = if at == last { " " } else { "│" };
        out.push_str(&format!(
            "{corner} {} {what}\n{bar}    {}\n",
            pad(kind, 8).bold(),
            dir.display()
        ));
    }
    out
}
