//! Faults that are made up, to see what becomes of a plan then.

use nix::errno::Errno;

/// A refusal that is made up: the call is not made, and the kernel is said to have refused it. For those
/// who want to see what happens then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The number of the step, from the begin of the plan.
    pub step: usize,
    /// The answer.
    pub errno: Errno,
}

impl Fault {
    /// The same, counted from a later step.
    pub(super) fn after(self, steps: usize) -> Option<Fault> {
        Some(Fault { step: self.step.checked_sub(steps)?, ..self })
    }

    /// What is answered to the step of this number, before the kernel is asked.
    pub(super) fn answer(fault: Option<Fault>, step: usize) -> nix::Result<()> {
        match fault {
            Some(fault) if fault.step == step => Err(fault.errno),
            _ => Ok(()),
        }
    }
}
