//! Ways out of a sandbox, as plans: the calls that a process makes inside, before its command. One
//! is no way out, and only shows clone(2), for which no shell has a command.
//!
//! An attack is data like a stage is, so that a lesson can show it call by call, and so that it
//! can be tried against any set of stages. They are tried on the stand-in host only.

use std::path::PathBuf;

use nix::sched::CloneFlags;

use crate::plan::step::{Because, Step};
use crate::stages::spec::Extra;
use crate::syscall::{Chdir, Chroot, CloneIntoNamespaces, Fchdir, OpenAs, Sethostname};

/// Who asks for the steps of an attack.
pub const ATTACK: &str = "attack";

/// One way out.
#[derive(Debug)]
pub struct Attack {
    /// Its name in a lesson file.
    pub name: &'static str,
    /// What it does, in a sentence without a full stop.
    pub about: &'static str,
    /// What happened before the sandbox was made.
    pub before: fn() -> Vec<Step>,
    /// What the process in the sandbox does.
    pub inside: fn() -> Vec<Step>,
}

impl Attack {
    /// Its steps, for a sandbox.
    pub fn steps(&self) -> Extra {
        Extra { by: ATTACK, before: (self.before)(), inside: (self.inside)() }
    }
}

/// Every attack.
pub const ATTACKS: &[Attack] = &[
    // ANCHOR: double-chroot
    Attack {
        name: "double-chroot",
        about: "change the root again, without standing in it, and climb",
        before: Vec::new,
        inside: || {
            vec![
                Chroot(PathBuf::from("bin"))
                    .because("move the root into a subdirectory; we stay outside of it"),
                Chdir(PathBuf::from("../../../../../../../.."))
                    .because("climb: `..` only stops at the root, and that is not on our way"),
                Chroot(PathBuf::from(".")).because("make the place we reached the root"),
            ]
        },
    },
    // ANCHOR_END: double-chroot
    // ANCHOR: clone
    Attack {
        name: "clone",
        about: "no attack: have a child that is born with a hostname of its own",
        before: Vec::new,
        inside: || {
            vec![
                CloneIntoNamespaces(CloneFlags::CLONE_NEWUTS)
                    .because("the child is born into a UTS namespace of its own"),
                Sethostname("newborn".to_owned()).because("and names it"),
            ]
        },
    },
    // ANCHOR_END: clone
    // ANCHOR: leaked-descriptor
    Attack {
        name: "leaked-descriptor",
        about: "use a directory that somebody forgot to close",
        before: || {
            vec![
                OpenAs(PathBuf::from("/"), 9)
                    .because("somebody opened the host's root before the sandbox was made"),
            ]
        },
        inside: || {
            vec![
                Fchdir(9).because("stand in the directory that the descriptor holds"),
                Chroot(PathBuf::from(".")).because("and make it the root"),
            ]
        },
    },
    // ANCHOR_END: leaked-descriptor
    // ANCHOR: proc-root
    Attack {
        name: "proc-root",
        about: "go through the root directory of process 1, which /proc shows",
        before: Vec::new,
        inside: || {
            vec![
                Chroot(PathBuf::from("/proc/1/root"))
                    .because("take the root of process 1 as our own"),
                Chdir(PathBuf::from("/")).because("and stand in it"),
            ]
        },
    },
    // ANCHOR_END: proc-root
];

/// The attack of this name.
pub fn find(name: &str) -> Option<&'static Attack> {
    ATTACKS.iter().find(|attack| attack.name == name)
}
