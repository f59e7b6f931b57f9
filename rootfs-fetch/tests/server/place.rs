//! A place to fetch images into, and what is in them.

use std::fs;

use rootfs_fetch::{Error, Fetch, Progress, Rootfs, Source};

use super::Registry;
use crate::archive::{Archive, Playground, names};

/// A store, and nothing beside it.
pub(crate) struct Place(Playground);

impl Place {
    pub(crate) fn new() -> Place {
        Place(Playground::new())
    }

    /// Fetches an image. Its files are there while `look` looks. Where that fails, nothing of it
    /// may stay.
    fn fetch(&self, image: &str, look: impl FnOnce(&Rootfs)) -> Result<(), Error> {
        let fetch = Fetch {
            name: "it".to_owned(),
            sources: vec![Source::Registry],
            image: image.to_owned(),
            plain_http: true,
        };
        let fetched = self.0.store().fetch(&fetch, &Progress::hidden());
        self.0.check(fetched.is_ok());
        let rootfs = fetched?;
        let dir = rootfs.path.parent().expect("a directory");
        assert_eq!(names(dir), ["about.json", "rootfs"]);
        look(&rootfs);
        self.0.store().remove("it")
    }

    pub(crate) fn see(&self, image: &str, look: impl FnOnce(&Rootfs)) {
        self.fetch(image, look).expect(image);
    }

    /// Why it is refused, in words.
    pub(crate) fn refuses(&self, image: &str) -> String {
        self.error(image).to_string()
    }

    pub(crate) fn error(&self, image: &str) -> Error {
        self.fetch(image, |_| ()).expect_err("refused")
    }
}

/// The config that an image with a big layer has.
pub(crate) const CONFIG: &[u8] = b"{}";

/// A layer with one file.
pub(crate) fn layer(name: &str, text: &str) -> Vec<u8> {
    Archive::default().file(name, text).end()
}

/// A layer that takes more than one read, and that no compression makes smaller.
pub(crate) fn big_layer() -> Vec<u8> {
    let mut state = 1_u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as u8
    })
    .take(500_000)
    .collect();
    Archive::default().file("noise", noise).end()
}

pub(crate) fn read(rootfs: &Rootfs, file: &str) -> String {
    fs::read_to_string(rootfs.path.join(file)).expect(file)
}

/// An image with a big layer.
pub(crate) fn push_big(registry: &Registry) {
    let config = registry.push_blob(super::OCI[2], CONFIG);
    let layer = registry.push_blob(super::OCI[3], &big_layer());
    registry.push_manifest("1", super::OCI[1], &super::manifest(super::OCI[1], &config, &[layer]));
}
