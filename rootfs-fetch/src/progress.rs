//! Telling the user how far it is.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A progress bar on stderr, when that is a terminal.
///
/// It never ticks by itself: that would be a thread, and a process with threads cannot make a user
/// namespace.
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// A bar on stderr; nothing is drawn where that is no terminal.
    pub fn stderr() -> Progress {
        Progress { bar: ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()) }
    }

    /// No bar at all.
    pub fn hidden() -> Progress {
        Progress { bar: ProgressBar::hidden() }
    }

    /// A new piece of work of `bytes` bytes, if known.
    pub fn begin(&self, doing: &str, bytes: Option<u64>) {
        let style = match bytes {
            Some(_) => "{msg} {bar:30} {decimal_bytes}/{decimal_total_bytes}",
            None => "{msg} {decimal_bytes}",
        };
        if let Ok(style) = ProgressStyle::with_template(style) {
            self.bar.set_style(style.progress_chars("=> "));
        }
        self.bar.reset();
        self.bar.set_length(bytes.unwrap_or(0));
        self.bar.set_message(doing.to_owned());
        self.bar.tick();
    }

    /// So many bytes more.
    pub fn add(&self, bytes: u64) {
        self.bar.inc(bytes);
    }

    /// The work is done: the line is cleared.
    pub fn end(&self) {
        self.bar.finish_and_clear();
    }
}
