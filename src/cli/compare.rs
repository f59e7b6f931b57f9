//! `sandbox compare` and `sandbox matrix`: isolation levels side by side.

use std::ffi::OsString;

use clap::Args;
use serde_json::{Value, json};

use super::stages::{rootfs, stage_set};
use super::{Format, Global};
use crate::error::Error;
use crate::show;
use crate::stages::join_user;
use crate::syscall::quote::sh_words;
use crate::teach::lesson::Side;
use crate::teach::matrix::Row;
use crate::teach::probe::{BUILT_IN, BuiltIn, Lab, Pair, Task};

#[derive(Args)]
pub(crate) struct CompareArgs {
    /// A level or stages, with others added and taken away: chroot, namespaces-net, host+uts+pid
    left: String,
    /// The same
    right: String,
    /// Leave out what is the same on both sides
    #[arg(long)]
    only_different: bool,
    /// Exit with 1 when something differs, as diff(1) does
    #[arg(long)]
    exit_code: bool,
    /// The root filesystem: a name from `sandbox rootfs list`, or a directory
    #[arg(long, value_name = "NAME|DIR", env = "SANDBOX_ROOTFS")]
    rootfs: Option<OsString>,
    /// The command to run on both sides [default: all built-in probes]
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// Prints `{"left","right","stages":{"left","right"},"probes":[{"command","left","right","changed"}]}`,
/// or the same for people.
pub(crate) fn compare(args: CompareArgs, global: &Global) -> Result<u8, Error> {
    let mut sides = [side(&args.left)?, side(&args.right)?];
    let both = [&sides[0].stages[..], &sides[1].stages].concat();
    let lab = Lab::new(rootfs(args.rootfs.as_ref())?, global.trace).make_ready(&both)?;
    // On both sides, or what `user` does would be put down to another stage.
    if sides.iter_mut().any(|side| join_user(&mut side.stages, &lab.host)) {
        sides.iter_mut().filter(|side| !side.stages.contains(&"user")).for_each(|side| {
            side.stages.insert(0, "user");
        });
        show::note("not root: the stage `user` joins on both sides");
    }
    let [left, right] = &sides;
    let given = sh_words(&args.command);
    let probes: Vec<BuiltIn> = if args.command.is_empty() {
        BUILT_IN.to_vec()
    } else {
        vec![BuiltIn { name: "", command: &given }]
    };
    let mut rows = Vec::new();
    for probe in &probes {
        let on = |side| Task::on(side, &lab, Some(probe.command)).run();
        let pair = Pair::new(Some(on(left)?), Some(on(right)?), None);
        if !(args.only_different && pair.changed == Some(false)) {
            rows.push((*probe, pair));
        }
    }
    let differs = rows.iter().any(|(_, pair)| pair.changed == Some(true));
    if global.json()? {
        let row = |(probe, pair): &(BuiltIn, Pair)| {
            json!({
                "command": probe.command, "left": pair.without, "right": pair.with,
                "changed": pair.changed,
            })
        };
        let probes: Vec<Value> = rows.iter().map(row).collect();
        let stages = json!({ "left": left.stages, "right": right.stages });
        let all =
            json!({ "left": args.left, "right": args.right, "stages": stages, "probes": probes });
        anstream::println!("{all:#}");
    } else {
        anstream::print!("{}", show::comparison([&args.left, &args.right], &rows));
    }
    Ok(u8::from(args.exit_code && differs))
}

fn side(set: &str) -> Result<Side, Error> {
    Ok(Side { name: set.to_owned(), stages: stage_set(set)?, ..Side::default() })
}

/// Prints `{"probes":[{"name","command"}],"stages":[{"stage","reason","isolates":{NAME:BOOL}}]}`, or
/// the same for people, or as a Markdown table.
pub(crate) fn matrix(global: &Global) -> Result<u8, Error> {
    let lab = Lab::new(rootfs(None)?, global.trace).make_ready(&["overlay"])?;
    let rows = crate::teach::matrix::measure(&lab)?;
    match global.format {
        Format::Text => anstream::print!("{}", show::matrix(&rows)),
        Format::Markdown => anstream::print!("{}", show::matrix_markdown(&rows)),
        Format::Json => anstream::println!("{:#}", matrix_json(&rows)),
    }
    Ok(0)
}

fn matrix_json(rows: &[Row]) -> Value {
    let row = |row: &Row| {
        let isolates: serde_json::Map<String, Value> = match &row.isolates {
            Ok(isolates) => {
                BUILT_IN.iter().zip(isolates).map(|(p, yes)| (p.name.into(), json!(yes))).collect()
            }
            Err(_) => serde_json::Map::new(),
        };
        let reason = row.isolates.as_ref().err().map(|skip| &skip.reason);
        json!({ "stage": row.stage, "reason": reason, "isolates": isolates })
    };
    let probes = BUILT_IN.iter().map(|p| json!({ "name": p.name, "command": p.command }));
    json!({
        "probes": probes.collect::<Vec<_>>(),
        "stages": rows.iter().map(row).collect::<Vec<_>>(),
    })
}
