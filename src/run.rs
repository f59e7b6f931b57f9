//! Performs a plan: the only place that forks.
//!
//! The parent makes the `prepare` steps, each written to the journal first, and forks. The child
//! makes the other steps and reports each through a pipe, as a number, an errno and a time;
//! parent and child hold the same plan, so that is all an error needs to cross. The pipe closes
//! when the command starts. The parent waits, and takes away in reverse what it had prepared.
//!
//! There is one thread only: unshare(CLONE_NEWUSER) fails in a process with more.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid};

use crate::error::Error;
use crate::plan::{Plan, Planned};
use crate::signals;
use crate::state::State;
use crate::syscall::Syscall;

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
pub struct Options<'a> {
    /// Catch the command's output instead of letting it through. The command then gets an empty
    /// stdin and a session of its own, and may write [`OUTPUT_LIMIT`] bytes to a file.
    pub capture: bool,
    /// Kill the command after this time.
    pub timeout: Option<Duration>,
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
        Options { capture: false, timeout: None, watch: None, ask: None, inside }
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

/// How many bytes a captured command may write to one file, its output included.
pub const OUTPUT_LIMIT: u64 = 64 << 20;

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

/// Performs `plan`.
///
/// # Errors
/// The step that the kernel refused; a signal that asked us to stop; trouble with the journal.
/// In every case what had been put on the host is taken away first.
pub fn run(plan: &Plan, options: Options) -> Result<Finished, Error> {
    let signals = signals::hold();
    let fork = plan.steps.iter().position(|planned| planned.step.call == Syscall::Fork);
    let (prepare, rest) = plan.steps.split_at(fork.unwrap_or(plan.steps.len()));

    let mut state = None;
    let mut options = options;
    let result = match perform_on_host(prepare, plan, &mut state, &mut options) {
        Ok(()) => start(rest, &mut options, &signals),
        Err(error) => Err(error),
    };
    let undone = state.map_or(Ok(()), State::undo);
    let finished = result?;
    undone?;
    match signals.stopped_by() {
        Some(signal) => Err(Error::Stopped(signal)),
        None => Ok(finished),
    }
}

/// The steps before the fork. Something goes into the journal before it goes onto the host.
fn perform_on_host(
    steps: &[Planned],
    plan: &Plan,
    state: &mut Option<State>,
    options: &mut Options,
) -> Result<(), Error> {
    for planned in steps {
        if let Some(undo) = &planned.step.undo {
            if state.is_none() {
                *state = Some(State::create(&plan.state_dir)?);
            }
            state.as_mut().map_or(Ok(()), |state| state.record(undo))?;
        }
        ask(options, planned)?;
        let begin = Instant::now();
        let result = planned.step.call.perform();
        options.tell(Event { planned, result, took: Some(begin.elapsed()) });
        result.map_err(|errno| refused(planned, errno))?;
    }
    Ok(())
}

/// Forks, and sees the child through to its end.
fn start(
    steps: &[Planned],
    options: &mut Options,
    signals: &signals::Held,
) -> Result<Finished, Error> {
    let pipe = || nix::unistd::pipe2(OFlag::O_CLOEXEC).map_err(Error::io("make a pipe"));
    let ((events, report), (wait, go)) = (pipe()?, pipe()?);
    let mut output = if options.capture { Some(Output::new()?) } else { None };
    if let Some(first) = steps.first() {
        ask(options, first)?;
    }
    let stepping = options.ask.is_some();
    let begin = Instant::now();

    // SAFETY: this process has one thread, so the child may do all that the parent may.
    #[expect(unsafe_code)]
    let forked = unsafe { nix::unistd::fork() };
    match forked.map_err(Error::io("fork"))? {
        ForkResult::Child => {
            drop((events, go));
            signals.release_in_child();
            let wires = Wires::place(report, wait, stepping, output.as_ref());
            let status = match wires {
                Ok(mut wires) => child(steps, &mut wires, begin, options.inside.take()),
                Err(_) => 125,
            };
            exit(status)
        }
        ForkResult::Parent { child } => {
            drop((report, wait));
            let group = options.capture;
            let _forwarding = signals.forward_to(child, group);
            let deadline = options.timeout.map(|timeout| begin + timeout);
            let followed = follow(steps, events.into(), go.into(), options, deadline);
            let timed_out = match followed {
                Ok(()) => !ends_in_time(child, deadline),
                Err(_) => true,
            };
            if timed_out {
                kill(child, group);
            }
            let status = wait_for(child);
            followed?;
            let (stdout, stderr) = output.as_mut().map_or(Ok(Default::default()), Output::read)?;
            Ok(Finished { status, stdout, stderr, timed_out })
        }
    }
}

/// Reads the child's reports until the command starts.
fn follow(
    steps: &[Planned],
    mut events: File,
    mut go: File,
    options: &mut Options,
    deadline: Option<Instant>,
) -> Result<(), Error> {
    let mut next = 0;
    while let Some(planned) = steps.get(next) {
        if next > 0 && options.ask.is_some() {
            ask(options, planned)?;
            let _ = go.write_all(b"g");
        }
        if !readable_in_time(events.as_fd(), deadline) {
            return Ok(());
        }
        let Some(report) = Report::read(&mut events) else { break };
        let result = if report.errno == 0 { Ok(()) } else { Err(Errno::from_raw(report.errno)) };
        let took = Some(Duration::from_micros(report.micros.into()));
        options.tell(Event { planned, result, took });
        result.map_err(|errno| refused(planned, errno))?;
        next += 1;
    }
    if let Some(planned) = steps.get(next) {
        options.tell(Event { planned, result: Ok(()), took: None });
    }
    Ok(())
}

/// Makes the steps, in the child. Returns the exit status when there is no command to become.
fn child(
    steps: &[Planned],
    wires: &mut Wires,
    mut begin: Instant,
    inside: Option<&mut dyn FnMut() -> u8>,
) -> u8 {
    for (number, planned) in steps.iter().enumerate() {
        if number > 0 && !wires.may_go() {
            return 125;
        }
        if number > 0 {
            begin = Instant::now();
        }
        let result = match planned.step.call {
            Syscall::Fork if number == 0 => Ok(()),
            Syscall::Fork => match fork_again(wires) {
                Ok(None) => Ok(()),
                Ok(Some(status)) => return status,
                Err(errno) => Err(errno),
            },
            ref call => call.perform(),
        };
        let errno = result.err().map_or(0, |errno| errno as i32);
        let micros = u32::try_from(begin.elapsed().as_micros()).unwrap_or(u32::MAX);
        wires.report(Report { errno, micros });
        if errno != 0 {
            return 125;
        }
    }
    wires.close();
    inside.map_or(0, |inside| inside())
}

/// A fork in the middle of a plan: the child goes on with it; this process waits for the child and
/// ends as it ends.
fn fork_again(wires: &mut Wires) -> nix::Result<Option<u8>> {
    // SAFETY: as above, one thread.
    #[expect(unsafe_code)]
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Child => Ok(None),
        ForkResult::Parent { child } => {
            wires.close();
            signals::leave_terminal_signals_to_the_child();
            Ok(Some(wait_for(child)))
        }
    }
}

/// One report of the child: 8 bytes, written and read whole.
struct Report {
    errno: i32,
    micros: u32,
}

impl Report {
    fn read(events: &mut File) -> Option<Report> {
        let mut bytes = [0; 8];
        events.read_exact(&mut bytes).ok()?;
        let [a, b, c, d, e, f, g, h] = bytes;
        let errno = i32::from_ne_bytes([a, b, c, d]);
        Some(Report { errno, micros: u32::from_ne_bytes([e, f, g, h]) })
    }
}

/// The child's ends of the pipes, at 3 and 4, where `pivot-root` lets them live.
struct Wires {
    report: Option<OwnedFd>,
    wait: Option<OwnedFd>,
    stepping: bool,
}

impl Wires {
    fn place(
        report: OwnedFd,
        wait: OwnedFd,
        stepping: bool,
        output: Option<&Output>,
    ) -> nix::Result<Wires> {
        use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout, setsid};
        if let Some(output) = output {
            setsid()?;
            dup2_stdin(&output.stdin)?;
            dup2_stdout(&output.stdout)?;
            dup2_stderr(&output.stderr)?;
            let limit = nix::sys::resource::Resource::RLIMIT_FSIZE;
            nix::sys::resource::setrlimit(limit, OUTPUT_LIMIT, OUTPUT_LIMIT)?;
        }
        let (report, wait) = (high(report)?, high(wait)?);
        Ok(Wires { report: Some(at(&report, 3)?), wait: Some(at(&wait, 4)?), stepping })
    }

    fn report(&mut self, report: Report) {
        if let Some(fd) = &self.report {
            let bytes = [report.errno.to_ne_bytes(), report.micros.to_ne_bytes()].concat();
            let _ = nix::unistd::write(fd, &bytes);
        }
    }

    fn may_go(&self) -> bool {
        let mut byte = [0];
        let asked = self.wait.as_ref().filter(|_| self.stepping);
        asked.is_none_or(|fd| nix::unistd::read(fd, &mut byte) == Ok(1))
    }

    fn close(&mut self) {
        (self.report, self.wait) = (None, None);
    }
}

fn high(fd: OwnedFd) -> nix::Result<OwnedFd> {
    use std::os::fd::FromRawFd;
    let number = fcntl(&fd, FcntlArg::F_DUPFD_CLOEXEC(10))?;
    // SAFETY: the kernel has just made it, for us alone.
    #[expect(unsafe_code)]
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

fn at(fd: &OwnedFd, number: i32) -> nix::Result<OwnedFd> {
    // SAFETY: whatever had this number in the parent is not used in the child.
    #[expect(unsafe_code)]
    unsafe {
        nix::unistd::dup3_raw(fd, number, OFlag::O_CLOEXEC)
    }
}

/// Where the output of a captured command goes: files in memory, which no reader has to empty.
struct Output {
    stdin: File,
    stdout: File,
    stderr: File,
}

impl Output {
    fn new() -> Result<Output, Error> {
        let memory = |name: &str| {
            let fd = rustix::fs::memfd_create(name, rustix::fs::MemfdFlags::CLOEXEC);
            fd.map(File::from).map_err(|errno| Error::io("make a file in memory")(errno))
        };
        let stdin = File::open("/dev/null").map_err(Error::io("open /dev/null"))?;
        Ok(Output { stdin, stdout: memory("stdout")?, stderr: memory("stderr")? })
    }

    fn read(&mut self) -> Result<(Vec<u8>, Vec<u8>), Error> {
        let read = |file: &mut File| {
            let mut bytes = Vec::new();
            file.rewind().and_then(|()| file.read_to_end(&mut bytes)).map(|_| bytes)
        };
        let both = read(&mut self.stdout).and_then(|out| Ok((out, read(&mut self.stderr)?)));
        both.map_err(Error::io("read what the command wrote"))
    }
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

/// Kills the child, and with a session of its own all that are in it.
fn kill(child: Pid, group: bool) {
    let whom = if group { Pid::from_raw(-child.as_raw()) } else { child };
    let _ = nix::sys::signal::kill(whom, Signal::SIGKILL);
    let _ = nix::sys::signal::kill(child, Signal::SIGKILL);
}

fn wait_for(child: Pid) -> u8 {
    loop {
        match waitpid(child, None) {
            Ok(WaitStatus::Exited(_, status)) => return u8::try_from(status & 0xff).unwrap_or(125),
            Ok(WaitStatus::Signaled(_, signal, _)) => return 128 + signal as u8,
            Err(Errno::EINTR) | Ok(_) => {}
            Err(_) => return 125,
        }
    }
}

fn exit(status: u8) -> ! {
    // SAFETY: _exit(2) runs no destructor and no exit handler; those are the parent's.
    #[expect(unsafe_code)]
    unsafe {
        libc::_exit(status.into())
    }
}
