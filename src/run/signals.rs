//! Signals while a sandbox runs: they reach the command, and never keep the undo from happening.

use std::sync::atomic::{AtomicI32, Ordering};

use nix::sys::signal::{self, SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal};
use nix::unistd::Pid;

const ENDING: [Signal; 4] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT];

/// Whom the handler passes a signal on to; 0 is nobody, and a negative number a process group.
static CHILD: AtomicI32 = AtomicI32::new(0);
/// Whether a signal of the terminal is passed on too; a terminal has sent it to all itself.
static FORWARD_TERMINAL: AtomicI32 = AtomicI32::new(0);
/// The last signal that came.
static STOPPED_BY: AtomicI32 = AtomicI32::new(0);

/// Signals that would end this process are held back for as long as this lives.
pub(crate) struct Held {
    before: SigSet,
}

/// Holds the ending signals back: from here to the undo, none may come in between.
pub(crate) fn hold() -> Held {
    STOPPED_BY.store(0, Ordering::SeqCst);
    let mut before = SigSet::empty();
    let ending: SigSet = ENDING.into_iter().collect();
    let _ = signal::sigprocmask(SigmaskHow::SIG_BLOCK, Some(&ending), Some(&mut before));
    Held { before }
}

impl Held {
    /// In the child, signals do what they did before.
    pub(crate) fn release_in_child(&self) {
        let _ = signal::sigprocmask(SigmaskHow::SIG_SETMASK, Some(&self.before), None);
    }

    /// Passes signals on to `child` until the answer is dropped. A group of captured processes has
    /// no use for them, and is killed.
    pub(crate) fn forward_to(&self, child: Pid, group: bool) -> Forwarding {
        let whom = if group { -child.as_raw() } else { child.as_raw() };
        CHILD.store(whom, Ordering::SeqCst);
        let own_terminal = !group && nix::unistd::isatty(std::io::stdin()).unwrap_or(false);
        FORWARD_TERMINAL.store(i32::from(!own_terminal), Ordering::SeqCst);
        let action =
            SigAction::new(SigHandler::Handler(pass_on), SaFlags::empty(), SigSet::empty());
        let old = ENDING.map(|signal| (signal, act(signal, &action)));
        self.release_in_child();
        Forwarding { old }
    }

    /// The signal that asked this process to stop, other than the terminal's to the command.
    pub(crate) fn stopped_by(&self) -> Option<Signal> {
        Signal::try_from(STOPPED_BY.load(Ordering::SeqCst)).ok()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.release_in_child();
    }
}

/// While it lives, signals go to the child. Then they are held back again.
pub(crate) struct Forwarding {
    old: [(Signal, Option<SigAction>); 4],
}

impl Drop for Forwarding {
    fn drop(&mut self) {
        let _ = hold_quietly();
        CHILD.store(0, Ordering::SeqCst);
        for (signal, action) in &self.old {
            if let Some(action) = action {
                act(*signal, action);
            }
        }
    }
}

fn hold_quietly() -> nix::Result<()> {
    let ending: SigSet = ENDING.into_iter().collect();
    signal::sigprocmask(SigmaskHow::SIG_BLOCK, Some(&ending), None)
}

/// In a process that only waits for its child: Ctrl-C is the command's business. Without a terminal
/// there is no Ctrl-C, and whoever sends the signal means it.
pub(crate) fn leave_terminal_signals_to_the_child() {
    if !nix::unistd::isatty(std::io::stdin()).unwrap_or(false) {
        return;
    }
    let ignore = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
    act(Signal::SIGINT, &ignore);
    act(Signal::SIGQUIT, &ignore);
}

fn act(signal: Signal, action: &SigAction) -> Option<SigAction> {
    // SAFETY: the only handler is `pass_on`, which makes one async-signal-safe call.
    #[expect(unsafe_code)]
    unsafe { signal::sigaction(signal, action) }.ok()
}

extern "C" fn pass_on(number: libc::c_int) {
    let from_terminal = number == libc::SIGINT || number == libc::SIGQUIT;
    let child = CHILD.load(Ordering::SeqCst);
    if from_terminal && FORWARD_TERMINAL.load(Ordering::SeqCst) == 0 {
        return;
    }
    STOPPED_BY.store(number, Ordering::SeqCst);
    let passed_on = if child < 0 { Some(Signal::SIGKILL) } else { Signal::try_from(number).ok() };
    if child != 0 {
        let _ = signal::kill(Pid::from_raw(child), passed_on);
    }
}
