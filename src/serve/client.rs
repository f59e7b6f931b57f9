//! Who is at the other end of a connection.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A connection, as its requests know it.
#[derive(Clone)]
pub(super) struct Client {
    /// Where it comes from.
    pub(super) address: IpAddr,
    reader: Arc<AtomicBool>,
}

impl Client {
    /// Somebody who has said nothing yet.
    pub(super) fn from(address: IpAddr) -> Client {
        Client { address, reader: Arc::default() }
    }

    /// A reader speaks here.
    pub(super) fn is_reader(&self) {
        self.reader.store(true, Ordering::Relaxed);
    }

    /// Whether no reader has spoken here.
    pub(super) fn is_stranger(&self) -> bool {
        !self.reader.load(Ordering::Relaxed)
    }
}
