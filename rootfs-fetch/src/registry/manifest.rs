//! Which layers an image has: its manifest, by way of an index when there is one image for each
//! architecture. All but the first is asked for by its digest.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::http::server;
use super::reference::Reference;
use super::repository::Repository;
use crate::error::Error;
use crate::image::digest::Digest;
use crate::image::oci::{self, Config, INDEX_TYPES, Index, MANIFEST_TYPES, Manifest};
use crate::image::platform::architecture;

/// The most indexes that lead to one another.
const MAX_NESTED: usize = 4;

/// What a manifest or an index has in it. Its media type is not believed.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Content {
    #[serde(default)]
    schema_version: u32,
    manifests: Option<IgnoredAny>,
    layers: Option<IgnoredAny>,
}

impl Repository {
    /// The manifest of the image for this machine.
    ///
    /// # Errors
    /// When it cannot be had, is not what its digest says, or is for other machines.
    pub(crate) fn image(&self, reference: &Reference) -> Result<Manifest, Error> {
        let mut name = reference.version();
        let mut digest = reference.digest.clone();
        for _ in 0..MAX_NESTED {
            let url = format!("{}/manifests/{name}", self.url);
            let bytes = self.manifest(&url, digest.as_ref())?;
            let content: Content = oci::parse("the manifest", &bytes)?;
            match content {
                Content { schema_version: 1, .. } => {
                    return Err(server(&url, "has only the format of before 2016 (schema 1)"));
                }
                Content { manifests: Some(_), layers: None, .. } => {
                    let index: Index = oci::parse("the index", &bytes)?;
                    let chosen = index.choose().ok_or_else(|| no_image(&url, &index))?;
                    name = chosen.digest.to_string();
                    digest = Some(chosen.digest.clone());
                }
                Content { manifests: None, layers: Some(_), .. } => {
                    let manifest: Manifest = oci::parse("the manifest", &bytes)?;
                    manifest.check()?;
                    self.check_config(&manifest)?;
                    return Ok(manifest);
                }
                _ => return Err(server(&url, "is neither an image nor an index of images")),
            }
        }
        Err(server(&self.url, "the indexes of the image lead to one another without end"))
    }

    /// A manifest or an index, which has this digest.
    fn manifest(&self, url: &str, digest: Option<&Digest>) -> Result<Vec<u8>, Error> {
        let accept = [INDEX_TYPES, MANIFEST_TYPES].concat().join(", ");
        let headers = [("accept", accept.as_str())];
        let (answer, bytes) = self.small(url, &headers, "there is no such image or tag")?;
        let said = answer.headers().get("docker-content-digest");
        let said = said.map(|value| Digest::parse(&String::from_utf8_lossy(value.as_bytes())));
        for digest in digest.into_iter().chain(&said.transpose()?) {
            digest.check_bytes(&format!("the manifest at {url}"), &bytes)?;
        }
        Ok(bytes)
    }

    /// Whether the image is for this machine, which its config says.
    fn check_config(&self, manifest: &Manifest) -> Result<(), Error> {
        let url = self.blob_url(&manifest.config);
        let (_, bytes) = self.small(&url, &[], "the registry lacks a part of the image")?;
        manifest.config.digest.check_bytes(&format!("the config at {url}"), &bytes)?;
        oci::parse::<Config>("the image's config", &bytes)?.check()
    }
}

fn no_image(url: &str, index: &Index) -> Error {
    let there = index.platforms();
    server(url, format!("has no image for linux/{}, but for {there}", architecture()))
}
