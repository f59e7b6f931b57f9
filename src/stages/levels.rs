//! Choosing stages: levels, and sets that are written in one word.

use super::names::{
    CGROUP_NS, CGROUPS, CHROOT, IPC, MNT, NET, OVERLAY, PID, PIVOT_ROOT, ROOTFS, USER, UTS,
};
use super::{STAGES, find, in_order};
use crate::error::Error;
use crate::plan::step::StageName;

/// A named set of stages, told by what it has more or less than the one before.
pub struct Level {
    /// Its name.
    pub name: &'static str,
    adds: &'static [StageName],
    drops: &'static [StageName],
}

/// The levels, each on top of the one before.
pub const LEVELS: &[Level] = &[
    Level { name: "host", adds: &[], drops: &[] },
    Level { name: "chroot", adds: &[MNT, ROOTFS, CHROOT], drops: &[] },
    Level {
        name: "namespaces",
        adds: &[USER, CGROUP_NS, UTS, IPC, NET, PID, PIVOT_ROOT],
        drops: &[CHROOT],
    },
    Level { name: "cgroups", adds: &[CGROUPS], drops: &[] },
    // For root without `user`, as the files of an image belong to root.
    Level { name: "union", adds: &[OVERLAY], drops: &[USER] },
];

/// The level that is meant when nobody says anything.
pub const DEFAULT: &str = "namespaces";

/// The stages of a level, in the order in which they run.
///
/// # Errors
/// When there is no such level.
pub fn level(name: &str) -> Result<Vec<StageName>, Error> {
    let Some(last) = LEVELS.iter().position(|level| level.name == name) else {
        let names: Vec<&str> = LEVELS.iter().map(|level| level.name).collect();
        return Err(Error::usage(
            format!("there is no level `{name}`"),
            format!("the levels are {}", names.join(", ")),
        ));
    };
    let mut stages = Vec::new();
    for level in &LEVELS[..=last] {
        stages.extend(level.adds);
        stages.retain(|stage| !level.drops.contains(stage));
    }
    Ok(in_order(&stages))
}

/// A set of stages in one word: `chroot`, `namespaces-net`, `host+uts+pid`. A name with a dash in
/// it is recognised as a whole.
///
/// # Errors
/// When there is no such stage or level.
pub fn set(text: &str) -> Result<Vec<StageName>, Error> {
    let levels = LEVELS.iter().map(|level| level.name);
    let known: Vec<&str> = levels.chain(STAGES.iter().map(|stage| stage.name())).collect();
    let mut stages: Vec<StageName> = Vec::new();
    let (mut sign, mut rest) = ('+', text);
    loop {
        let begins = known.iter().filter(|name| {
            let after = rest.strip_prefix(**name);
            after.is_some_and(|after| after.is_empty() || after.starts_with(['+', '-']))
        });
        let Some(name) = begins.max_by_key(|name| name.len()) else {
            let word = rest.split(['+', '-']).next().unwrap_or(rest);
            stage(word)?;
            return Err(Error::usage(
                format!("`{text}` is no set of stages"),
                "write it like `namespaces-net`",
            ));
        };
        // `chroot` and `cgroups` are stages and levels: here the level is meant.
        let meant = match level(name) {
            Ok(stages) => stages,
            Err(_) => vec![stage(name)?],
        };
        match sign {
            '+' => stages.extend(meant),
            _ => stages.retain(|stage| !meant.contains(stage)),
        }
        rest = &rest[name.len()..];
        match rest.chars().next() {
            Some(next) => (sign, rest) = (next, &rest[1..]),
            None => return Ok(in_order(&stages)),
        }
    }
}

/// The stages of these names.
///
/// # Errors
/// When there is no such stage.
pub fn stages(given: &[String]) -> Result<Vec<StageName>, Error> {
    given.iter().filter(|name| !name.is_empty()).map(|name| stage(name)).collect()
}

/// The stage of this name.
///
/// # Errors
/// When there is none; with the one that was probably meant.
pub fn stage(name: &str) -> Result<StageName, Error> {
    if let Some(stage) = find(name) {
        return Ok(stage.name());
    }
    let names: Vec<&str> = STAGES.iter().map(|stage| stage.name()).collect();
    let all = format!("the stages are {}", names.join(", "));
    let hint = match nearest(name, names.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`? {all}"),
        None => all,
    };
    Err(Error::usage(format!("there is no stage `{name}`"), hint))
}

/// The name that was probably meant.
pub fn nearest<'a>(name: &str, among: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let scored = among.map(|known| (strsim::jaro_winkler(name, known), known));
    let best = scored.filter(|(score, _)| *score > 0.7).max_by(|a, b| a.0.total_cmp(&b.0));
    best.map(|(_, known)| known)
}
