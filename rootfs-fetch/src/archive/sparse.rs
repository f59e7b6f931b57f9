//! Files with holes: which pieces of one are in an archive. GNU tar has four forms of saying so.

use std::io::{self, Read};

use super::header::{BLOCK, Header, number};
use super::pax;

/// Bytes of a file that are in the archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Where in the file.
    pub(crate) offset: u64,
    /// How many.
    pub(crate) length: u64,
}

/// A file with holes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sparse {
    /// Its size, with its holes.
    pub(crate) size: u64,
    /// What is not a hole, in order.
    pub(crate) pieces: Vec<Piece>,
    /// Its name, where the entry has another.
    pub(crate) name: Option<Vec<u8>>,
}

impl Sparse {
    /// In a header of its own kind, and in as many blocks after it as are needed.
    ///
    /// # Errors
    /// When something in there is no number, or the archive ends.
    pub(crate) fn old(header: &Header, mut from: impl Read) -> io::Result<Sparse> {
        let mut sparse = Sparse { size: positive(&header.0[483..495])?, ..Sparse::default() };
        sparse.add(&header.0[386..482])?;
        let mut more = header.0[482] != 0;
        while more {
            let mut block = [0; BLOCK];
            from.read_exact(&mut block)?;
            sparse.add(&block[..504])?;
            more = block[504] != 0;
        }
        Ok(sparse)
    }

    fn add(&mut self, fields: &[u8]) -> io::Result<()> {
        for field in fields.chunks_exact(24).filter(|field| field[0] != 0) {
            let (offset, length) = (positive(&field[..12])?, positive(&field[12..])?);
            self.pieces.push(Piece { offset, length });
        }
        Ok(())
    }

    /// In records of an extended header, and in their newest form in front of the pieces. Says also
    /// how many bytes of the entry were read for that. `None` when they are of a whole file.
    ///
    /// # Errors
    /// When something is no number, or the archive ends.
    pub(crate) fn in_records(
        records: &[(Vec<u8>, Vec<u8>)],
        from: impl Read,
    ) -> io::Result<Option<(Sparse, u64)>> {
        let mut sparse = Sparse::default();
        let (mut numbers, mut read, mut is_sparse, mut map_is_data) = (Vec::new(), 0, false, false);
        for (name, value) in records {
            let Some(name) = name.strip_prefix(b"GNU.sparse.") else { continue };
            is_sparse = true;
            match name {
                b"size" | b"realsize" => sparse.size = pax::number(value)?,
                b"name" => sparse.name = Some(value.clone()),
                b"offset" | b"numbytes" => numbers.push(pax::number(value)?),
                b"map" => {
                    for number in value.split(|byte| *byte == b',').filter(|one| !one.is_empty()) {
                        numbers.push(pax::number(number)?);
                    }
                }
                b"major" => map_is_data = value == b"1",
                _ => {}
            }
        }
        if !is_sparse {
            return Ok(None);
        }
        if map_is_data {
            (numbers, read) = map(from)?;
        }
        let piece = |pair: &[u64]| Piece { offset: pair[0], length: pair[1] };
        sparse.pieces = numbers.chunks_exact(2).map(piece).collect();
        Ok(Some((sparse, read)))
    }

    /// Whether the pieces are in order, within the file, and have so many bytes.
    pub(crate) fn is_sound(&self, bytes: u64) -> bool {
        let (mut end, mut sum) = (0_u64, 0_u64);
        for piece in &self.pieces {
            let next = piece.offset.checked_add(piece.length);
            let Some(next) = next.filter(|_| piece.offset >= end) else { return false };
            (end, sum) = (next, sum.saturating_add(piece.length));
        }
        end <= self.size && sum == bytes
    }
}

/// Numbers in lines, the first of which says how many pairs follow, in whole blocks. Returns them,
/// and how many bytes they took.
fn map(mut from: impl Read) -> io::Result<(Vec<u64>, u64)> {
    let (mut numbers, mut line, mut read) = (Vec::new(), Vec::new(), 0);
    let mut wanted = 1;
    loop {
        let mut block = [0; BLOCK];
        from.read_exact(&mut block)?;
        read += BLOCK as u64;
        for byte in block {
            if byte != b'\n' {
                line.push(byte);
                continue;
            }
            numbers.push(pax::number(&std::mem::take(&mut line))?);
            if numbers.len() == 1 {
                wanted = numbers[0].saturating_mul(2).saturating_add(1);
            }
            if numbers.len() as u64 == wanted {
                return Ok((numbers.split_off(1), read));
            }
        }
    }
}

fn positive(field: &[u8]) -> io::Result<u64> {
    let number = number(field).and_then(|number| u64::try_from(number).ok());
    number.ok_or_else(|| io::Error::other("a number in a header is none"))
}
