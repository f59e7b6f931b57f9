//! Performs a plan: the only place that starts processes.
//!
//! The parent makes the `prepare` steps, each written to the journal first, and forks. The child
//! makes the other steps (`child.rs`) and reports each through a pipe, as an errno and a time; parent
//! and child hold the same plan, so that is all an error needs to cross. The pipe closes when the
//! command starts. The parent waits, and takes away in reverse what it had prepared.
//!
//! There is one thread only: unshare(CLONE_NEWUSER) fails in a process with more.

pub(crate) mod child;
pub mod inspect;
pub mod join;
pub mod output;
pub(crate) mod signals;
pub mod state;

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::unistd::{ForkResult, Pid};

use crate::error::Error;
use crate::plan::{Plan, Planned};
use crate::run::output::Output;
use crate::run::state::{Label, State};
use crate::syscall::Syscall;
use child::{Report, Wires, wait_for};

/// A step that was made, or refused.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Event<'a> {
    /// The step.
    pub planned: &'a Planned,
    /// What the kernel answered.
    pub result: Result<(), Errno>,
    /// How long the call took; unknown for the execve(2) that replaced the process.
    pub took: Option<Duration>,
}

/// How to perform a plan.
#[derive(Default)]
pub struct Options<'a> {
    /// Catch the command's output instead of letting it through. The command then gets an empty
    /// stdin and a session of its own, and may write [`OUTPUT_LIMIT`](crate::run::output::OUTPUT_LIMIT) bytes to a file.
    pub capture: bool,
    /// Kill the command after this time.
    pub timeout: Option<Duration>,
    /// What `sandbox ps` shows; without it the sandbox is not listed.
    pub label: Option<Label>,
    /// Told of each step once it was made.
    pub watch: Option<&'a mut dyn FnMut(Event)>,
    /// Asked before each step; `false` stops there.
    pub ask: Option<&'a mut dyn FnMut(&Planned) -> bool>,
    /// What the process does after the steps of a plan that has no command.
    pub inside: Option<&'a mut dyn FnMut() -> u8>,
}

impl<'a> Options<'a> {
    /// On this terminal, for as long as it takes.
    pub fn through(inside: Option<&'a mut dyn FnMut() -> u8>) -> Options<'a> {
        Options { inside, ..Options::default() }
    }

    /// With the output caught, and no longer than `timeout`.
    pub fn captured(timeout: Duration, inside: Option<&'a mut dyn FnMut() -> u8>) -> Options<'a> {
        Options { capture: true, timeout: Some(timeout), ..Options::through(inside) }
    }

    fn tell(&mut self, event: Event) {
        if let Some(watch) = &mut self.watch {
            watch(event);
        }
    }
}

/// How it ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Finished {
    /// The exit status, or 128 + n for signal n.
    pub status: u8,
    /// What a captured command wrote.
    pub stdout: Vec<u8>,
    /// What a captured command complained.
    pub stderr: Vec<u8>,
    /// Whether the time ran out.
    pub timed_out: bool,
}

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
    let fork = plan.steps.iter().position(|planned| planned.step.call.forks());
    let (prepare, rest) = plan.steps.split_at(fork.unwrap_or(plan.steps.len()));

    let mut state = None;
    let started = perform_on_host(prepare, plan, &mut state, &mut options)
        .and_then(|()| fork_and_follow(rest, &state, &mut options, &signals));
    match started {
        Ok((child, forwarding)) => Ok(Running { child, forwarding, state, signals }),
        Err(error) => {
            state.map_or(Ok(()), State::undo)?;
            Err(error)
        }
    }
}

/// A sandbox whose command runs.
pub struct Running {
    child: Child,
    forwarding: signals::Forwarding,
    state: Option<State>,
    signals: signals::Held,
}

struct Child {
    pid: Pid,
    output: Option<Output>,
    deadline: Option<Instant>,
}

impl Running {
    /// The command's process: the first one in its PID namespace, if it has one of its own.
    pub fn pid(&self) -> Pid {
        innermost(self.child.pid)
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
    pub fn wait(self) -> Result<Finished, Error> {
        let finished = self.child.finish();
        drop(self.forwarding);
        let undone = self.state.map_or(Ok(()), State::undo);
        let finished = finished?;
        undone?;
        match self.signals.stopped_by() {
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

impl Child {
    fn finish(mut self) -> Result<Finished, Error> {
        let timed_out = !ends_in_time(self.pid, self.deadline);
        if timed_out {
            self.kill();
        }
        let status = wait_for(self.pid);
        let output = self.output.as_mut().map_or(Ok(Default::default()), Output::read)?;
        Ok(Finished { status, stdout: output.0, stderr: output.1, timed_out })
    }

    /// Kills the child, and with a session of its own all that are in it.
    fn kill(&self) {
        if self.output.is_some() {
            let _ = nix::sys::signal::kill(Pid::from_raw(-self.pid.as_raw()), Signal::SIGKILL);
        }
        let _ = nix::sys::signal::kill(self.pid, Signal::SIGKILL);
    }
}

// ANCHOR: prepare
/// The steps before the fork. Something goes into the journal before it goes onto the host.
fn perform_on_host(
    steps: &[Planned],
    plan: &Plan,
    state: &mut Option<State>,
    options: &mut Options,
) -> Result<(), Error> {
    if options.label.is_some() {
        *state = Some(State::create(&plan.state_dir)?);
    }
    for planned in steps {
        if let Some(undo) = &planned.step.undo {
            if state.is_none() {
                *state = Some(State::create(&plan.state_dir)?);
            }
            state.as_mut().map_or(Ok(()), |state| state.record(undo))?;
        }
        ask(options, planned)?;
        perform_here(planned, None, options)?;
    }
    Ok(())
}
// ANCHOR_END: prepare

/// A step that this process makes, for itself or for the child.
fn perform_here(planned: &Planned, child: Option<Pid>, options: &mut Options) -> Result<(), Error> {
    let begin = Instant::now();
    let call = &planned.step.call;
    let result = child.map_or_else(|| call.perform(), |child| call.perform_for(child));
    options.tell(Event { planned, result, took: Some(begin.elapsed()) });
    result.map_err(|errno| refused(planned, errno))
}

/// Forks, and sees the child through to its command.
fn fork_and_follow(
    steps: &[Planned],
    state: &Option<State>,
    options: &mut Options,
    signals: &signals::Held,
) -> Result<(Child, signals::Forwarding), Error> {
    let pipe = || nix::unistd::pipe2(OFlag::O_CLOEXEC).map_err(Error::io("make a pipe"));
    let ((events, report), (wait, go)) = (pipe()?, pipe()?);
    let output = if options.capture { Some(Output::new()?) } else { None };
    if let Some(first) = steps.first() {
        ask(options, first)?;
    }
    let stepping = options.ask.is_some();
    let begin = Instant::now();

    let forked = match steps.first() {
        Some(planned) => child::fork(&planned.step.call).map_err(|errno| refused(planned, errno)),
        None => child::fork(&Syscall::Fork).map_err(Error::io("fork")),
    };
    // ANCHOR: fork
    match forked? {
        ForkResult::Child => {
            drop((events, go));
            signals.release_in_child();
            let status = match Wires::place(report, wait, stepping, output.as_ref()) {
                Ok(mut wires) => child::perform(steps, &mut wires, begin, options.inside.take()),
                Err(_) => 125,
            };
            child::exit(status)
        }
        // ANCHOR_END: fork
        ForkResult::Parent { child: pid } => {
            drop((report, wait));
            let forwarding = signals.forward_to(pid, options.capture);
            let deadline = options.timeout.map(|timeout| begin + timeout);
            let child = Child { pid, output, deadline };
            let followed = follow(steps, events.into(), go.into(), options, &child);
            let labelled = followed.and_then(|()| label(state, options, &child));
            if let Err(error) = labelled {
                child.kill();
                child.finish()?;
                return Err(error);
            }
            Ok((child, forwarding))
        }
    }
}

fn label(state: &Option<State>, options: &Options, child: &Child) -> Result<(), Error> {
    match (state, &options.label) {
        (Some(state), Some(label)) => state.label(label, innermost(child.pid)),
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
            perform_here(planned, Some(child.pid), options)?;
        }
        if asked || planned.step.by_parent {
            let _ = go.write_all(b"g");
        }
        next += 1;
        if planned.step.by_parent {
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

fn refused(planned: &Planned, errno: Errno) -> Error {
    let call = Box::new(planned.step.call.clone());
    Error::Step { by: planned.by, call, why: planned.step.why, errno }
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

/// The process at the end of the chain of forks that begins with `pid`: each but the last has
/// exactly one child and only waits for it.
fn innermost(pid: Pid) -> Pid {
    let own = |pid: Pid| std::fs::read_link(format!("/proc/{pid}/exe")).ok();
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let only = children.ok().and_then(|text| text.trim().parse::<i32>().ok()).map(Pid::from_raw);
    match only {
        Some(child) if own(pid) == own(nix::unistd::getpid()) => innermost(child),
        _ => pid,
    }
}
