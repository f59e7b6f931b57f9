//! What a system call is to this program.

use nix::errno::Errno;
use nix::unistd::{ForkResult, Pid};

// ANCHOR: call
/// One request to the kernel, with all there is to know about it.
pub trait Call {
    /// How strace(1) writes it.
    fn strace(&self) -> String;

    /// What a person types in a shell instead, with util-linux and iproute2.
    fn by_hand(&self) -> Shell;

    /// Makes it, in this process and for this process.
    ///
    /// # Errors
    /// What the kernel answered; ENOSYS for one that is made in another way.
    fn perform(&self) -> nix::Result<()>;

    /// What to do when the kernel refuses it with this error.
    fn remedy(&self, _: Errno) -> Option<String> {
        None
    }

    /// Whether what follows it in a plan happens in a new process.
    fn forks(&self) -> bool {
        false
    }

    /// Makes a call that [`Call::forks`], and returns twice, as fork(2).
    ///
    /// # Errors
    /// What the kernel answered.
    fn fork(&self) -> nix::Result<ForkResult> {
        Err(Errno::ENOSYS)
    }

    /// Makes it from outside, for a child that waits meanwhile.
    ///
    /// # Errors
    /// What the kernel answered; ENOSYS for one that only the child can make.
    fn perform_for(&self, _: Pid) -> nix::Result<()> {
        Err(Errno::ENOSYS)
    }
}
// ANCHOR_END: call

/// What a person types to get the same from a shell.
#[derive(Clone, Debug, PartialEq)]
pub enum Shell {
    /// A command of its own.
    Line(String),
    /// A program that makes the call and then starts another one: its name and options, and the
    /// option's value, which several in a row may share (`-sys_time,-sys_module`).
    Starts(String, Option<String>),
    /// Nothing to type; why not.
    Nothing(&'static str),
}

impl Shell {
    /// A command of its own.
    pub(super) fn line(text: impl Into<String>) -> Shell {
        Shell::Line(text.into())
    }

    /// A program that starts another one.
    pub(super) fn starts(program: impl Into<String>) -> Shell {
        Shell::Starts(program.into(), None)
    }
}

/// The remedies of a call are sentences.
pub(super) fn say(remedy: &str) -> Option<String> {
    Some(remedy.to_owned())
}
