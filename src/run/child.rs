//! The side of `run` that becomes the container: makes the steps, and reports each.

use std::ffi::CString;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

use caps::{CapSet, Capability, CapsHashSet};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{ForkResult, Pid, pipe2};

use crate::machine::sealed;
use crate::plan::Planned;
use crate::run::fault::Fault;
use crate::run::output::{OUTPUT_LIMIT, Output};
use crate::run::signals;
use crate::run::wait::Waiting;
use crate::syscall::Syscall;

/// Makes the steps. Returns the exit status when there is no command to become.
pub(crate) fn perform(
    steps: &[Planned],
    wires: &mut Wires,
    mut begin: Instant,
    fault: Option<Fault>,
    inside: Option<&mut dyn FnMut() -> u8>,
) -> u8 {
    // ANCHOR: steps
    for (number, planned) in steps.iter().enumerate() {
        if number > 0 {
            let waits = wires.pace == Pace::Asked || planned.step.by_parent;
            if waits && !wires.may_go() {
                return 125;
            }
            begin = Instant::now();
        }
        if planned.step.by_parent {
            continue;
        }
        let result = match planned.step.call {
            ref call if call.forks() && number == 0 => Ok(()),
            _ if Fault::answer(fault, number).is_err() => Fault::answer(fault, number),
            ref call if call.forks() => match fork_again(&planned.step.call, wires) {
                Ok(None) => Ok(()),
                Ok(Some(status)) => return status,
                Err(errno) => Err(errno),
            },
            ref call => call.perform(),
        };
        // Who died before we asked to be told tells nothing.
        if matches!(planned.step.call, Syscall::DieWithParent(_)) && !wires.parents_live() {
            return 125;
        }
        let step = u32::try_from(number).unwrap_or(u32::MAX);
        let errno = result.err().map_or(0, |errno| errno as i32);
        let micros = u32::try_from(begin.elapsed().as_micros()).unwrap_or(u32::MAX);
        let parents_turn = steps.get(number + 1).is_some_and(|next| next.step.by_parent);
        if wires.pace != Pace::Quiet || parents_turn || errno != 0 {
            wires.report(Report { step, errno, micros });
        }
        if errno != 0 {
            return 125;
        }
    }
    // ANCHOR_END: steps
    wires.close();
    inside.map_or(0, |inside| inside())
}

// ANCHOR: fork-again
/// A fork in the middle of a plan: the child goes on with it. This process waits for all that end
/// until the child does, passes signals on to it, and ends as it ends. As process 1, the init process
/// of its namespace, it becomes a program that can do this and nothing else.
fn fork_again(call: &Syscall, wires: &mut Wires) -> nix::Result<Option<u8>> {
    let signals = signals::hold();
    let waiting = Waiting::new()?;
    let is_init = std::process::id() == 1 && !INIT.is_empty();
    let init = if is_init { Some(sealed::seal(c"init", INIT).map_err(errno)?) } else { None };
    let (end, ours) = pipe2(OFlag::O_CLOEXEC)?;
    match call.fork()? {
        ForkResult::Child => {
            drop(ours);
            if is_init {
                // It closes when process 1 is that program: nobody in here may see what it was.
                let _ = nix::unistd::read(&end, &mut [0]);
            } else {
                wires.parent = Some(end);
            }
            signals.release();
            Ok(None)
        }
        ForkResult::Parent { child } => {
            if let Some(program) = init {
                become_init(&program, child)?;
            }
            // What this one still has of root's, its environment and its files, is for nobody else.
            let _ = nix::sys::prctl::set_dumpable(false);
            wires.close();
            let status = waiting.wait(child);
            drop(ours);
            Ok(Some(status))
        }
    }
}
// ANCHOR_END: fork-again

/// The program of `init/main.rs`.
const INIT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/init"));

/// Becomes the program that is process 1. All it may do is to signal a child that became another user.
fn become_init(program: &File, child: Pid) -> nix::Result<()> {
    let few = CapsHashSet::from([Capability::CAP_KILL]);
    let held = caps::read(None, CapSet::Permitted).unwrap_or_default();
    let few: CapsHashSet = few.intersection(&held).copied().collect();
    let none = CapsHashSet::new();
    let sets = [(CapSet::Inheritable, &none), (CapSet::Effective, &few), (CapSet::Permitted, &few)];
    for (set, caps) in sets {
        let _ = caps::set(None, set, caps);
    }
    // Without this, execve(2) would give root all of them again.
    let _ = nix::sys::prctl::set_no_new_privs();
    let words = ["init".to_owned(), child.to_string()];
    let words = words.map(|word| CString::new(word).unwrap_or_default());
    nix::unistd::fexecve(program, &words, &[] as &[CString]).map(drop)
}

fn errno(error: std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))
}

/// One report of the child: 12 bytes, written and read whole.
pub(crate) struct Report {
    /// The number of the step.
    pub(crate) step: u32,
    /// 0, or why the kernel refused it.
    pub(crate) errno: i32,
    /// How long it took.
    pub(crate) micros: u32,
}

impl Report {
    /// Writes it whole, or not at all: it is small.
    pub(crate) fn write(&self, events: &OwnedFd) {
        let Report { step, errno, micros } = self;
        let bytes = [step.to_ne_bytes(), errno.to_ne_bytes(), micros.to_ne_bytes()].concat();
        let _ = nix::unistd::write(events, &bytes);
    }

    pub(crate) fn read(events: &mut File) -> Option<Report> {
        let mut number = || {
            let mut bytes = [0; 4];
            events.read_exact(&mut bytes).ok()?;
            Some(bytes)
        };
        Some(Report {
            step: u32::from_ne_bytes(number()?),
            errno: i32::from_ne_bytes(number()?),
            micros: u32::from_ne_bytes(number()?),
        })
    }
}

/// How much the parent wants to hear of the child's steps.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Only when it is the parent's turn, and what goes wrong.
    Quiet,
    /// Each step.
    Watched,
    /// Each step, and it says when the next may be made.
    Asked,
}

/// The child's ends of the pipes, at 3 and 4, where `pivot-root` lets them live.
pub(crate) struct Wires {
    report: Option<OwnedFd>,
    wait: Option<OwnedFd>,
    /// A pipe that closes when the process ends that has forked us.
    parent: Option<OwnedFd>,
    pace: Pace,
}

impl Wires {
    /// Puts them there, and the output where it is caught. Where that cannot be it says so, and there
    /// is nothing to go on with.
    pub(crate) fn place(
        report: OwnedFd,
        wait: OwnedFd,
        pace: Pace,
        output: Option<&Output>,
    ) -> Option<Wires> {
        let caught = output.map_or(Ok(()), catch);
        let both = match caught.and_then(|()| Ok((beyond(&report)?, beyond(&wait)?))) {
            Ok(both) => both,
            Err(errno) => {
                Report { step: 0, errno: errno as i32, micros: 0 }.write(&report);
                return None;
            }
        };
        // They may have the very numbers.
        drop((report, wait));
        let (report, wait) = (Some(at(&both.0, 3).ok()?), Some(at(&both.1, 4).ok()?));
        Some(Wires { report, wait, parent: None, pace })
    }

    fn report(&mut self, report: Report) {
        if let Some(fd) = &self.report {
            report.write(fd);
        }
    }

    /// Whether the process that was started lives, whose end of the pipe closes with it, and the one
    /// that has forked us.
    fn parents_live(&mut self) -> bool {
        let lives = |pipe: &OwnedFd| {
            let mut look = [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)];
            let _ = poll(&mut look, PollTimeout::ZERO);
            let found = look[0].revents().unwrap_or(PollFlags::empty());
            !found.contains(PollFlags::POLLHUP)
        };
        let both = self.wait.iter().chain(&self.parent).all(lives);
        self.parent = None;
        both
    }

    fn may_go(&self) -> bool {
        let mut byte = [0];
        self.wait.as_ref().is_some_and(|fd| nix::unistd::read(fd, &mut byte) == Ok(1))
    }

    fn close(&mut self) {
        (self.report, self.wait) = (None, None);
    }
}

fn catch(output: &Output) -> nix::Result<()> {
    use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout, setsid};
    setsid()?;
    dup2_stdin(&output.stdin)?;
    dup2_stdout(&output.stdout)?;
    dup2_stderr(&output.stderr)?;
    let limit = nix::sys::resource::Resource::RLIMIT_FSIZE;
    nix::sys::resource::setrlimit(limit, OUTPUT_LIMIT, OUTPUT_LIMIT)
}

/// The same at a number that neither of them gets.
fn beyond(fd: &OwnedFd) -> nix::Result<OwnedFd> {
    use std::os::fd::FromRawFd;
    // EINVAL would be that there may be no such number.
    let number = fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(5)).map_err(|_| Errno::EMFILE)?;
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

/// Ends this process at once.
pub(crate) fn exit(status: u8) -> ! {
    // SAFETY: _exit(2) runs no destructor and no exit handler; those are the parent's.
    #[expect(unsafe_code)]
    unsafe {
        libc::_exit(status.into())
    }
}
