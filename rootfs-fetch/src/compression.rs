//! Reading a compressed file without being told how it is compressed.

use std::io::{self, BufRead, Read};

use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;
use ruzstd::decoding::StreamingDecoder;

/// The plain bytes of a gzip, xz, zstd or plain stream, told apart by its first bytes.
///
/// # Errors
/// When the beginning cannot be read or is broken.
pub(crate) fn plain<'a>(mut reader: impl BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let start = reader.fill_buf()?;
    Ok(if start.starts_with(b"\x1f\x8b") {
        Box::new(MultiGzDecoder::new(reader))
    } else if start.starts_with(b"\xfd7zXZ\0") {
        Box::new(XzReader::new(reader, true))
    } else if start.starts_with(b"\x28\xb5\x2f\xfd") {
        Box::new(StreamingDecoder::new(reader).map_err(io::Error::other)?)
    } else {
        Box::new(reader)
    })
}
