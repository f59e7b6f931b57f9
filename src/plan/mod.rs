//! A plan: steps in order, and who asked for each.
//!
//! It has no variables, no conditions and no loops: what can vary is decided before there is a plan,
//! and what is printed of one is what will run. Stages make most plans (`stages/mod.rs`); joining a
//! sandbox that runs is another one (`run/join.rs`).

pub mod command;
pub mod script;
pub mod step;

use crate::error::Error;
use step::Step;

/// A step, and who asked for it: a stage, or one of `run`, `attack`, `join`, `command`.
#[derive(Clone, Debug, PartialEq)]
pub struct Planned {
    /// The stage's name.
    pub by: &'static str,
    /// The step.
    pub step: Step,
}

/// What will be done, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// The steps.
    pub steps: Vec<Planned>,
}

impl Plan {
    /// Goes on with these steps.
    pub fn add(&mut self, by: &'static str, steps: Vec<Step>) {
        self.steps.extend(steps.into_iter().map(|step| Planned { by, step }));
    }

    /// The steps before the first fork, which are made on the host, and the rest.
    pub fn at_fork(&self) -> (&[Planned], &[Planned]) {
        let fork = self.steps.iter().position(|planned| planned.step.call.forks());
        self.steps.split_at(fork.unwrap_or(self.steps.len()))
    }

    /// The steps of this plan that `earlier` does not have: what a stage adds.
    pub fn added_since<'a>(&'a self, earlier: &Plan) -> Vec<&'a Planned> {
        let mut known = earlier.steps.clone();
        // As they are shown: whether one is tried first is no difference.
        let shown = |one: &Planned| (one.by, one.step.call.clone(), one.step.why);
        let is_new =
            |planned: &&Planned| match known.iter().position(|old| shown(old) == shown(planned)) {
                Some(at) => {
                    known.remove(at);
                    false
                }
                None => true,
            };
        self.steps.iter().filter(is_new).collect()
    }

    /// Leaves out the calls of these names.
    ///
    /// # Errors
    /// When no step of a name may be left out; with those that may.
    pub fn forget(&mut self, calls: &[String]) -> Result<(), Error> {
        for call in calls {
            let before = self.steps.len();
            self.steps
                .retain(|planned| !(planned.step.forgettable && planned.step.call.name() == *call));
            if self.steps.len() == before {
                return Err(self.not_forgettable(call));
            }
        }
        Ok(())
    }

    fn not_forgettable(&self, call: &str) -> Error {
        let may = self.steps.iter().filter(|planned| planned.step.forgettable);
        let mut may: Vec<String> = may.map(|planned| planned.step.call.name()).collect();
        may.dedup();
        let hint = if may.is_empty() {
            "no call of this plan may be left out without harm to the host".to_owned()
        } else {
            format!("these can be left out: {}", may.join(", "))
        };
        Error::stages(format!("`{call}` cannot be left out of this plan"), hint)
    }
}
