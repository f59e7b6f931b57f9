//! How to perform a plan, and what comes of it.

use std::path::PathBuf;
use std::time::Duration;

use nix::errno::Errno;

use super::child::Pace;
use super::fault::Fault;
use super::state::Label;
use crate::plan::Planned;
use crate::stages::spec::Spec;

/// A step that was made, or refused.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Event<'a> {
    /// The step.
    pub planned: &'a Planned,
    /// What the kernel answered.
    pub result: Result<(), Errno>,
    /// How long the call took; unknown for the execve(2) that replaced the process.
    pub took: Option<Duration>,
}

/// How to perform a plan.
#[derive(Default)]
pub struct Options<'a> {
    /// The directory for the journal; without one, nothing may be put on the host.
    pub state_dir: Option<PathBuf>,
    /// Catch the command's output instead of letting it through. The command then gets an empty
    /// stdin and a session of its own, and may write [`OUTPUT_LIMIT`](crate::run::output::OUTPUT_LIMIT) bytes to a file.
    pub capture: bool,
    /// Kill the command after this time.
    pub timeout: Option<Duration>,
    /// What `sandbox ps` shows; without it the sandbox is not listed.
    pub label: Option<Label>,
    /// Told of each step once it was made.
    pub watch: Option<&'a mut dyn FnMut(Event)>,
    /// Asked before each step; `false` stops there.
    pub ask: Option<&'a mut dyn FnMut(&Planned) -> bool>,
    /// A step that is to fail.
    pub fault: Option<Fault>,
    /// What the process does after the steps of a plan that has no command.
    pub inside: Option<&'a mut dyn FnMut() -> u8>,
}

impl<'a> Options<'a> {
    /// On this terminal, for as long as it takes.
    pub fn through(spec: &Spec) -> Options<'a> {
        Options { state_dir: Some(spec.state_dir()), ..Options::default() }
    }

    /// With the output caught, and no longer than `timeout`.
    pub fn captured(spec: &Spec, timeout: Duration) -> Options<'a> {
        Options { capture: true, timeout: Some(timeout), ..Options::through(spec) }
    }

    /// And with this to do in the sandbox, whose plan has no command.
    pub fn inside(self, inside: &'a mut dyn FnMut() -> u8) -> Options<'a> {
        Options { inside: Some(inside), ..self }
    }

    pub(super) fn pace(&self) -> Pace {
        match (&self.ask, &self.watch) {
            (Some(_), _) => Pace::Asked,
            (None, Some(_)) => Pace::Watched,
            (None, None) => Pace::Quiet,
        }
    }

    pub(super) fn tell(&mut self, event: Event) {
        if let Some(watch) = &mut self.watch {
            watch(event);
        }
    }
}

/// How it ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Finished {
    /// The exit status, or 128 + n for signal n.
    pub status: u8,
    /// What a captured command wrote.
    pub stdout: Vec<u8>,
    /// What a captured command complained.
    pub stderr: Vec<u8>,
    /// Whether the time ran out.
    pub timed_out: bool,
}
