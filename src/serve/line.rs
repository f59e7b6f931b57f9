//! Waiting one's turn: as many parts run at once as there are processors, first come, first served.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

/// The most that may wait.
const LONGEST: usize = 512;

/// The line. Those at its head run.
pub(super) struct Line {
    standing: Mutex<VecDeque<u64>>,
    /// Counts the changes, to wake those who wait.
    changes: watch::Sender<u64>,
    /// How many run at once.
    at_once: usize,
}

/// A place in the line, until it is dropped.
pub(super) struct Place<'a> {
    line: &'a Line,
    number: u64,
    changes: watch::Receiver<u64>,
}

impl Line {
    pub(super) fn new(at_once: usize) -> Line {
        let standing = Mutex::default();
        Line { standing, changes: watch::Sender::new(0), at_once: at_once.max(1) }
    }

    /// Takes a place at the end. `None` when too many wait already.
    pub(super) fn join(&self) -> Option<Place<'_>> {
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        if standing.len() >= LONGEST {
            return None;
        }
        let number = standing.back().map_or(0, |last| last + 1);
        standing.push_back(number);
        Some(Place { line: self, number, changes: self.changes.subscribe() })
    }
}

impl Place<'_> {
    /// How many more must end before it is this one's turn; 0 when it is.
    pub(super) fn ahead(&self) -> usize {
        let standing = self.line.standing.lock().unwrap_or_else(PoisonError::into_inner);
        let position = standing.iter().position(|number| *number == self.number).unwrap_or(0);
        (position + 1).saturating_sub(self.line.at_once)
    }

    /// Waits until somebody has left the line.
    pub(super) async fn moved(&mut self) {
        let _ = self.changes.changed().await;
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut standing = self.line.standing.lock().unwrap_or_else(PoisonError::into_inner);
        standing.retain(|number| *number != self.number);
        drop(standing);
        self.line.changes.send_modify(|changes| *changes += 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_behind_move_up_when_one_leaves_from_wherever() {
        let line = Line::new(2);
        let mut places: Vec<Place> = (0..5).map_while(|_| line.join()).collect();
        let ahead = |places: &[Place]| places.iter().map(Place::ahead).collect::<Vec<_>>();
        assert_eq!(ahead(&places), [0, 0, 1, 2, 3]);
        places.remove(3);
        assert_eq!(ahead(&places), [0, 0, 1, 2]);
        places.remove(0);
        assert_eq!(ahead(&places), [0, 0, 1]);
    }

    #[test]
    fn a_line_that_is_too_long_takes_nobody() {
        let line = Line::new(1);
        let places: Vec<Place> = (0..LONGEST).map_while(|_| line.join()).collect();
        assert_eq!(places.len(), LONGEST);
        assert!(line.join().is_none());
    }
}
