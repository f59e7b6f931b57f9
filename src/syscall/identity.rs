//! Calls about who a process is, and what it may do.

use caps::{CapSet, Capability};
use nix::errno::Errno;
use nix::unistd::{Gid, Pid, Uid};

use super::call::{Call, Shell, say};
use crate::machine::{kernel, keys};

/// prctl(2): gives up a capability for all that this process will start.
#[derive(Clone, Debug, PartialEq)]
pub struct DropCapability(pub Capability);

impl Call for DropCapability {
    fn strace(&self) -> String {
        format!("prctl(PR_CAPBSET_DROP, {})", self.0)
    }

    fn by_hand(&self) -> Shell {
        let name = self.0.to_string().trim_start_matches("CAP_").to_lowercase();
        Shell::Starts("setpriv --bounding-set".to_owned(), Some(format!("-{name}")))
    }

    fn perform(&self) -> nix::Result<()> {
        caps::drop(None, CapSet::Bounding, self.0).map_err(|_| Errno::last())
    }
}

/// setgroups(2) with no group at all.
#[derive(Clone, Debug, PartialEq)]
pub struct ClearGroups;

impl Call for ClearGroups {
    fn strace(&self) -> String {
        "setgroups(0, [])".to_owned()
    }

    fn by_hand(&self) -> Shell {
        Shell::Nothing("setpriv does it below")
    }

    fn perform(&self) -> nix::Result<()> {
        nix::unistd::setgroups(&[])
    }
}

/// setresgid(2), all three to the same group.
#[derive(Clone, Debug, PartialEq)]
pub struct Setresgid(pub u32);

impl Call for Setresgid {
    fn strace(&self) -> String {
        format!("setresgid({id}, {id}, {id})", id = self.0)
    }

    fn by_hand(&self) -> Shell {
        Shell::Nothing("setpriv does it below")
    }

    fn perform(&self) -> nix::Result<()> {
        let gid = Gid::from_raw(self.0);
        nix::unistd::setresgid(gid, gid, gid)
    }
}

/// setresuid(2), all three to the same user.
#[derive(Clone, Debug, PartialEq)]
pub struct Setresuid(pub u32);

impl Call for Setresuid {
    fn strace(&self) -> String {
        format!("setresuid({id}, {id}, {id})", id = self.0)
    }

    fn by_hand(&self) -> Shell {
        Shell::starts(format!("setpriv --reuid {id} --regid {id} --clear-groups", id = self.0))
    }

    fn perform(&self) -> nix::Result<()> {
        let uid = Uid::from_raw(self.0);
        nix::unistd::setresuid(uid, uid, uid)
    }
}

/// prctl(2): whether others of this user may look into this process, and /proc/self belongs to it. A
/// change of user takes that away, execve(2) gives it back.
#[derive(Clone, Debug, PartialEq)]
pub struct SetDumpable(pub bool);

impl Call for SetDumpable {
    fn strace(&self) -> String {
        let how = if self.0 { "SUID_DUMP_USER" } else { "SUID_DUMP_DISABLE" };
        format!("prctl(PR_SET_DUMPABLE, {how})")
    }

    fn by_hand(&self) -> Shell {
        Shell::Nothing("execve(2) does it")
    }

    fn perform(&self) -> nix::Result<()> {
        nix::sys::prctl::set_dumpable(self.0)
    }
}

/// keyctl(2): joins a new session keyring, which is empty.
#[derive(Clone, Debug, PartialEq)]
pub struct JoinSessionKeyring;

impl Call for JoinSessionKeyring {
    fn strace(&self) -> String {
        "keyctl(KEYCTL_JOIN_SESSION_KEYRING, NULL)".to_owned()
    }

    fn by_hand(&self) -> Shell {
        // It gives one to the shell that starts it; not every machine has it.
        Shell::line("! command -v keyctl >&2 || keyctl new_session >&2")
    }

    fn perform(&self) -> nix::Result<()> {
        keys::join_session_keyring()
    }

    fn remedy(&self, errno: Errno) -> Option<String> {
        if errno == Errno::EDQUOT {
            return say("you have as many keys as you may, each sandbox one: see /proc/key-users");
        }
        None
    }
}

/// newuidmap(1) or newgidmap(1), which the parent starts for the child.
#[derive(Clone, Debug, PartialEq)]
pub struct MapIds {
    /// Which of the two programs.
    pub program: &'static str,
    /// The first id inside, the first id outside, and how many.
    pub ranges: Vec<(u32, u32, u32)>,
}

impl MapIds {
    fn text(&self) -> String {
        let all: Vec<String> = self.ranges.iter().map(|(i, o, n)| format!("{i} {o} {n}")).collect();
        all.join(" ")
    }
}

impl Call for MapIds {
    fn strace(&self) -> String {
        format!("{}({})", self.program, self.text())
    }

    fn by_hand(&self) -> Shell {
        Shell::Nothing("unshare --map-auto did it")
    }

    fn perform(&self) -> nix::Result<()> {
        Err(Errno::ENOSYS) // the parent makes it
    }

    fn perform_for(&self, child: Pid) -> nix::Result<()> {
        kernel::map_ids(self.program, child, &self.text())
    }

    fn remedy(&self, _: Errno) -> Option<String> {
        say(
            "newuidmap(1) and newgidmap(1) map only what /etc/subuid and /etc/subgid give you; leave \
             `--map-auto` out to map yourself alone",
        )
    }
}
