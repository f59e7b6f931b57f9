//! Reading a tar archive entry by entry, in all forms in which GNU tar and bsdtar read them.

use std::io::{self, Read};

use nix::sys::time::TimeSpec;
use tar::EntryType;

use super::header::{BLOCK, Header, text};
use super::pax;
use super::sparse::{Piece, Sparse};

/// What an entry is and asks for, apart from its bytes.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Its name, as the archive has it.
    pub(crate) name: Vec<u8>,
    /// What it is.
    pub(crate) kind: EntryType,
    /// The size of the file, with its holes.
    pub(crate) size: u64,
    /// What is not a hole, in order.
    pub(crate) pieces: Vec<Piece>,
    /// Where a link leads.
    pub(crate) link: Vec<u8>,
    /// Its permissions; `None` when they are no number.
    pub(crate) mode: Option<u32>,
    /// When it was changed.
    pub(crate) time: TimeSpec,
}

/// Reads an archive. After an entry, the bytes that belong to it can be read.
pub(crate) struct Reader<R> {
    from: R,
    /// How many bytes of the present entry are left, and how many fill up its last block.
    left: u64,
    padding: u64,
}

/// What was said of the next entry before its header.
#[derive(Default)]
struct Said {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    records: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Said {
    /// The last record of this name that has a value.
    fn record(&self, name: &str) -> Option<&[u8]> {
        let mut all = self.records.iter().rev();
        let (_, value) = all.find(|(known, _)| known == name.as_bytes())?;
        if value.is_empty() { None } else { Some(value) }
    }
}

impl<R: Read> Reader<R> {
    pub(crate) fn new(from: R) -> Reader<R> {
        Reader { from, left: 0, padding: 0 }
    }

    /// The next entry; `None` at the end.
    ///
    /// # Errors
    /// When there is something else, or the archive ends where it should not.
    pub(crate) fn next(&mut self) -> io::Result<Option<Entry>> {
        let mut said = Said::default();
        let mut nothing_said = true;
        loop {
            self.skip()?;
            let Some(header) = self.header()? else {
                return if nothing_said {
                    Ok(None)
                } else {
                    Err(io::ErrorKind::UnexpectedEof.into())
                };
            };
            match header.kind() {
                b'L' => said.name = Some(text(&self.all(&header)?).to_vec()),
                b'K' => said.link = Some(text(&self.all(&header)?).to_vec()),
                b'x' | b'X' => said.records.extend(pax::records(&self.all(&header)?)?),
                _ => return self.entry(&header, said).map(Some),
            }
            nothing_said = false;
        }
    }

    /// All that is left, when there is no entry more.
    pub(crate) fn into_inner(self) -> R {
        self.from
    }

    /// Passes over what is left of the present entry.
    ///
    /// # Errors
    /// When the archive ends before that.
    pub(crate) fn skip(&mut self) -> io::Result<()> {
        let rest = self.left.saturating_add(self.padding);
        let skipped = io::copy(&mut (&mut self.from).take(rest), &mut io::sink())?;
        (self.left, self.padding) = (0, 0);
        if skipped < rest { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }

    fn header(&mut self) -> io::Result<Option<Header>> {
        let mut block = Vec::with_capacity(BLOCK);
        (&mut self.from).take(BLOCK as u64).read_to_end(&mut block)?;
        if block.is_empty() {
            return Ok(None);
        }
        let block = block.try_into().map_err(|_| io::ErrorKind::UnexpectedEof)?;
        let header = Header(block);
        if header.is_end() {
            return Ok(None);
        }
        header.check()?;
        Ok(Some(header))
    }

    fn begin(&mut self, size: u64) {
        let block = BLOCK as u64;
        (self.left, self.padding) = (size, (block - size % block) % block);
    }

    /// All bytes of an entry that describes the next one.
    fn all(&mut self, header: &Header) -> io::Result<Vec<u8>> {
        self.begin(size_of(header)?);
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes)?;
        if self.left > 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(bytes) }
    }

    fn entry(&mut self, header: &Header, said: Said) -> io::Result<Entry> {
        let own_name = said.record("path").map(<[u8]>::to_vec);
        let mut name = said.name.clone().or(own_name).unwrap_or_else(|| header.name());
        // Old archives have no type for directories.
        let kind = match EntryType::new(header.kind()) {
            EntryType::Regular if name.ends_with(b"/") => EntryType::Directory,
            kind => kind,
        };
        let bytes = match said.record("size") {
            _ if has_no_bytes(kind) => 0,
            Some(size) => pax::number(size)?,
            None => size_of(header)?,
        };
        let sparse = match kind {
            EntryType::GNUSparse => Some((Sparse::old(header, &mut self.from)?, 0)),
            _ => Sparse::in_records(&said.records, &mut self.from)?,
        };
        let (mut size, mut pieces) = (bytes, vec![Piece { offset: 0, length: bytes }]);
        let mut read = 0;
        if let Some((sparse, map)) = sparse {
            let there = bytes.checked_sub(map).filter(|there| sparse.is_sound(*there));
            if there.is_none() {
                return Err(io::Error::other("the holes of a sparse file cannot be"));
            }
            name = sparse.name.unwrap_or(name);
            (size, pieces, read) = (sparse.size, sparse.pieces, map);
        }
        self.begin(bytes);
        self.left -= read;
        let own_link = said.record("linkpath").map(<[u8]>::to_vec);
        let link = said.link.clone().or(own_link).unwrap_or_else(|| header.link());
        let seconds = header.time().and_then(|time| i64::try_from(time).ok()).unwrap_or(0);
        let time = said.record("mtime").and_then(pax::time);
        let time = time.unwrap_or(TimeSpec::new(seconds, 0));
        let mode = header.mode().map(|mode| mode as u32);
        Ok(Entry { name, kind, size, pieces, link, mode, time })
    }
}

impl<R: Read> Read for Reader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = (&mut self.from).take(self.left).read(buffer)?;
        self.left -= count as u64;
        Ok(count)
    }
}

/// Links, directories and the like have no bytes, whatever their size says.
fn has_no_bytes(kind: EntryType) -> bool {
    matches!(
        kind,
        EntryType::Link
            | EntryType::Symlink
            | EntryType::Directory
            | EntryType::Char
            | EntryType::Block
            | EntryType::Fifo
    )
}

fn size_of(header: &Header) -> io::Result<u64> {
    let size = header.size().and_then(|size| u64::try_from(size).ok());
    size.ok_or_else(|| io::Error::other("a number in a header is none"))
}
