//! What a thing is called by in OCI images: the checksum of its bytes.

use std::fmt::{self, Display};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest as _, Sha256, Sha512};

use crate::error::Error;
use crate::text::printable;

/// What a thing is called by: `sha256:` and the checksum of its bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Digest {
    algorithm: Algorithm,
    hex: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Algorithm {
    Sha256,
    Sha512,
}

impl Algorithm {
    fn name(self) -> &'static str {
        match self {
            Algorithm::Sha256 => "sha256",
            Algorithm::Sha512 => "sha512",
        }
    }
}

impl TryFrom<String> for Digest {
    type Error = Error;

    fn try_from(text: String) -> Result<Digest, Error> {
        Digest::parse(&text)
    }
}

impl Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.name(), self.hex)
    }
}

impl Digest {
    /// Reads `sha256:…` or `sha512:…`. What comes out has nothing in it but these words and
    /// hexadecimal digits, so it can be used in a path.
    ///
    /// # Errors
    /// When it is anything else.
    pub(crate) fn parse(text: &str) -> Result<Digest, Error> {
        let (name, hex) = text.split_once(':').unwrap_or_default();
        let known = [(Algorithm::Sha256, 64), (Algorithm::Sha512, 128)];
        let digits = |hex: &str| hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        match known.iter().find(|(algorithm, _)| algorithm.name() == name) {
            Some((algorithm, length)) if hex.len() == *length && digits(hex) => {
                Ok(Digest { algorithm: *algorithm, hex: hex.to_owned() })
            }
            _ => Err(Error::Usage {
                problem: format!("`{}` is not a digest", printable(text.as_bytes())),
                hint: Some("write `sha256:` and 64 hexadecimal digits".to_owned()),
            }),
        }
    }

    /// Its place among the blobs of an OCI layout: `sha256/…`.
    pub(crate) fn path(&self) -> PathBuf {
        Path::new(self.algorithm.name()).join(&self.hex)
    }

    /// To compute the digest of something by the same algorithm.
    pub(crate) fn hasher(&self) -> Hasher {
        match self.algorithm {
            Algorithm::Sha256 => Hasher::Sha256(Sha256::new()),
            Algorithm::Sha512 => Hasher::Sha512(Sha512::new()),
        }
    }

    /// Whether this is the digest of what was hashed. `what` names it in the error.
    ///
    /// # Errors
    /// When it is not.
    pub(crate) fn check(&self, what: &str, hasher: Hasher) -> Result<(), Error> {
        let got = hasher.finish();
        if got == *self {
            return Ok(());
        }
        let (expected, got) = (self.to_string(), got.to_string());
        Err(Error::Mismatch { what: what.to_owned(), expected, got })
    }

    /// Whether this is the digest of these bytes.
    ///
    /// # Errors
    /// When it is not.
    pub(crate) fn check_bytes(&self, what: &str, bytes: &[u8]) -> Result<(), Error> {
        let mut hasher = self.hasher();
        hasher.update(bytes);
        self.check(what, hasher)
    }
}

/// A digest in the making.
pub(crate) enum Hasher {
    Sha256(Sha256),
    Sha512(Sha512),
}

impl Hasher {
    /// So many bytes more.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Hasher::Sha256(hasher) => hasher.update(bytes),
            Hasher::Sha512(hasher) => hasher.update(bytes),
        }
    }

    fn finish(self) -> Digest {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        match self {
            Hasher::Sha256(hasher) => {
                Digest { algorithm: Algorithm::Sha256, hex: hex(&hasher.finalize()) }
            }
            Hasher::Sha512(hasher) => {
                Digest { algorithm: Algorithm::Sha512, hex: hex(&hasher.finalize()) }
            }
        }
    }
}

/// Whether what `reader` yields has this digest.
///
/// # Errors
/// When it has another one, or `path`, which it comes from, cannot be read.
pub(crate) fn verify_stream(
    path: &Path,
    mut reader: impl Read,
    digest: &Digest,
) -> Result<(), Error> {
    let mut hasher = digest.hasher();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => hasher.update(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::io("read", path)(error)),
        }
    }
    digest.check(&printable(path.as_os_str().as_bytes()), hasher)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_an_algorithm_and_hexadecimal_digits_and_nothing_else() {
        let empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let digest = Digest::parse(empty).expect("a digest");
        assert_eq!(digest.to_string(), empty);
        assert!(digest.check_bytes("nothing", b"").is_ok());
        assert!(digest.check_bytes("something", b"x").is_err());
        for wrong in ["", "sha256:", "sha256:../../x", "md5:d41d8cd98f00b204e9800998ecf8427e"] {
            assert!(Digest::parse(wrong).is_err(), "{wrong}");
        }
        assert!(Digest::parse(&empty.to_uppercase()).is_err());
    }
}
