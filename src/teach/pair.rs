//! What a command printed on two sides, and what is expected of it.

use regex_lite::Regex;
use serde::{Deserialize, Serialize};

use super::lesson::{Condition, Expect};

/// What a command printed, and how it ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// What it printed.
    pub stdout: String,
    /// What it complained.
    pub stderr: String,
    /// Its exit status, 128 + n for signal n; 125 when an attack's own call was refused.
    pub status: u8,
}

/// The two sides of one command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pair {
    /// What came out before the stage was added, unless the command runs on one side only.
    pub without: Option<Outcome>,
    /// And after.
    pub with: Option<Outcome>,
    /// Whether the two differ; `None` with one side only.
    pub changed: Option<bool>,
}

impl Pair {
    /// Compares two outcomes, without what `ignore` matches.
    pub fn new(without: Option<Outcome>, with: Option<Outcome>, ignore: Option<&Regex>) -> Pair {
        let changed = match (&without, &with) {
            (Some(left), Some(right)) => Some(essence(left, ignore) != essence(right, ignore)),
            _ => None,
        };
        Pair { without, with, changed }
    }

    /// Whether a condition about this command holds.
    pub fn fulfils(&self, condition: &Condition) -> bool {
        let side = |expect: &Option<Expect>, outcome: &Option<Outcome>| match (expect, outcome) {
            (None, _) => true,
            (Some(expect), Some(outcome)) => expect.holds(outcome),
            (Some(_), None) => false,
        };
        condition.changed.is_none_or(|changed| self.changed == Some(changed))
            && side(&condition.without, &self.without)
            && side(&condition.with, &self.with)
    }
}

fn essence(outcome: &Outcome, ignore: Option<&Regex>) -> (String, u8) {
    let text = outcome.stdout.trim_end();
    let text = ignore.map_or(text.to_owned(), |ignore| ignore.replace_all(text, "").into_owned());
    (text, outcome.status)
}

impl Expect {
    fn holds(&self, outcome: &Outcome) -> bool {
        let all = format!("{}{}", outcome.stdout, outcome.stderr);
        let matches =
            |pattern: &String| Regex::new(pattern).is_ok_and(|regex| regex.is_match(&all));
        self.is.as_ref().is_none_or(|text| outcome.stdout.trim_end() == text.trim_end())
            && self.contains.as_ref().is_none_or(|text| all.contains(text))
            && self.lacks.as_ref().is_none_or(|text| !all.contains(text))
            && self.matches.as_ref().is_none_or(matches)
            && self.status.is_none_or(|status| outcome.status == status)
    }
}
