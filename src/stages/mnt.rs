//! mnt: a mount table of one's own.
//!
//! The new mount namespace begins as a copy of the host's mount table, not of its files: a file
//! written here is written there. What is private is the table. And even that only after the
//! second call: on most machines every mount is `shared`, which means that the copies stay in a
//! peer group and tell each other about new mounts.

// ANCHOR: stage
use clap::{Args, ValueEnum};
use nix::mount::MsFlags;
use nix::sched::CloneFlags;
use serde::{Deserialize, Serialize};

use super::names::{MNT, USER};
use super::spec::Spec;
use super::stage::{About, Stage};
use crate::error::Error;
use crate::plan::step::{Because, StageName, Step};
use crate::syscall::{Mount, Unshare};

#[derive(Args, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[command(next_help_heading = "The stage mnt")]
#[serde(default, deny_unknown_fields)]
pub struct Mnt {
    /// What new mounts do [default: private]
    #[arg(long, value_name = "KIND", value_enum)]
    pub propagation: Option<Propagation>,
}

/// Which mounts tell which others about new mounts; see mount_namespaces(7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Propagation {
    /// They stay
    Private,
    /// The host's come in, ours stay
    Slave,
    /// The host's come in, and ours go out
    Shared,
}

impl Stage for Mnt {
    fn name(&self) -> StageName {
        MNT
    }

    fn about(&self) -> About {
        About {
            title: "a mount table of one's own",
            isolates: "what is mounted from now on: the host does not see it",
            leaks: "all files, until the root is changed; processes, hostname, network",
            since: "Linux 2.4.19 (2002)",
            see: &["mount_namespaces(7)", "unshare(2)", "mount(2)"],
        }
    }

    fn check(&self, spec: &Spec) -> Result<(), Error> {
        let reaches_machine = spec.host.initial && spec.host.privileged && !spec.has(USER);
        if self.propagation == Some(Propagation::Shared) && reaches_machine {
            return Err(Error::usage(
                "with shared propagation, what is mounted here would appear on this machine",
                "add `--with user`: then the machine only tells and does not listen",
            ));
        }
        Ok(())
    }

    fn enter(&self, _: &Spec) -> Vec<Step> {
        let (kind, why) = match self.propagation.unwrap_or(Propagation::Private) {
            Propagation::Private => (
                MsFlags::MS_PRIVATE,
                "leave the peer group, or mounts made here would appear on the host",
            ),
            Propagation::Slave => (
                MsFlags::MS_SLAVE,
                "only listen to the peer group: the host's new mounts appear here, ours not there",
            ),
            Propagation::Shared => (
                MsFlags::MS_SHARED,
                "stay in the peer group: mounts made here appear on the host, and the other way; a \
                 new user namespace leaves it all the same",
            ),
        };
        vec![
            Unshare(CloneFlags::CLONE_NEWNS).because("take a private copy of the mount table"),
            Mount::propagation("/", kind).because(why),
        ]
    }
}
// ANCHOR_END: stage
