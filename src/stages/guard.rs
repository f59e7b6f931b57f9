//! guard: what the machine's root gives up first.
//!
//! Some powers reach past every namespace: the clock on the wall, the kernel's modules, the ports of
//! the hardware, disks. Root in a sandbox must not have them, or it would be root of the machine. An
//! ordinary user has none of them, and in a user namespace of its own root has none either.

// ANCHOR: stage
use caps::{CapSet, Capability};
use clap::Args;
use serde::{Deserialize, Serialize};

use super::names::{GUARD, USER};
use super::spec::Spec;
use super::stage::{About, Joins, Stage};
use crate::error::Error;
use crate::plan::step::{Because, StageName, Step};
use crate::syscall::DropCapability;

#[derive(Args, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Guard {
    /// What we have of it.
    #[arg(skip)]
    #[serde(skip)]
    held: Vec<Capability>,
}

/// What a process may do to the machine although it is in a sandbox: no namespace holds these.
const BEYOND_NAMESPACES: &[Capability] = &[
    Capability::CAP_SYS_TIME,
    Capability::CAP_SYS_MODULE,
    Capability::CAP_SYS_RAWIO,
    Capability::CAP_SYS_BOOT,
    Capability::CAP_MKNOD,
    // open_by_handle_at(2) opens every file of a disk of which one file is in reach.
    Capability::CAP_DAC_READ_SEARCH,
];

impl Stage for Guard {
    fn name(&self) -> StageName {
        GUARD
    }

    fn about(&self) -> About {
        About {
            title: "what the machine's root gives up first",
            isolates: "the clock, the kernel's modules, ports, disks and handles, from root in here",
            leaks: "everything else that root may do: it is root",
            since: "bounding set of a process: Linux 2.6.25 (2008)",
            see: &["capabilities(7)", "prctl(2)", "setpriv(1)"],
        }
    }

    fn joins(&self, spec: &Spec) -> Joins {
        if spec.host.initial && spec.host.privileged && !spec.has(USER) {
            return Joins::Always("without it, root in a sandbox would be root of this machine");
        }
        Joins::No
    }

    fn look(&mut self, _: &mut Spec) -> Result<(), Error> {
        self.held = held();
        Ok(())
    }

    fn enter(&self, _: &Spec) -> Vec<Step> {
        let why = "root in a sandbox must not reach the machine itself";
        self.held.iter().map(|cap| DropCapability(*cap).because(why)).collect()
    }
}
// ANCHOR_END: stage

/// The steps for who joins a sandbox of root: they give up as much as those in it.
pub(crate) fn give_up() -> Vec<Step> {
    Guard { held: held() }.enter(&Spec::default())
}

/// What of it this process has, and may give up.
fn held() -> Vec<Capability> {
    let has = |set, cap| caps::has_cap(None, set, cap).unwrap_or(false);
    if !has(CapSet::Effective, Capability::CAP_SETPCAP) {
        return Vec::new();
    }
    let all = BEYOND_NAMESPACES.iter().copied();
    all.filter(|cap| has(CapSet::Bounding, *cap)).collect()
}
