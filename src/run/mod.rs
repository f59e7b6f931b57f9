//! Performs a plan.
//!
//! The parent makes the `prepare` steps, each written to the journal first, and forks. The child
//! makes the other steps (`child.rs`) and reports them through a pipe, as the number of the step, an
//! errno and a time; parent and child hold the same plan, so that is all an error needs to cross. The
//! pipe closes when the command starts. The parent waits, and takes away in reverse what it had prepared.
//!
//! There is one thread only: unshare(CLONE_NEWUSER) fails in a process with more.

mod child;
mod fault;
pub mod inspect;
pub mod join;
mod options;
mod output;
mod parent;
pub mod ready;
pub mod rootfs;
mod signals;
pub mod state;
pub mod terminal;
pub mod update;
mod wait;

use nix::unistd::Pid;

use crate::error::Error;
use crate::plan::Plan;
use parent::{Child, fork_and_follow, prepare};
use signals::Held;
use state::State;

pub use fault::Fault;
pub use options::{Event, Finished, Options};
pub use output::OUTPUT_LIMIT;

/// Performs `plan` to its end.
///
/// # Errors
/// The step that the kernel refused; a signal that asked us to stop; trouble with the journal.
/// In every case what had been put on the host is taken away first.
pub fn run(plan: &Plan, options: Options) -> Result<Finished, Error> {
    start(plan, options)?.wait()
}

/// Performs `plan` up to the point where its command runs.
///
/// # Errors
/// As for [`run`].
pub fn start(plan: &Plan, mut options: Options) -> Result<Running, Error> {
    let signals = signals::hold();
    let (on_host, rest) = plan.at_fork();
    let mut put = Put(None);
    let prepared = prepare(on_host, &mut put.0, &mut options);
    options.fault = options.fault.and_then(|fault| fault.after(on_host.len()));
    let started = prepared.and_then(|()| fork_and_follow(rest, &mut put.0, &mut options, &signals));
    match started {
        Ok(child) => Ok(Running { child, put, signals }),
        Err(error) => {
            put.take_away()?;
            Err(error)
        }
    }
}

/// What was put on the host. A panic takes it away too.
struct Put(Option<State>);

impl Put {
    fn take_away(&mut self) -> Result<(), Error> {
        self.0.take().map_or(Ok(()), State::undo)
    }
}

impl Drop for Put {
    fn drop(&mut self) {
        let _ = self.take_away();
    }
}

/// A sandbox whose command runs.
pub struct Running {
    child: Child,
    put: Put,
    signals: Held,
}

impl Running {
    /// The command's process: the first one in its PID namespace, if it has one of its own.
    pub fn pid(&self) -> Pid {
        self.child.innermost()
    }

    /// Waits for those children of this process that have ended and that nobody else waits for, as
    /// a process 1 has to. Stops at the sandbox's own process.
    pub fn reap_others(running: Option<&Running>) {
        use nix::sys::wait::{Id, WaitPidFlag, waitid, waitpid};
        let look = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        while let Some(pid) = waitid(Id::All, look).ok().and_then(|ended| ended.pid()) {
            if running.is_some_and(|running| running.child.pid == pid) {
                break;
            }
            let _ = waitpid(pid, None);
        }
    }

    // ANCHOR: wait
    /// Waits for the end, and undoes.
    ///
    /// # Errors
    /// A signal that asked us to stop; something that would not be taken away.
    pub fn wait(mut self) -> Result<Finished, Error> {
        let captured = self.child.is_captured();
        let finished = self.child.finish();
        self.put.take_away()?;
        let finished = finished?;
        match self.signals.ended_by(captured, finished.status) {
            Some(signal) => Err(Error::Stopped(signal)),
            None => Ok(finished),
        }
    }
    // ANCHOR_END: wait

    /// Kills all of it, and undoes.
    ///
    /// # Errors
    /// Something that would not be taken away.
    pub fn end(self) -> Result<Finished, Error> {
        self.child.kill();
        self.wait()
    }
}
