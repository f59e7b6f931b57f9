//! Everything that can go wrong, by kind: what happened, why it was done, what to do now.
//!
//! The words are made where the trouble is found. Here is only what a kind of trouble means: how it
//! is printed, whether there is a hint, and with which status `sandbox` ends.

use std::io;
use std::path::PathBuf;

use nix::errno::Errno;
use nix::sys::signal::Signal;
use thiserror::Error;

/// An error of `sandbox` itself, not of the command that it runs.
#[derive(Debug, Error)]
#[allow(missing_docs)] // the messages say what the fields are
pub enum Error {
    /// What was asked for cannot be, on any machine.
    #[error("{problem}")]
    Usage { problem: String, hint: String },

    /// What was asked for cannot be had on this machine, or by this user.
    #[error("{problem}")]
    NotHere { problem: String, hint: String },

    /// Stages that do not fit together.
    #[error("{problem}")]
    Stages { problem: String, hint: String },

    /// A step of a plan that the kernel refused. The code is 126 or 127 for the command itself; with
    /// one that is doubtful, its stage has another way.
    #[error("{call} failed: {}\n  stage  {by}: {why}", errno_words(*.errno))]
    Step {
        by: &'static str,
        call: String,
        why: &'static str,
        errno: Errno,
        hint: Option<String>,
        code: u8,
        doubtful: bool,
    },

    /// A lesson file that is wrong, with the place.
    #[error("{file}:{line}:{column}: {problem}")]
    Lesson { file: String, line: usize, column: usize, problem: String, hint: Option<String> },

    /// Something that went wrong on the stand-in host.
    #[error("on the stand-in host: {problem}")]
    StandIn { problem: String, hint: Option<String> },

    /// The rootfs could not be provided.
    #[error(transparent)]
    Rootfs(#[from] rootfs_fetch::Error),

    /// Something that a dead or ending sandbox left, and that would not go away.
    #[error("could not take `{}` away: {source}", .path.display())]
    Undo { path: PathBuf, source: io::Error },

    /// Anything else that the operating system refused.
    #[error("could not {doing}: {source}")]
    Io { doing: String, source: io::Error },

    /// Whoever read the answer has gone: no trouble, but there is nobody to go on for.
    #[error("nobody reads the answer")]
    Unread,

    /// A signal asked `sandbox` itself to stop; the undo has been done.
    #[error("stopped by {}", .0)]
    Stopped(Signal),
}

impl Error {
    /// An [`Error::Io`], for `map_err`.
    pub fn io<E: Into<io::Error>>(doing: impl Into<String>) -> impl FnOnce(E) -> Error {
        let doing = doing.into();
        move |source| Error::Io { doing, source: source.into() }
    }

    /// An [`Error::Usage`].
    pub fn usage(problem: impl Into<String>, hint: impl Into<String>) -> Error {
        Error::Usage { problem: problem.into(), hint: hint.into() }
    }

    /// An [`Error::NotHere`].
    pub fn not_here(problem: impl Into<String>, hint: impl Into<String>) -> Error {
        Error::NotHere { problem: problem.into(), hint: hint.into() }
    }

    /// An [`Error::Stages`].
    pub fn stages(problem: impl Into<String>, hint: impl Into<String>) -> Error {
        Error::Stages { problem: problem.into(), hint: hint.into() }
    }

    /// What to do now, when there is something to do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Usage { hint, .. }
            | Error::NotHere { hint, .. }
            | Error::Stages { hint, .. } => Some(hint.clone()),
            Error::Step { hint, .. } | Error::Lesson { hint, .. } | Error::StandIn { hint, .. } => {
                hint.clone()
            }
            Error::Rootfs(error) => error.hint(),
            Error::Undo { .. } => Some("run `sandbox clean` once nothing uses it".to_owned()),
            Error::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Some("it belongs to somebody else: only its owner or root may do that".to_owned())
            }
            Error::Io { .. } | Error::Unread | Error::Stopped(_) => None,
        }
    }

    /// The exit code: 2 for wrong usage, 126 and 127 as a shell has them, 128 + n for a signal, else
    /// 125.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Usage { .. } | Error::Rootfs(rootfs_fetch::Error::Usage { .. }) => 2,
            Error::Step { code, .. } => *code,
            Error::Unread => 128 + Signal::SIGPIPE as u8,
            Error::Stopped(signal) => 128 + *signal as u8,
            _ => 125,
        }
    }

    /// Whether it is the machine's fault, or the stages': what a lesson skips, and says why.
    pub fn can_be_skipped(&self) -> bool {
        matches!(self, Error::NotHere { .. } | Error::Stages { .. } | Error::Step { .. })
    }
}

/// An errno by name and in words: `EPERM, operation not permitted`.
pub fn errno_words(errno: Errno) -> String {
    format!("{errno:?}, {}", errno.desc().to_lowercase())
}
