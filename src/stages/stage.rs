//! What a stage is.
//!
//! A stage is a value: what it was told, by flags of the command line or by a lesson file. It looks
//! at the machine, checks that it can do what it was told, and turns that into [`Step`]s. It changes
//! nothing itself; `run/` performs the steps.

use nix::errno::Errno;
use serde::Serialize;

use super::spec::Spec;
use crate::error::Error;
use crate::plan::step::{StageName, Step};
use crate::syscall::Syscall;

// ANCHOR: stage
/// One isolation mechanism.
pub trait Stage: Told + Send + Sync {
    /// Its name.
    fn name(&self) -> StageName;

    /// What `sandbox explain` says about it.
    fn about(&self) -> About;

    /// The stages without which it cannot work, or would change the host.
    fn needs(&self) -> &'static [StageName] {
        &[]
    }

    /// The stages that do the same another way.
    fn conflicts(&self) -> &'static [StageName] {
        &[]
    }

    /// Whether it comes along with what is chosen, unasked. `--without` keeps it away.
    fn joins(&self, _: &Spec) -> Joins {
        Joins::No
    }

    /// Looks at the machine for what it needs to know, and tells the others what they need to know
    /// through the [`Spec`]. Changes nothing.
    ///
    /// # Errors
    /// [`Error::NotHere`] when this machine cannot do what is asked.
    fn look(&mut self, _: &mut Spec) -> Result<(), Error> {
        Ok(())
    }

    /// Checks what it was told against what was found.
    ///
    /// # Errors
    /// What cannot be.
    fn check(&self, _: &Spec) -> Result<(), Error> {
        Ok(())
    }

    /// Steps on the host, before the first fork. Each that puts something there has an undo.
    fn prepare(&self, _: &Spec) -> Vec<Step> {
        Vec::new()
    }

    /// Steps in the process that becomes the container.
    fn enter(&self, spec: &Spec) -> Vec<Step>;

    /// What to do when the kernel refuses one of its calls; where it is silent, the call itself is
    /// asked.
    fn remedy(&self, _: &Syscall, _: Errno) -> Option<String> {
        None
    }

    /// The options of other stages that it obeys too.
    fn obeys(&self) -> &'static [&'static str] {
        &[]
    }

    /// The stage that takes its place where a level asked for it and this machine cannot, and what
    /// is different then.
    fn instead(&self) -> Option<(StageName, &'static str)> {
        None
    }

    /// Where this machine cannot, but somebody on it can help: asks them, and starts this program
    /// again with their help. Comes back when they cannot.
    fn ask_for_help(&self) -> Option<Help> {
        None
    }

    /// What of its steps is doubtful, in words that follow "whether".
    fn doubt(&self, _: &Spec) -> Option<&'static str> {
        None
    }

    /// Takes another way, as the kernel refused a step that was doubtful. Returns what is worth
    /// knowing about that.
    ///
    /// # Errors
    /// When it cannot do without.
    fn another_way(&mut self, _: &mut Spec) -> Result<Option<&'static str>, Error> {
        Ok(None)
    }
}
// ANCHOR_END: stage

/// Whether a stage comes along with what is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joins {
    /// It does not.
    No,
    /// It does.
    Yes,
    /// It does, and says why.
    Saying(&'static str),
    /// It does, and nobody can keep it away; why.
    Always(&'static str),
}

/// Somebody who may help.
pub struct Help {
    /// Whom and for what, in words that follow "would".
    pub asks: &'static str,
    /// Asks, and does not come back when they help.
    pub ask: fn() -> Option<Error>,
}

/// What an option is that was told.
pub trait Told {
    /// The names of the options that were told, as on the command line without the dashes.
    fn told(&self) -> Vec<String>;
}

/// An option was told when it is not as it is by default. Its name in YAML is that of its flag.
impl<T: Default + PartialEq + Serialize> Told for T {
    fn told(&self) -> Vec<String> {
        if *self == T::default() {
            return Vec::new();
        }
        let options = |stage: &T| match serde_json::to_value(stage) {
            Ok(serde_json::Value::Object(options)) => options,
            _ => serde_json::Map::new(),
        };
        let by_default = options(&T::default());
        let mut told = options(self);
        told.retain(|name, value| by_default.get(name) != Some(value));
        told.keys().cloned().collect()
    }
}

/// A stage in words.
pub struct About {
    /// What the stage is, in half a line.
    pub title: &'static str,
    /// What is hidden or private with it.
    pub isolates: &'static str,
    /// What still shows: the reason for the next stage.
    pub leaks: &'static str,
    /// The kernel that first had it.
    pub since: &'static str,
    /// Manual pages.
    pub see: &'static [&'static str],
}
