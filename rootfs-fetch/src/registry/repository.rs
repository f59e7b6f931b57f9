//! The source `registry`: an image from an OCI registry. A manifest, by tag or digest, lists the
//! layers, and each of them has a digest too; see the OCI distribution specification.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::IgnoredAny;
use ureq::Body;
use ureq::http::Response;

use super::auth;
use super::download::download;
use super::http::{Client, Failure, persist, read_small, refusal, server};
use super::reference::Reference;
use crate::error::Error;
use crate::image::oci::{
    self, Config, Descriptor, Digest, INDEX_TYPES, Index, MANIFEST_TYPES, Manifest,
};
use crate::root::skeleton;
use crate::source::file::Means;
use crate::text;

/// The most indexes that lead to one another.
const MAX_NESTED: usize = 4;

/// Fills `root` with an image, and `dir` with its layers, both empty directories. Returns where it
/// came from, in words.
///
/// # Errors
/// When the name of the image is wrong, the registry cannot be reached or refuses, or something is
/// not what its digest says.
pub(crate) fn fill(
    image: &str,
    plain_http: bool,
    root: &Path,
    dir: &Path,
    means: &Means,
) -> Result<String, Error> {
    let reference = Reference::parse(image)?;
    let registry = Registry::new(&reference, plain_http);
    means.progress.begin(&format!("asking {}", reference.server()), None);
    let manifest = registry.image(&reference)?;
    let layers = registry.layers(&manifest, dir, means)?;
    oci::unpack_layers_within(means.limits, &layers, root, means.progress)?;
    skeleton::complete(root)?;
    Ok(format!("the image {reference}"))
}

/// What a manifest or an index has in it. Its media type is not believed.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Content {
    #[serde(default)]
    schema_version: u32,
    manifests: Option<IgnoredAny>,
    layers: Option<IgnoredAny>,
}

/// One repository of a registry.
pub(crate) struct Registry {
    client: Client,
    /// `https://HOST/v2/NAME`
    url: String,
    name: String,
    /// What shows that we may read, once we were asked for it.
    token: RefCell<Option<String>>,
}

impl Registry {
    fn new(reference: &Reference, plain_http: bool) -> Registry {
        let scheme = if plain_http { "http" } else { "https" };
        Registry {
            client: Client::new(plain_http, reference.is_local()),
            url: format!("{scheme}://{}/v2/{}", reference.server(), reference.name),
            name: reference.name.clone(),
            token: RefCell::new(None),
        }
    }

    /// Where a blob is.
    pub(crate) fn blob_url(&self, blob: &Descriptor) -> String {
        format!("{}/blobs/{}", self.url, blob.digest)
    }

    /// The manifest of the image for this machine.
    fn image(&self, reference: &Reference) -> Result<Manifest, Error> {
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
                    let chosen = oci::choose(&index).ok_or_else(|| no_image(&url, &index))?;
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

    /// Downloads the layers into `dir`, the lowest first. An image can have the same one twice.
    fn layers(
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

    /// An answer that is short.
    fn small(
        &self,
        url: &str,
        headers: &[(&str, &str)],
        missing: &str,
    ) -> Result<(Response<()>, Vec<u8>), Error> {
        persist(|| {
            let (parts, body) = self.get(url, headers, missing)?.into_parts();
            Ok((Response::from_parts(parts, ()), read_small(url, body)?))
        })
    }

    /// Asks for `url`, with a token if the registry wants one.
    pub(crate) fn get(
        &self,
        url: &str,
        headers: &[(&str, &str)],
        missing: &str,
    ) -> Result<Response<Body>, Failure> {
        let mut answer = self.try_get(url, headers)?;
        if answer.status() == 401 {
            let token = auth::token(&self.client, url, &answer, &self.name)?;
            self.token.replace(Some(token));
            answer = self.try_get(url, headers)?;
        }
        if answer.status().is_success() { Ok(answer) } else { Err(refusal(url, &answer, missing)) }
    }

    fn try_get(&self, url: &str, headers: &[(&str, &str)]) -> Result<Response<Body>, Failure> {
        let shown = self.token.borrow().as_ref().map(|token| format!("Bearer {token}"));
        let shown = shown.as_deref().map(|shown| ("authorization", shown));
        let headers: Vec<_> = headers.iter().copied().chain(shown).collect();
        self.client.get(url, &headers)
    }
}

fn no_image(url: &str, index: &Index) -> Error {
    let platforms = index.manifests.iter().filter_map(|one| one.platform.as_ref());
    let images = platforms.filter(|one| one.os != "unknown");
    let mut names: Vec<String> = images
        .map(|one| format!("{}/{}/{}", one.os, one.architecture, one.variant))
        .map(|name| name.trim_end_matches('/').to_owned())
        .collect();
    names.sort();
    names.dedup();
    let there = if names.is_empty() { "none at all".to_owned() } else { names.join(", ") };
    let there = text::printable(there.as_bytes());
    server(url, format!("has no image for linux/{}, but for {there}", oci::architecture()))
}
