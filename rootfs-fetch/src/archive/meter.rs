//! Readers that count what goes through them: to tell the user, and to stop archives that unpack
//! to far more than they should.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

use crate::progress::Progress;

/// Tells the user how much was read.
pub(crate) struct Counted<'a, R> {
    reader: R,
    progress: &'a Progress,
}

impl<'a, R: Read> Counted<'a, R> {
    /// A reader of the same bytes.
    pub(crate) fn new(reader: R, progress: &'a Progress) -> Counted<'a, R> {
        Counted { reader, progress }
    }
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.progress.add(count as u64);
        Ok(count)
    }
}

/// How many bytes may still be read; shared with the reader that counts them.
pub(crate) type Allowance = Rc<Cell<u64>>;

/// Refuses to yield more bytes than are allowed.
pub(crate) struct Metered<R> {
    reader: R,
    /// What may be read, each with the words for when it is used up.
    allowances: [(Allowance, &'static str); 2],
}

impl<R: Read> Metered<R> {
    /// A reader of the same bytes.
    pub(crate) fn new(reader: R, allowances: [(Allowance, &'static str); 2]) -> Metered<R> {
        Metered { reader, allowances }
    }
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        for (left, words) in &self.allowances {
            match left.get().checked_sub(count as u64) {
                Some(less) => left.set(less),
                None => return Err(io::Error::other(*words)),
            }
        }
        Ok(count)
    }
}
