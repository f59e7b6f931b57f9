//! Signals while a sandbox runs: they reach the command, and never keep the undo from happening.
//!
//! The process that was started may have much to do, and passes signals on with a handler. Those between
//! it and the command only wait: they have all signals blocked, and take them one after another. What a
//! terminal sends goes to all processes on it, the command too, and is not sent twice: signals say
//! whether they are the kernel's or somebody's, see sigaction(2).

use std::sync::atomic::{AtomicI32, Ordering};

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::unistd::Pid;

/// What nobody can catch, what tells a process of its own faults and files, and what stops who uses a
/// terminal in the background.
pub(super) const NOT_FOR_THE_COMMAND: [i32; 13] = [
    libc::SIGKILL,
    libc::SIGSTOP,
    libc::SIGCHLD,
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGILL,
    libc::SIGFPE,
    libc::SIGTRAP,
    libc::SIGSYS,
    libc::SIGPIPE,
    libc::SIGXFSZ,
    libc::SIGTTIN,
    libc::SIGTTOU,
];

/// What a terminal sends to all processes on it.
const OF_TERMINALS: [i32; 4] = [libc::SIGINT, libc::SIGQUIT, libc::SIGTSTP, libc::SIGWINCH];

/// What ends no process by itself.
pub(super) const HARMLESS: [i32; 5] =
    [libc::SIGCHLD, libc::SIGCONT, libc::SIGURG, libc::SIGWINCH, libc::SIGTSTP];

/// Every signal that is the command's business; the last are for whatever programs agree upon.
fn all() -> impl Iterator<Item = i32> {
    (1..=libc::SIGRTMAX()).filter(|number| !NOT_FOR_THE_COMMAND.contains(number))
}

/// Whom the handler passes a signal on to; 0 is nobody, and a negative number a process group.
static CHILD: AtomicI32 = AtomicI32::new(0);
/// The last signal that was passed on.
static PASSED_ON: AtomicI32 = AtomicI32::new(0);

/// Signals are held back for as long as this lives.
pub(crate) struct Held {
    before: SigSet,
}

/// Holds signals back: from here to the undo, none may come in between.
pub(crate) fn hold() -> Held {
    PASSED_ON.store(0, Ordering::SeqCst);
    let mut before = SigSet::empty();
    let _ = sigprocmask(SigmaskHow::SIG_BLOCK, Some(&SigSet::all()), Some(&mut before));
    Held { before }
}

impl Held {
    /// Signals do what they did before.
    pub(crate) fn release(&self) {
        let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&self.before), None);
    }

    /// Passes signals on to `child` until the answer is dropped. A group of captured processes has
    /// no use for them: what would end it kills it, and what the caller ignores does not.
    pub(crate) fn forward_to(&self, child: Pid, group: bool) -> Forwarding {
        CHILD.store(if group { -child.as_raw() } else { child.as_raw() }, Ordering::SeqCst);
        let mut old = Vec::new();
        for number in all().filter(|number| !group || !HARMLESS.contains(number)) {
            let Some(before) = act(number, &handler()) else { continue };
            if group && before.sa_sigaction == libc::SIG_IGN {
                act(number, &before);
            } else {
                old.push((number, before));
            }
        }
        self.release();
        Forwarding { old }
    }

    /// The signal that ended a sandbox with this status, captured or not. A command that has an answer
    /// of its own to a signal was not ended by it.
    pub(crate) fn ended_by(&self, captured: bool, status: u8) -> Option<Signal> {
        let number = PASSED_ON.load(Ordering::SeqCst);
        let ended = captured || i32::from(status) == 128 + number;
        Signal::try_from(number).ok().filter(|_| ended)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.release();
    }
}

/// While it lives, signals go to the child. Then they are held back again.
pub(crate) struct Forwarding {
    old: Vec<(i32, libc::sigaction)>,
}

impl Drop for Forwarding {
    fn drop(&mut self) {
        let _ = sigprocmask(SigmaskHow::SIG_BLOCK, Some(&SigSet::all()), None);
        CHILD.store(0, Ordering::SeqCst);
        for (number, before) in &self.old {
            act(*number, before);
        }
    }
}

fn handler() -> libc::sigaction {
    // SAFETY: for the mask and the flags, zeroes stand for nothing.
    #[expect(unsafe_code)]
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_flags = libc::SA_SIGINFO;
    let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) = pass_on;
    action.sa_sigaction = handler as libc::sighandler_t;
    action
}

fn act(number: i32, action: &libc::sigaction) -> Option<libc::sigaction> {
    // SAFETY: the only handler is `pass_on`, which makes async-signal-safe calls only.
    #[expect(unsafe_code)]
    unsafe {
        let mut before: libc::sigaction = std::mem::zeroed();
        let done = libc::sigaction(number, action, &mut before);
        if done == 0 { Some(before) } else { None }
    }
}

extern "C" fn pass_on(number: libc::c_int, about: *mut libc::siginfo_t, _: *mut libc::c_void) {
    let errno = Errno::last_raw();
    // SAFETY: with SA_SIGINFO the kernel hands over a structure that is whole.
    #[expect(unsafe_code)]
    let code = unsafe { (*about).si_code };
    let child = CHILD.load(Ordering::SeqCst);
    if child < 0 || !has_reached_all(number, code) {
        PASSED_ON.store(number, Ordering::SeqCst);
        send(child, if child < 0 { libc::SIGKILL } else { number });
    }
    if number == libc::SIGTSTP {
        stop();
    }
    Errno::set_raw(errno);
}

/// Stops as by the signal itself: so whoever minds this job knows that it was the terminal's, and
/// where nobody does, nothing stops.
fn stop() {
    let default = libc::sigaction { sa_sigaction: libc::SIG_DFL, ..handler() };
    act(libc::SIGTSTP, &default);
    send(Pid::this().as_raw(), libc::SIGTSTP);
    let stopping: SigSet = [Signal::SIGTSTP].into_iter().collect();
    let _ = sigprocmask(SigmaskHow::SIG_UNBLOCK, Some(&stopping), None);
    act(libc::SIGTSTP, &handler());
}

/// Whether it is a terminal's, which has sent it to all processes on it.
pub(super) fn has_reached_all(number: i32, code: i32) -> bool {
    code == libc::SI_KERNEL && OF_TERMINALS.contains(&number)
}

/// kill(2), for real-time signals too.
pub(super) fn send(whom: i32, number: i32) {
    if whom != 0 {
        // SAFETY: it is one system call with two numbers.
        #[expect(unsafe_code)]
        let _ = unsafe { libc::kill(whom, number) };
    }
}
