//! What sandboxes use, as a table.

use colored::Colorize;

use super::text::{pad, word};
use crate::cgroups::usage::Usage;
use crate::run::state::Label;

/// One line for each sandbox.
pub fn usage(samples: &[(String, Label, Usage, Option<f64>)]) -> String {
    let heading = row(["NAME", "CPU", "THROTTLED", "MEMORY", "PROCESSES", "READ", "WRITTEN", ""]);
    let mut out = format!("{}\n", heading.bold());
    for (name, _, usage, share) in samples {
        let none = || "-".to_owned();
        let cpu = usage.cpu.as_ref();
        let throttled = cpu.and_then(|cpu| Some((cpu.throttled?, cpu.periods?)));
        let cells = [
            word(name),
            share.map_or_else(none, |share| format!("{:.0} %", share * 100.0)),
            throttled.filter(|(_, of)| *of > 0).map_or_else(none, |(n, of)| format!("{n} of {of}")),
            usage
                .memory
                .as_ref()
                .map_or_else(none, |memory| of(bytes(memory.bytes), memory.limit.map(bytes))),
            usage.pids.as_ref().map_or_else(none, |pids| {
                of(pids.current.to_string(), pids.limit.map(|limit| limit.to_string()))
            }),
            usage.io.as_ref().map_or_else(none, |io| bytes(io.read)),
            usage.io.as_ref().map_or_else(none, |io| bytes(io.written)),
            if usage.paused { "paused".to_owned() } else { String::new() },
        ];
        out.push_str(row(cells.each_ref().map(String::as_str)).trim_end());
        out.push('\n');
    }
    out
}

fn row(cells: [&str; 8]) -> String {
    let widths = [12, 6, 12, 16, 10, 8, 8, 6];
    let cells = cells.iter().zip(widths).map(|(cell, width)| pad(cell, width));
    cells.collect::<Vec<_>>().join(" ").trim_end().to_owned()
}

fn of(used: String, limit: Option<String>) -> String {
    limit.map_or(used.clone(), |limit| format!("{used} of {limit}"))
}

/// `12.3M`, in powers of 1024.
fn bytes(number: u64) -> String {
    let units = ["B", "K", "M", "G", "T"];
    #[expect(clippy::cast_precision_loss)] // three digits are shown
    let mut number = number as f64;
    let mut unit = 0;
    while number >= 1024.0 && unit + 1 < units.len() {
        number /= 1024.0;
        unit += 1;
    }
    let digits = usize::from(number < 10.0 && unit > 0);
    format!("{number:.digits$}{}", units[unit])
}
