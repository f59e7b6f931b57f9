//! The sets of stages that tests go through: they follow the list of stages, so that a new one is in
//! them without a line.

use sandbox::run::ready;
use sandbox::stages::levels::{LEVELS, level};
use sandbox::stages::{STAGES, Stages, with_needs};

use super::Who;

/// What stages are told in these tests, so that they have something to do.
const TOLD: &[(&str, &[&str])] = &[
    ("uts", &["--hostname", "told"]),
    ("cgroups", &["--pids-limit", "50", "--memory", "64m"]),
    ("rlimits", &["--pids-limit", "4000", "--memory", "4g"]),
];

/// A set of stages, as `sandbox run` is told.
pub struct Set {
    pub name: String,
    pub args: Vec<String>,
}

impl Set {
    fn of(name: String, stages: &[&str]) -> Set {
        let told = TOLD.iter().filter(|(stage, _)| stages.contains(stage));
        let told = told.flat_map(|(_, told)| told.iter().map(|word| (*word).to_owned()));
        let only = ["--only".to_owned(), stages.join(",")];
        Set { name, args: only.into_iter().chain(told).collect() }
    }

    /// The words after `run` or `plan`.
    pub fn args(&self) -> Vec<&str> {
        self.args.iter().map(String::as_str).collect()
    }
}

/// Each stage alone with what it needs, each level, and each level less one stage, as far as they fit
/// together and `who` can have them on this machine.
pub fn sets(who: &Who) -> Vec<Set> {
    let mut sets = Vec::new();
    for stage in STAGES.iter().map(|stage| stage.name()) {
        sets.push((format!("{stage} alone"), with_needs(stage)));
    }
    for name in LEVELS.iter().map(|level| level.name) {
        let whole = level(name).unwrap();
        for left_out in &whole {
            let less = whole.iter().filter(|stage| *stage != left_out).copied().collect();
            sets.push((format!("{name} without {left_out}"), less));
        }
        sets.push((name.to_owned(), whole));
    }
    let with_cgroups = who.may_make_cgroups();
    let root = who.is_root();
    sets.retain(|(_, stages)| {
        let fits = ready::check(stages, &Stages::default()).is_ok();
        let of_nobody = root && stages.contains(&"user") && stages.contains(&"overlay");
        fits && !of_nobody && (with_cgroups || !stages.contains(&"cgroups"))
    });
    assert!(sets.len() > 25, "{}: only {} sets", who.name, sets.len());
    sets.iter().map(|(name, stages)| Set::of(format!("{}: {name}", who.name), stages)).collect()
}
