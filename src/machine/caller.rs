//! What this program inherits and changes for itself, as its caller had it: for the command, which is
//! the caller's too.
//!
//! What is ignored stays so across execve(2), and the umask does. Rust's own start-up ignores SIGPIPE, so
//! that a closed pipe is an error and undoing goes on; only before that start-up can a program know what
//! its caller had. SIGXFSZ is ignored for the same reason: a file that may not grow is an error. With
//! SIGCHLD ignored the kernel would throw away how children end. And what is made for everybody is to be
//! readable for everybody, whatever the caller's umask is.

use std::sync::atomic::{AtomicU32, Ordering};

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::sys::stat::{Mode, umask};

const SIGNALS: [Signal; 3] = [Signal::SIGPIPE, Signal::SIGXFSZ, Signal::SIGCHLD];

/// Those that the caller ignored, a bit each.
static IGNORED: AtomicU32 = AtomicU32::new(0);

/// The caller's umask, and whether it is known.
static UMASK: AtomicU32 = AtomicU32::new(UNKNOWN);
const UNKNOWN: u32 = u32::MAX;

// SAFETY: the loader calls each function of this section once, before main; this one makes calls
// that read, and stores flags.
#[expect(unsafe_code)]
#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = remember;

extern "C" fn remember() {
    for signal in SIGNALS {
        // SAFETY: sigaction(2) fills in the structure, for which zeroes are as good as anything.
        #[expect(unsafe_code)]
        let handler = unsafe {
            let mut now: libc::sigaction = std::mem::zeroed();
            libc::sigaction(signal as i32, std::ptr::null(), &mut now);
            now.sa_sigaction
        };
        if handler == libc::SIG_IGN {
            IGNORED.fetch_or(1 << signal as u32, Ordering::Relaxed);
        }
    }
}

/// From here on all of it is as this program needs it.
pub(crate) fn take_over() {
    set(Signal::SIGCHLD, SigHandler::SigDfl);
    set(Signal::SIGXFSZ, SigHandler::SigIgn);
    UMASK.store(umask(Mode::from_bits_retain(0o022)).bits(), Ordering::Relaxed);
}

/// All of it is again as the caller had it: for who is about to become another program.
pub(crate) fn give_back() {
    let ignored = IGNORED.load(Ordering::Relaxed);
    for signal in SIGNALS {
        let was_ignored = ignored & (1 << signal as u32) != 0;
        set(signal, if was_ignored { SigHandler::SigIgn } else { SigHandler::SigDfl });
    }
    let mask = UMASK.load(Ordering::Relaxed);
    if mask != UNKNOWN {
        umask(Mode::from_bits_retain(mask));
    }
}

fn set(signal: Signal, handler: SigHandler) {
    let action = SigAction::new(handler, SaFlags::empty(), SigSet::empty());
    // SAFETY: it is either the default or nothing, and no handler of ours.
    #[expect(unsafe_code)]
    let _ = unsafe { sigaction(signal, &action) };
}
