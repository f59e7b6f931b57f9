//! Downloading the layers of an image, whatever happens to the connection on the way.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::path::{Path, PathBuf};

use ureq::Body;
use ureq::http::header::{CONTENT_LENGTH, CONTENT_RANGE};
use ureq::http::{Response, StatusCode};

use super::http::{Failure, failure, persist, server};
use super::repository::Repository;
use crate::archive::limits::Means;
use crate::error::Error;
use crate::image::digest::Hasher;
use crate::image::oci::{Descriptor, Manifest};
use crate::progress::Progress;

impl Repository {
    /// Downloads the layers into `dir`, the lowest first. An image can have the same one twice.
    ///
    /// # Errors
    /// When one cannot be had, is not what its digest says, or all are too big.
    pub(crate) fn layers(
        &self,
        manifest: &Manifest,
        dir: &Path,
        means: &Means,
    ) -> Result<Vec<PathBuf>, Error> {
        let size = manifest.layers.iter().fold(0, |sum: u64, one| sum.saturating_add(one.size));
        if size > means.limits.bytes {
            return Err(server(
                &self.url,
                format!("the image has {size} bytes, more than the {} allowed", means.limits.bytes),
            ));
        }
        let count = manifest.layers.len();
        let mut files = Vec::new();
        for (at, layer) in manifest.layers.iter().enumerate() {
            let file = dir.join(layer.digest.to_string());
            if !files.contains(&file) {
                let doing = format!("downloading layer {} of {count}", at + 1);
                download(self, layer, &file, &doing, means.progress)?;
            }
            files.push(file);
        }
        Ok(files)
    }
}

/// Downloads a blob of an image into `file`, which is there when every byte is right.
///
/// # Errors
/// When it cannot be had, or is not what the descriptor says.
fn download(
    repository: &Repository,
    blob: &Descriptor,
    file: &Path,
    doing: &str,
    progress: &Progress,
) -> Result<(), Error> {
    let part = file.with_extension("part");
    let mut download = Download {
        url: repository.blob_url(blob),
        blob,
        file: File::create_new(&part).map_err(Error::io("write", &part))?,
        part: &part,
        hasher: blob.digest.hasher(),
        done: 0,
        doing,
        progress,
    };
    progress.begin(doing, Some(blob.size));
    persist(|| download.go_on(repository))?;
    progress.end();
    blob.digest.check(&format!("the layer at {}", download.url), download.hasher)?;
    fs::rename(&part, file).map_err(Error::io("write", file))
}

/// A download that may have been cut.
struct Download<'a> {
    url: String,
    blob: &'a Descriptor,
    file: File,
    part: &'a Path,
    /// Of what there is.
    hasher: Hasher,
    /// How many bytes there are.
    done: u64,
    doing: &'a str,
    progress: &'a Progress,
}

impl Download<'_> {
    /// Downloads what is missing.
    fn go_on(&mut self, repository: &Repository) -> Result<(), Failure> {
        if self.done == self.blob.size && self.done > 0 {
            return Ok(());
        }
        let range = format!("bytes={}-", self.done);
        let headers: &[_] = if self.done > 0 { &[("range", range.as_str())] } else { &[] };
        let mut answer =
            repository.get(&self.url, headers, "the registry lacks a part of the image")?;
        if self.done > 0 && !self.continues(&answer) {
            self.restart()?;
        }
        self.check_length(&answer)?;
        self.receive(answer.body_mut().as_reader())
    }

    /// Whether the answer begins where the last one ended. Servers may send everything again.
    fn continues(&self, answer: &Response<Body>) -> bool {
        let range = answer.headers().get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
        let start = format!("bytes {}-", self.done);
        answer.status() == StatusCode::PARTIAL_CONTENT
            && range.is_some_and(|range| range.starts_with(&start))
    }

    fn restart(&mut self) -> Result<(), Error> {
        let emptied = self.file.set_len(0).and_then(|()| self.file.rewind());
        emptied.map_err(Error::io("write", self.part))?;
        (self.done, self.hasher) = (0, self.blob.digest.hasher());
        self.progress.begin(self.doing, Some(self.blob.size));
        Ok(())
    }

    /// Whether the answer is as long as it must be, if it says how long it is.
    fn check_length(&self, answer: &Response<Body>) -> Result<(), Error> {
        let length = answer.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
        match length.and_then(|length| length.parse::<u64>().ok()) {
            Some(length) if self.done.saturating_add(length) != self.blob.size => {
                Err(self.wrong_size(self.done.saturating_add(length)))
            }
            _ => Ok(()),
        }
    }

    fn receive(&mut self, mut reader: impl Read) -> Result<(), Failure> {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let count = match reader.read(&mut buffer) {
                Ok(0) if self.done < self.blob.size => {
                    return Err(self.cut(ErrorKind::UnexpectedEof.into()));
                }
                Ok(0) => return Ok(()),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.cut(error)),
            };
            let done = self.done + count as u64;
            if done > self.blob.size {
                return Err(self.wrong_size(done).into());
            }
            self.file.write_all(&buffer[..count]).map_err(Error::io("write", self.part))?;
            self.hasher.update(&buffer[..count]);
            self.done = done;
            self.progress.add(count as u64);
        }
    }

    fn cut(&self, error: io::Error) -> Failure {
        let how_far = format!(" after {} of {} bytes", self.done, self.blob.size);
        failure(&self.url, &error.into(), &how_far)
    }

    fn wrong_size(&self, size: u64) -> Error {
        Error::Mismatch {
            what: format!("the size of {}", self.url),
            expected: format!("{} bytes", self.blob.size),
            got: format!("{size} bytes"),
        }
    }
}
