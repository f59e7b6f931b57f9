//! The layers of a sandbox, drawn from the top down.

use std::path::PathBuf;

use colored::Colorize;

use super::text::{self, pad};
use crate::layers::{Change, Layers, Mark};

/// What a layer changed, a line each.
pub fn changes(changes: &[Change]) -> String {
    let line = |change: &Change| format!("{} {}\n", change.kind.letter(), text::word(&change.path));
    changes.iter().map(line).collect()
}

/// The names of what is kept, a line each.
pub fn kept(names: &[String]) -> String {
    names.iter().map(|name| format!("{}\n", text::word(name))).collect()
}

/// What is seen, what is written, and what is only read.
pub fn layers(name: &str, own: &Layers, lowers: &[PathBuf], marks: &[(PathBuf, Mark)]) -> String {
    let mut out = format!("{}  what the sandbox sees at /\n", pad("merged", 8).bold());
    let row = |kind: &str, what: &str, dir: &PathBuf| {
        format!("├─ {} {}\n│    {}\n", pad(kind, 8).bold(), what, text::word(dir))
    };
    out.push_str(&row("upper", &format!("what `{}` has written", text::word(name)), &own.upper()));
    for (path, mark) in marks {
        let mark = match mark {
            Mark::New => "new".green(),
            Mark::CopiedUp => "copied up".yellow(),
            Mark::Whiteout => "whiteout".red(),
            Mark::Opaque => "opaque".red(),
        };
        out.push_str(&format!("│      {:<10} {}\n", mark, text::word(path)));
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
            text::word(dir)
        ));
    }
    out
}
