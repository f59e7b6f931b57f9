//! `sandbox compare` and `sandbox matrix`: isolation levels side by side.

use std::collections::BTreeMap;
use std::ffi::OsString;

use clap::Args;
use serde::Serialize;

use super::global::{Format, Global};
use super::lab::lab;
use crate::error::Error;
use crate::plan::step::StageName;
use crate::run::rootfs::Root;
use crate::show;
use crate::stages::levels::set;
use crate::stages::names::{OVERLAY, USER};
use crate::syscall::quote::sh_words;
use crate::teach::lesson::Side;
use crate::teach::matrix::{Row, measure};
use crate::teach::pair::{Outcome, Pair};
use crate::teach::probe::{BUILT_IN, BuiltIn, Task};

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

/// What `sandbox compare --format json` prints.
#[derive(Serialize)]
struct Comparison<'a> {
    left: &'a str,
    right: &'a str,
    stages: Sides<'a>,
    probes: Vec<Compared>,
}

/// The stages of both sides.
#[derive(Serialize)]
struct Sides<'a> {
    left: &'a [StageName],
    right: &'a [StageName],
}

/// A probe, and what came out on both sides.
#[derive(Serialize)]
struct Compared {
    command: String,
    left: Option<Outcome>,
    right: Option<Outcome>,
    changed: Option<bool>,
}

pub(crate) fn compare(args: CompareArgs, global: &Global) -> Result<u8, Error> {
    let mut sides = [Side::of(set(&args.left)?), Side::of(set(&args.right)?)];
    let both = [&sides[0].stages[..], &sides[1].stages].concat();
    let lab = lab(args.rootfs.into(), &both, global)?;
    if !lab.host.privileged && !both.is_empty() {
        // On both sides, or what `user` does would be put down to another stage.
        sides.iter_mut().for_each(Side::join_user);
        if !both.contains(&USER) {
            show::note("not root: the stage `user` joins on both sides");
        }
    }
    let given = sh_words(&args.command);
    let probes: Vec<BuiltIn> = if args.command.is_empty() {
        BUILT_IN.to_vec()
    } else {
        vec![BuiltIn { name: "", command: &given, list: false }]
    };
    let mut rows = Vec::new();
    for probe in &probes {
        let on = |side| Task::on(side, &lab, Some(probe.command)).run();
        let pair = Pair::new(Some(on(&sides[0])?), Some(on(&sides[1])?), None);
        if !(args.only_different && pair.changed == Some(false)) {
            rows.push((*probe, pair));
        }
    }
    let differs = rows.iter().any(|(_, pair)| pair.changed == Some(true));
    if global.json()? {
        let [left, right] = &sides;
        let row = |(probe, pair): &(BuiltIn, Pair)| Compared {
            command: probe.command.to_owned(),
            left: pair.without.clone(),
            right: pair.with.clone(),
            changed: pair.changed,
        };
        let comparison = Comparison {
            left: &args.left,
            right: &args.right,
            stages: Sides { left: &left.stages, right: &right.stages },
            probes: rows.iter().map(row).collect(),
        };
        show::line(show::json(&comparison))?;
    } else {
        show::print(show::comparison([&args.left, &args.right], &rows))?;
    }
    Ok(u8::from(args.exit_code && differs))
}

/// What `sandbox matrix --format json` prints.
#[derive(Serialize)]
struct Matrix {
    probes: Vec<NamedProbe>,
    stages: Vec<Hides>,
}

/// A probe.
#[derive(Serialize)]
struct NamedProbe {
    name: &'static str,
    command: &'static str,
}

/// Which probes a stage changes, or why it cannot be tried.
#[derive(Serialize)]
struct Hides {
    stage: StageName,
    reason: Option<String>,
    isolates: BTreeMap<&'static str, bool>,
}

pub(crate) fn matrix(global: &Global) -> Result<u8, Error> {
    let lab = lab(Root::Default, &[OVERLAY], global)?;
    let rows = measure(&lab)?;
    match global.format {
        Format::Text => show::print(show::matrix(&rows))?,
        Format::Markdown => show::print(show::matrix_markdown(&rows))?,
        Format::Json | Format::Jsonl => {
            global.json()?;
            show::line(show::json(&as_json(&rows)))?;
        }
    }
    Ok(0)
}

fn as_json(rows: &[Row]) -> Matrix {
    let hides = |row: &Row| match &row.isolates {
        Ok(isolates) => Hides {
            stage: row.stage,
            reason: None,
            isolates: BUILT_IN
                .iter()
                .map(|probe| probe.name)
                .zip(isolates.iter().copied())
                .collect(),
        },
        Err(skip) => {
            Hides { stage: row.stage, reason: Some(skip.reason.clone()), isolates: BTreeMap::new() }
        }
    };
    let probe = |probe: &BuiltIn<'static>| NamedProbe { name: probe.name, command: probe.command };
    Matrix {
        probes: BUILT_IN.iter().map(probe).collect(),
        stages: rows.iter().map(hides).collect(),
    }
}
