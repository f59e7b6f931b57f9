//! Reading a compressed file without being told how it is compressed.

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;
use lzma_rust2::XzReader;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// The most memory that reading an xz file may take, in KiB: four times what `xz -9` asks for.
const XZ_MEMORY: u32 = 256 * 1024;

/// The plain bytes of a gzip, xz, zstd or plain stream, told apart by its first bytes.
///
/// # Errors
/// When the beginning cannot be read.
pub(crate) fn plain<'a>(mut reader: impl BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let start = reader.fill_buf()?;
    Ok(if start.starts_with(b"\x1f\x8b") {
        Box::new(Gzip { member: Some(GzDecoder::new(reader)) })
    } else if start.starts_with(b"\xfd7zXZ\0") {
        Box::new(XzReader::new_mem_limit(reader, true, XZ_MEMORY))
    } else if start.starts_with(b"\x28\xb5\x2f\xfd") {
        Box::new(Zstd { reader, decoder: FrameDecoder::new() })
    } else {
        Box::new(reader)
    })
}

/// A gzip stream. It is made of members, one after the other; zeros behind them fill up a block.
struct Gzip<R> {
    member: Option<GzDecoder<R>>,
}

impl<R: BufRead> Read for Gzip<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            let count = member.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            let rest = self.member.take().map(GzDecoder::into_inner);
            self.member = rest.map(after_zeros).transpose()?.flatten().map(GzDecoder::new);
        }
        Ok(0)
    }
}

/// What follows after zeros; `None` when nothing does.
fn after_zeros<R: BufRead>(mut reader: R) -> io::Result<Option<R>> {
    loop {
        let bytes = reader.fill_buf()?;
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        match (bytes.len(), zeros) {
            (0, _) => return Ok(None),
            (_, 0) => return Ok(Some(reader)),
            _ => reader.consume(zeros),
        }
    }
}

/// A zstd stream. It is made of frames, one after the other; some hold notes and no data.
struct Zstd<R> {
    reader: R,
    decoder: FrameDecoder,
}

impl<R: BufRead> Read for Zstd<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.decoder.can_collect() == 0 {
            if !self.decoder.is_finished() {
                let some = BlockDecodingStrategy::UptoBytes(buffer.len());
                self.decoder.decode_blocks(&mut self.reader, some).map_err(broken)?;
            } else if !self.next_frame()? {
                return Ok(0);
            }
        }
        self.decoder.read(buffer)
    }
}

impl<R: BufRead> Zstd<R> {
    /// Begins the next frame. `false` at the end of the stream.
    fn next_frame(&mut self) -> io::Result<bool> {
        if self.reader.fill_buf()?.is_empty() {
            return Ok(false);
        }
        match self.decoder.init(&mut self.reader) {
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                length,
                ..
            })) => {
                let note = &mut (&mut self.reader).take(u64::from(length));
                io::copy(note, &mut io::sink())?;
            }
            begun => begun.map_err(broken)?,
        }
        Ok(true)
    }
}

fn broken(error: FrameDecoderError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `printf x | zstd`, and a frame that holds a note.
    const FRAME: &[u8] = b"\x28\xb5\x2f\xfd\x20\x01\x09\x00\x00x";
    const NOTE: &[u8] = b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc";

    fn read(bytes: &[u8]) -> io::Result<String> {
        let mut text = String::new();
        plain(bytes)?.read_to_string(&mut text).map(|_| text)
    }

    #[test]
    fn every_member_of_a_gzip_stream_is_read_and_zeros_fill_up_its_block() {
        use flate2::{Compression, write::GzEncoder};
        let member = |text: &[u8]| {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            io::Write::write_all(&mut encoder, text).expect("memory");
            encoder.finish().expect("memory")
        };
        let stream =
            [member(b"one "), member(b""), vec![0; 3], member(b"two"), vec![0; 9000]].concat();
        assert_eq!(read(&stream).expect("a stream"), "one two");
        assert!(read(&[member(b"one"), b"\0\0signed".to_vec()].concat()).is_err());
        assert!(read(&stream[..stream.len() - 9001]).is_err());
    }

    #[test]
    fn every_frame_of_a_zstd_stream_is_read() {
        let stream = [FRAME, NOTE, FRAME, FRAME].concat();
        assert_eq!(read(&stream).expect("a stream"), "xxx");
        assert!(read(&stream[..stream.len() - 1]).is_err());
    }
}
