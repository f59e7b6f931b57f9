//! The layers of an image: whether a file is the one that is meant, and all of them unpacked.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use super::digest::verify_stream;
use super::oci::Descriptor;
use crate::archive::limits::Means;
use crate::archive::meter::Counted;
use crate::archive::unpack::Unpacker;
use crate::error::Error;

/// Whether a file is what it is said to be.
///
/// # Errors
/// When its size or its digest is another one, or it cannot be read.
pub(crate) fn verify_file(path: &Path, descriptor: &Descriptor) -> Result<(), Error> {
    let file = File::open(path).map_err(Error::io("open", path))?;
    let size = file.metadata().map_err(Error::io("read", path))?.len();
    if size != descriptor.size {
        return Err(Error::Mismatch {
            what: format!("the size of {}", descriptor.digest),
            expected: format!("{} bytes", descriptor.size),
            got: format!("{size} bytes"),
        });
    }
    verify_stream(path, file, &descriptor.digest)
}

/// Unpacks the layers of an image, the lowest first, into an empty directory. Returns how many
/// devices and pipes were left out.
///
/// # Errors
/// When a layer is broken or hostile, or goes beyond the limits.
pub(crate) fn unpack_layers(files: &[PathBuf], root: &Path, means: &Means) -> Result<u64, Error> {
    let mut unpacker = Unpacker::new(root, means.limits)?;
    for (number, path) in files.iter().enumerate() {
        let file = File::open(path).map_err(Error::io("open", path))?;
        let doing = format!("unpacking layer {} of {}", number + 1, files.len());
        means.progress.begin(&doing, file.metadata().ok().map(|data| data.len()));
        unpacker.layer(BufReader::new(Counted::new(file, means.progress)))?;
    }
    means.progress.end();
    unpacker.finish()
}
