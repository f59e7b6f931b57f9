//! A reader: one browser that was let in.

use std::sync::Arc;

use tokio::sync::{Mutex, Semaphore};

/// The most terminals of one reader.
pub(super) const TERMINALS: usize = 4;

/// A reader, told from others by a cookie.
#[derive(Clone)]
pub(super) struct Reader {
    /// What the cookie says.
    pub(super) id: String,
    /// Held while a part of theirs waits or runs: a reader stands in the line once.
    pub(super) turn: Arc<Mutex<()>>,
    /// How many terminals they may still open.
    pub(super) terminals: Arc<Semaphore>,
}

impl Reader {
    /// A new one, with this cookie.
    pub(super) fn new(id: String) -> Reader {
        Reader { id, turn: Arc::default(), terminals: Arc::new(Semaphore::new(TERMINALS)) }
    }
}
