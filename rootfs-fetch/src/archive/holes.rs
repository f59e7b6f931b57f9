//! Writing a file with holes where there are only zeros, so that these take no place on the disk.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

/// What filesystems give a file at a time.
const BLOCK: usize = 4096;
const ZEROS: [u8; BLOCK] = [0; BLOCK];

/// Writes a new file from its beginning on.
pub(crate) struct Holes<'a> {
    file: &'a File,
    end: u64,
}

impl<'a> Holes<'a> {
    pub(crate) fn new(file: &'a File) -> Holes<'a> {
        Holes { file, end: 0 }
    }

    /// Goes on here, after a hole.
    pub(crate) fn go_on_at(&mut self, offset: u64) {
        self.end = offset;
    }

    /// Makes the file as long as it must be.
    pub(crate) fn finish(self) -> io::Result<()> {
        self.file.set_len(self.end)
    }
}

impl Write for Holes<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let is_hole = |block: &[u8]| block == &ZEROS[..block.len()];
        let blocks: Vec<&[u8]> = bytes.chunks(BLOCK).collect();
        for run in blocks.chunk_by(|one, other| is_hole(one) == is_hole(other)) {
            let run = run.concat();
            if !run.chunks(BLOCK).all(is_hole) {
                self.file.write_all_at(&run, self.end)?;
            }
            self.end += run.len() as u64;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn zeros_take_no_place_and_everything_else_is_where_it_was() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("file");
        let file = File::create(&path).expect("a file");
        let mut bytes = vec![0; 1 << 20];
        (bytes[0], bytes[500_000]) = (1, 2);
        let mut holes = Holes::new(&file);
        holes.write_all(&bytes[..300_001]).expect("written");
        holes.write_all(&bytes[300_001..]).expect("written");
        holes.finish().expect("written");
        assert_eq!(std::fs::read(&path).expect("read"), bytes);
        let blocks = file.metadata().expect("there").blocks();
        assert!(blocks <= 64, "{blocks}");
    }
}
