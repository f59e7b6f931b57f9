//! The side of `run` that becomes the container: makes the steps, and reports each.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::time::Instant;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid};

use crate::plan::Planned;
use crate::run::fault::Fault;
use crate::run::output::{OUTPUT_LIMIT, Output};
use crate::run::signals;
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
            ref call if call.forks() => {
                match fork_again(&planned.step.call, &steps[number + 1..], wires) {
                    Ok(None) => Ok(()),
                    Ok(Some(status)) => return status,
                    Err(errno) => Err(errno),
                }
            }
            ref call => call.perform(),
        };
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
/// A fork in the middle of a plan: the child goes on with it. This process waits for the child and
/// ends as it ends; as process 1 it also is the init process of its namespace.
fn fork_again(call: &Syscall, rest: &[Planned], wires: &mut Wires) -> nix::Result<Option<u8>> {
    let is_init = std::process::id() == 1;
    let init_follows = rest.iter().any(|planned| planned.step.call.forks());
    let signals = signals::hold();
    match call.fork()? {
        ForkResult::Child => {
            signals.release_in_child();
            Ok(None)
        }
        ForkResult::Parent { child } => {
            wires.close();
            if is_init || init_follows {
                let _forwarding = signals.forward_to(child, false);
                return Ok(Some(wait_as_init(child)));
            }
            signals.release_in_child();
            signals::leave_terminal_signals_to_the_child();
            Ok(Some(wait_for(child)))
        }
    }
}
// ANCHOR_END: fork-again

/// Waits for every process that ends, as an init process must, until `child` does.
fn wait_as_init(child: Pid) -> u8 {
    loop {
        match waitpid(None, None) {
            Ok(ended) if ended.pid() == Some(child) => {
                if let Some(status) = status(ended) {
                    return status;
                }
            }
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return 125,
        }
    }
}

/// Waits for `child` to end.
pub(crate) fn wait_for(child: Pid) -> u8 {
    loop {
        match waitpid(child, None) {
            Ok(ended) => {
                if let Some(status) = status(ended) {
                    return status;
                }
            }
            Err(Errno::EINTR) => {}
            Err(_) => return 125,
        }
    }
}

fn status(ended: WaitStatus) -> Option<u8> {
    match ended {
        WaitStatus::Exited(_, status) => Some(u8::try_from(status & 0xff).unwrap_or(125)),
        WaitStatus::Signaled(_, signal, _) => Some(128 + signal as u8),
        _ => None,
    }
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
    fn send(self, fd: &OwnedFd) {
        let Report { step, errno, micros } = self;
        let bytes = [step.to_ne_bytes(), errno.to_ne_bytes(), micros.to_ne_bytes()].concat();
        let _ = nix::unistd::write(fd, &bytes);
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
    pace: Pace,
}

impl Wires {
    pub(crate) fn place(
        report: OwnedFd,
        wait: OwnedFd,
        pace: Pace,
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
        let both = high(&report).and_then(|high_report| Ok((high_report, high(&wait)?)));
        if let Err(errno) = both {
            Report { step: 0, errno: errno as i32, micros: 0 }.send(&report);
        }
        drop((report, wait));
        let (report, wait) = both?;
        Ok(Wires { report: Some(at(&report, 3)?), wait: Some(at(&wait, 4)?), pace })
    }

    fn report(&mut self, report: Report) {
        if let Some(fd) = &self.report {
            report.send(fd);
        }
    }

    fn may_go(&self) -> bool {
        let mut byte = [0];
        self.wait.as_ref().is_some_and(|fd| nix::unistd::read(fd, &mut byte) == Ok(1))
    }

    fn close(&mut self) {
        (self.report, self.wait) = (None, None);
    }
}

fn high(fd: &OwnedFd) -> nix::Result<OwnedFd> {
    use std::os::fd::FromRawFd;
    // EINVAL would be that there may be no such number.
    let number = fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(10)).map_err(|_| Errno::EMFILE)?;
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
