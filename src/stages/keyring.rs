//! keyring: a session keyring of one's own.
//!
//! The kernel keeps keys for programs: tickets of Kerberos, passwords of network disks, keys of encrypted
//! directories. A process reaches those of its session through a keyring that it inherits, as it
//! inherits open files, and no namespace parts that. So a new one is joined, which begins empty; the old
//! one has no name by which it could be found again.

// ANCHOR: stage
use clap::Args;
use serde::{Deserialize, Serialize};

use super::names::PID;
use super::spec::Spec;
use super::stage::{About, Joins, Stage};
use crate::error::Error;
use crate::machine::keys;
use crate::plan::step::{Because, StageName, Step};
use crate::syscall::JoinSessionKeyring;

#[derive(Args, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Keyring {
    /// Whether this machine has some, and lets us use them.
    #[arg(skip)]
    #[serde(skip)]
    there: bool,
}

impl Stage for Keyring {
    fn name(&self) -> StageName {
        "keyring"
    }

    fn about(&self) -> About {
        About {
            title: "a session keyring of one's own",
            isolates: "the keys of the caller's session: tickets, passwords of disks",
            leaks: "without `user`, the keyring of the user, which all sessions share",
            since: "Linux 2.6.10 (2004)",
            see: &["keyrings(7)", "session-keyring(7)", "keyctl(2)", "keyctl(1)"],
        }
    }

    fn joins(&self, spec: &Spec) -> Joins {
        // With a root and processes of its own it is meant to be apart.
        if spec.changes_root() && spec.has(PID) { Joins::Yes } else { Joins::No }
    }

    fn look(&mut self, _: &mut Spec) -> Result<(), Error> {
        self.there = keys::are_there();
        Ok(())
    }

    fn enter(&self, _: &Spec) -> Vec<Step> {
        // Who may not ask for a new one, or of whom the kernel has none, reaches no old one either.
        if !self.there {
            return Vec::new();
        }
        vec![JoinSessionKeyring.because("the keys of the caller's session stay with the caller")]
    }
}
// ANCHOR_END: stage

/// The steps for who joins a sandbox: their session's keys stay outside as well.
pub(crate) fn leave_keys() -> Vec<Step> {
    Keyring { there: keys::are_there() }.enter(&Spec::default())
}
