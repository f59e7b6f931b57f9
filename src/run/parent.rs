//! The side of `run` that stays: prepares the host, forks, follows the child, and waits for it.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::{ForkResult, Pid, pipe2};

use super::child::{self, Report, Wires};
use super::fault::Fault;
use super::options::{Event, Finished, Options};
use super::output::Output;
use super::signals::{Forwarding, Held};
use super::state::State;
use super::wait::wait_for;
use crate::error::Error;
use crate::plan::Planned;
use crate::stages::refused;
use crate::syscall::{Fork, Syscall};

// ANCHOR: prepare
/// The steps before the fork. Something goes into the journal before it goes onto the host.
pub(super) fn prepare(
    steps: &[Planned],
    state: &mut Option<State>,
    options: &mut Options,
) -> Result<(), Error> {
    if options.label.is_some() || steps.iter().any(|planned| planned.step.undo.is_some()) {
        let dir = options.state_dir.clone().unwrap_or_else(|| PathBuf::from("/nonexistent"));
        *state = Some(State::create(&dir)?);
    }
    for (number, planned) in steps.iter().enumerate() {
        if let (Some(undo), Some(state)) = (&planned.step.undo, state.as_mut()) {
            state.record(undo)?;
        }
        let call = &planned.step.call;
        let made = ask(options, planned)
            .and_then(|()| perform(number, planned, || call.perform(), options));
        if let (Err(_), Some(_), Some(state)) = (&made, &planned.step.undo, state.as_mut()) {
            state.forget_last();
        }
        made?;
    }
    Ok(())
}
// ANCHOR_END: prepare

/// A step that this process makes, for itself or for the child.
fn perform(
    number: usize,
    planned: &Planned,
    make: impl FnOnce() -> nix::Result<()>,
    options: &mut Options,
) -> Result<(), Error> {
    let begin = Instant::now();
    let result = Fault::answer(options.fault, number).and_then(|()| make());
    options.tell(Event { planned, result, took: Some(begin.elapsed()) });
    result.map_err(|errno| refused(planned, errno))
}

/// The child that becomes the container.
pub(super) struct Child {
    pub(super) pid: Pid,
    /// How often it forks on the way to the command.
    forks: usize,
    output: Option<Output>,
    deadline: Option<Instant>,
    /// While it lives, signals that reach us reach it.
    forwarding: Option<Forwarding>,
}

/// What parent and child say to each other: reports, and when to go on.
struct Pipes {
    events: OwnedFd,
    report: OwnedFd,
    wait: OwnedFd,
    go: OwnedFd,
}

impl Pipes {
    fn new() -> Result<Pipes, Error> {
        let pipe = || pipe2(OFlag::O_CLOEXEC).map_err(Error::io("make a pipe"));
        let ((events, report), (wait, go)) = (pipe()?, pipe()?);
        Ok(Pipes { events, report, wait, go })
    }
}

/// Forks, and sees the child through to its command.
pub(super) fn fork_and_follow(
    steps: &[Planned],
    state: &mut Option<State>,
    options: &mut Options,
    signals: &Held,
) -> Result<Child, Error> {
    let pipes = Pipes::new()?;
    let output = if options.capture { Some(Output::new()?) } else { None };
    if let Some(first) = steps.first() {
        ask(options, first)?;
    }
    let begin = Instant::now();
    // ANCHOR: fork
    match fork(steps, options.fault)? {
        ForkResult::Child => {
            // Neither journal nor lock: both are root's, and this one may soon be nobody.
            drop((pipes.events, pipes.go, state.take()));
            signals.release();
            let pace = options.pace();
            let wires = Wires::place(pipes.report, pipes.wait, pace, output.as_ref());
            let status = wires.map_or(125, |mut wires| {
                let (fault, inside) = (options.fault, options.inside.take());
                let act = || child::perform(steps, &mut wires, begin, fault, inside);
                // A panic must not go on into what is the parent's to undo.
                catch_unwind(AssertUnwindSafe(act)).unwrap_or(125)
            });
            child::exit(status)
        }
        // ANCHOR_END: fork
        ForkResult::Parent { child: pid } => {
            drop((pipes.report, pipes.wait));
            let forwarding = Some(signals.forward_to(pid, options.capture));
            let deadline = options.timeout.map(|timeout| begin + timeout);
            let forks = steps.iter().skip(1).filter(|one| one.step.call.forks()).count();
            let child = Child { pid, forks, output, deadline, forwarding };
            let followed = follow(steps, pipes.events.into(), pipes.go.into(), options, &child);
            let labelled = followed.and_then(|()| label(state.as_ref(), options, &child));
            if let Err(error) = labelled {
                child.kill();
                child.finish()?;
                return Err(error);
            }
            Ok(child)
        }
    }
}

/// The first step of the child, or a fork without a plan.
fn fork(steps: &[Planned], fault: Option<Fault>) -> Result<ForkResult, Error> {
    match steps.first() {
        Some(planned) => {
            let forked = Fault::answer(fault, 0).and_then(|()| planned.step.call.fork());
            forked.map_err(|errno| refused(planned, errno))
        }
        None => Syscall::from(Fork).fork().map_err(Error::io("fork")),
    }
}

fn label(state: Option<&State>, options: &Options, child: &Child) -> Result<(), Error> {
    match (state, &options.label) {
        (Some(state), Some(label)) => state.label(label, child.innermost()),
        _ => Ok(()),
    }
}

/// Reads the child's reports until the command starts, and makes the parent's own steps between.
fn follow(
    steps: &[Planned],
    mut events: File,
    mut go: File,
    options: &mut Options,
    child: &Child,
) -> Result<(), Error> {
    let mut next = 0;
    // ANCHOR: follow
    while let Some(planned) = steps.get(next) {
        let asked = next > 0 && options.ask.is_some();
        if asked {
            ask(options, planned)?;
        }
        if planned.step.by_parent {
            let call = &planned.step.call;
            perform(next, planned, || call.perform_for(child.pid), options)?;
        }
        if asked || planned.step.by_parent {
            let _ = go.write_all(b"g");
        }
        if planned.step.by_parent {
            next += 1;
            continue;
        }
        if !readable_in_time(events.as_fd(), child.deadline) {
            return Ok(());
        }
        let Some(report) = Report::read(&mut events) else {
            // The pipe closed without a report: that is how an execve(2) succeeds.
            options.tell(Event { planned, result: Ok(()), took: None });
            return Ok(());
        };
        // Of those before it nothing was heard because nobody asked, and nothing went wrong.
        let made = report.step as usize;
        next = made + 1;
        let planned = &steps[made];
        let result = if report.errno == 0 { Ok(()) } else { Err(Errno::from_raw(report.errno)) };
        let took = Some(Duration::from_micros(report.micros.into()));
        options.tell(Event { planned, result, took });
        result.map_err(|errno| refused(planned, errno))?;
    }
    // ANCHOR_END: follow
    Ok(())
}

fn ask(options: &mut Options, planned: &Planned) -> Result<(), Error> {
    let goes_on = options.ask.as_mut().is_none_or(|ask| ask(planned));
    if goes_on { Ok(()) } else { Err(Error::Stopped(Signal::SIGINT)) }
}

impl Child {
    /// Waits for its end, or for the end of its time.
    pub(super) fn finish(mut self) -> Result<Finished, Error> {
        let timed_out = !ends_in_time(self.pid, self.deadline);
        if timed_out {
            self.kill();
        }
        // Until it is waited for, its number is nobody else's: so no signal goes astray.
        let ended = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
        while waitid(Id::Pid(self.pid), ended) == Err(Errno::EINTR) {}
        self.forwarding = None;
        let status = wait_for(self.pid);
        let (stdout, stderr) = match &mut self.output {
            Some(output) => output.read()?,
            None => Default::default(),
        };
        Ok(Finished { status, stdout, stderr, timed_out })
    }

    /// Whether it runs for what it writes, and nobody types to it.
    pub(super) fn is_captured(&self) -> bool {
        self.output.is_some()
    }

    /// The child and those after it, down to the command: each but that has forked once, for the next
    /// one, and only waits for it.
    fn chain(&self) -> Vec<Pid> {
        let mut chain = vec![self.pid];
        for _ in 0..self.forks {
            let last = chain[chain.len() - 1];
            let children = fs::read_to_string(format!("/proc/{last}/task/{last}/children"));
            let children = children.unwrap_or_default();
            // A process 1 has others too, those who lost their parents; its own comes first.
            let Some(Ok(next)) = children.split_whitespace().next().map(str::parse) else { break };
            chain.push(Pid::from_raw(next));
        }
        chain
    }

    /// The process that is the command.
    pub(super) fn innermost(&self) -> Pid {
        self.chain().pop().unwrap_or(self.pid)
    }

    /// Kills the child and those after it, who need not die with it, and with a session of its own all
    /// that are in it. Until the child is waited for none of the numbers is another's.
    pub(super) fn kill(&self) {
        let after = self.chain().split_off(1);
        for pid in after.into_iter().rev() {
            let _ = kill(pid, Signal::SIGKILL);
        }
        if self.output.is_some() {
            let _ = kill(Pid::from_raw(-self.pid.as_raw()), Signal::SIGKILL);
        }
        let _ = kill(self.pid, Signal::SIGKILL);
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.kill();
            wait_for(self.pid);
        }
    }
}

fn readable_in_time(fd: BorrowedFd, deadline: Option<Instant>) -> bool {
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let timeout = match left {
            None => PollTimeout::NONE,
            Some(left) => {
                PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX)
            }
        };
        match poll(&mut [PollFd::new(fd, PollFlags::POLLIN)], timeout) {
            Ok(0) => return false,
            Err(Errno::EINTR) => {}
            _ => return true,
        }
    }
}

fn ends_in_time(child: Pid, deadline: Option<Instant>) -> bool {
    if deadline.is_none() {
        return true;
    }
    let pid = rustix::process::Pid::from_raw(child.as_raw());
    let opened =
        pid.map(|pid| rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()));
    match opened {
        Some(Ok(pidfd)) => readable_in_time(pidfd.as_fd(), deadline),
        _ => true,
    }
}
