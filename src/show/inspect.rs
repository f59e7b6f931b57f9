//! Processes and running sandboxes.

use colored::Colorize;

use super::text::{fold, pad, width, word, wrap};
use crate::run::inspect::Inspection;
use crate::run::state::Label;

/// What there is to know about a process.
pub fn inspection(found: &Inspection) -> String {
    let mut out = format!("process {}  {}\n\n", found.pid.to_string().bold(), word(&found.command));
    let mut row = |name: &str, text: String| {
        let lines = wrap(&text, width().saturating_sub(16).max(20));
        let indent = format!("\n{}", " ".repeat(16));
        out.push_str(&format!("  {}{}\n", pad(name, 14).dimmed(), lines.join(&indent)));
    };
    let numbers: Vec<String> = found.pids.iter().map(i32::to_string).collect();
    row(
        "pid",
        match numbers.as_slice() {
            [_] | [] => format!("{}, and the same inside", found.pid),
            [outside, .., inside] => format!("{outside} here, {inside} inside"),
        },
    );
    row(
        "user",
        format!("{} here; map (inside, outside, how many): {}", found.uid, list(&found.uid_map)),
    );
    row("root", found.root.clone().unwrap_or("may not be read".to_owned()));
    row("mounts", found.mounts.map_or("may not be read".to_owned(), |n| n.to_string()));
    row("cgroup", list(&found.cgroups));
    row("capabilities", capabilities(&found.capabilities));
    row("no_new_privs", yes(found.no_new_privs).to_owned());
    row("seccomp", yes(found.seccomp).to_owned());
    out.push_str("\n  namespaces\n");
    for namespace in &found.namespaces {
        let own = if namespace.shared { "shared with us".normal() } else { "its own".green() };
        let kind = pad(namespace.kind, 10);
        out.push_str(&format!("    {kind}{}  {own}\n", pad(&word(&namespace.id), 12)));
    }
    out
}

fn list(items: &[String]) -> String {
    if items.is_empty() { "none".to_owned() } else { items.join(", ") }
}

fn yes(set: bool) -> &'static str {
    if set { "yes" } else { "no" }
}

fn capabilities(names: &[String]) -> String {
    match names.len() {
        0 => "none".to_owned(),
        n if n == caps::all().len() => format!("all {n}, over its own user namespace"),
        n => {
            let short: Vec<String> =
                names.iter().map(|n| n.trim_start_matches("CAP_").to_lowercase()).collect();
            format!("{n}: {}", short.join(", "))
        }
    }
}

/// The sandboxes that run.
pub fn running(sandboxes: &[(String, Label)]) -> String {
    if sandboxes.is_empty() {
        return "no sandbox of yours runs\n".to_owned();
    }
    let mut out = format!("{}\n", "NAME            PID      STAGES and COMMAND".bold());
    for (name, label) in sandboxes {
        let mut begin = format!("{} {} ", pad(&word(name), 15), pad(&label.pid.to_string(), 8));
        for text in [label.stages.join(", "), label.command.join(" ")] {
            for line in fold(&text, width().saturating_sub(25).max(20)) {
                out.push_str(&format!("{begin}{line}\n"));
                begin = " ".repeat(25);
            }
        }
    }
    out
}
