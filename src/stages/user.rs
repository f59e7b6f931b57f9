//! user: root in here, an ordinary user out there.
//!
//! In a user namespace of its own a process has every capability, over that namespace and what
//! is made in it, and none over the host. The two maps say who it is on either side. This is what
//! lets somebody without root build a container.
//!
//! Root itself becomes `nobody` first. Root mapped to root would be exempt from some limits, and
//! files of the host's root would still be its own.

mod maps;

// ANCHOR: stage
use clap::Args;
use nix::errno::Errno;
use nix::sched::CloneFlags;
use serde::{Deserialize, Serialize};

use super::names::USER;
use super::spec::Spec;
use super::stage::{About, Joins, Stage};
use crate::error::Error;
use crate::machine::ids::{self, SubIds};
use crate::machine::userns;
use crate::plan::step::{Because, StageName, Step};
use crate::syscall::{
    Chdir, ClearGroups, DieWithParent, SetDumpable, Setresgid, Setresuid, Syscall, Unshare,
};

#[derive(Args, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[command(next_help_heading = "The stage user")]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct User {
    /// Map your subordinate ids too, see subuid(5)
    #[arg(long)]
    pub map_auto: bool,
    /// Which these are.
    #[arg(skip)]
    #[serde(skip)]
    ids: Option<SubIds>,
}

/// The user and group `nobody`, which own no files.
pub(super) const NOBODY: u32 = 65534;

impl Stage for User {
    fn name(&self) -> StageName {
        USER
    }

    fn about(&self) -> About {
        About {
            title: "root in here, an ordinary user out there",
            isolates: "user ids and capabilities: root here has no power over the host",
            leaks: "everything that an ordinary user sees",
            since: "Linux 3.8 (2013)",
            see: &["user_namespaces(7)", "capabilities(7)", "unshare(2)"],
        }
    }

    // ANCHOR: joins
    fn joins(&self, spec: &Spec) -> Joins {
        if spec.host.privileged || spec.stages.is_empty() {
            return Joins::No;
        }
        Joins::Saying("not root: the stage `user` joins, to give the other stages their privilege")
    }
    // ANCHOR_END: joins

    fn look(&mut self, spec: &mut Spec) -> Result<(), Error> {
        if !self.map_auto {
            return Ok(());
        }
        self.ids = ids::of(spec.host.uid);
        match self.ids {
            Some(_) => Ok(()),
            None => Err(Error::not_here(
                "you have no subordinate ids, or newuidmap(1) is not installed",
                "install the package `uidmap`; an administrator gives ids with `usermod \
                 --add-subuids 100000-165535 --add-subgids 100000-165535 YOU`",
            )),
        }
    }

    fn enter(&self, spec: &Spec) -> Vec<Step> {
        let mut steps = Vec::new();
        let (mut uid, mut gid) = (spec.host.uid, spec.host.gid);
        if spec.host.machine_root() {
            (uid, gid) = (NOBODY, NOBODY);
            if spec.uses_rootfs() {
                let why = "hold on to the rootfs: nobody may not be able to walk to it";
                steps.push(Chdir(spec.rootfs.clone()).because(why));
            }
            steps.extend([
                ClearGroups.because("leave root's groups"),
                Setresgid(gid).because("leave root's group"),
                Setresuid(uid).because("and root itself: outside we are nobody now"),
                SetDumpable(true).because("own /proc/self again, to write the maps below"),
                DieWithParent.because("a change of user forgot it"),
            ]);
        }
        steps.push(
            Unshare(CloneFlags::CLONE_NEWUSER)
                .because("enter a user namespace: all capabilities, but only over what is in it"),
        );
        match &self.ids {
            Some(ids) => steps.extend(maps::many(uid, gid, ids)),
            None => steps.extend(maps::one(uid, gid)),
        }
        steps
    }

    fn remedy(&self, call: &Syscall, errno: Errno) -> Option<String> {
        let maps = matches!(call, Syscall::Write(_));
        let refused = matches!(errno, Errno::EPERM | Errno::EACCES);
        if maps && refused { Some(userns::remedy()) } else { None }
    }
}
// ANCHOR_END: stage
