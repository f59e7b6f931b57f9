//! What can go wrong, and what to do about it.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why a rootfs could not be provided.
#[derive(Debug, Error)]
#[allow(missing_docs)] // the messages say what the fields are
pub enum Error {
    /// Nothing worked; each source with the reason.
    #[error("no busybox rootfs could be made{}", reasons(.tried))]
    NoSource { tried: Vec<(&'static str, Error)> },

    /// An archive that will not be unpacked, with the entry that is the reason.
    #[error("the archive entry `{entry}` {problem}")]
    Archive { entry: String, problem: String },

    /// Something is not what its digest or size says.
    #[error("{what} is not what was asked for: expected {expected}, got {got}")]
    Mismatch { what: String, expected: String, got: String },

    /// A server that cannot be reached, or answers what it should not.
    #[error("{url}: {problem}")]
    Server { url: String, problem: String },

    /// What was asked for cannot be, such as a name, or one that is taken.
    #[error("{problem}")]
    Usage { problem: String, hint: Option<String> },

    /// What was given, or is there, is not what it must be.
    #[error("{problem}")]
    Unfit { problem: String, hint: Option<String> },

    /// The operating system refused something.
    #[error("could not {doing} `{}`: {source}", .path.display())]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
}

impl Error {
    /// An [`Error::Io`], for `map_err`.
    pub fn io<E: Into<io::Error>>(
        doing: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(E) -> Error {
        let path = path.into();
        move |source| Error::Io { doing, path, source: source.into() }
    }

    /// What to do now, when there is something to do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::NoSource { .. } => Some(
                "install a static busybox (Debian, Ubuntu: `apt install busybox-static`; Fedora, \
                 Alpine: `busybox`), or copy a bundle from a machine that has one: `sandbox rootfs \
                 bundle FILE` there, `sandbox rootfs import FILE` here"
                    .to_owned(),
            ),
            Error::Usage { hint, .. } | Error::Unfit { hint, .. } => hint.clone(),
            Error::Mismatch { .. } => Some("nothing was kept; try again".to_owned()),
            _ => None,
        }
    }
}

fn reasons(tried: &[(&'static str, Error)]) -> String {
    tried.iter().map(|(source, error)| format!("\n  {source:<9} {error}")).collect()
}
