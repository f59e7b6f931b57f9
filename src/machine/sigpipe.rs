//! SIGPIPE as it was when this program was started.
//!
//! Rust's own start-up ignores SIGPIPE, so that a closed pipe is an error and undoing goes on. What
//! is ignored stays so across execve(2), and `yes | head -n 1` would complain in a sandbox. Only
//! before that start-up can a program know what its caller had.

use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

static WAS_IGNORED: AtomicBool = AtomicBool::new(false);

// SAFETY: the loader calls each function of this section once, before main; this one makes a call
// that reads, and stores a flag.
#[expect(unsafe_code)]
#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = remember;

extern "C" fn remember() {
    // SAFETY: sigaction(2) fills in the structure, for which zeroes are as good as anything.
    #[expect(unsafe_code)]
    let handler = unsafe {
        let mut now: libc::sigaction = std::mem::zeroed();
        libc::sigaction(libc::SIGPIPE, std::ptr::null(), &mut now);
        now.sa_sigaction
    };
    WAS_IGNORED.store(handler == libc::SIG_IGN, Ordering::Relaxed);
}

/// SIGPIPE does again what it did for the caller: for who is about to become another program.
pub(crate) fn give_back() {
    if WAS_IGNORED.load(Ordering::Relaxed) {
        return;
    }
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    // SAFETY: the default is no handler of ours.
    #[expect(unsafe_code)]
    let _ = unsafe { sigaction(Signal::SIGPIPE, &default) };
}
