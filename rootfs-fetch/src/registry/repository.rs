//! One repository of a registry, and the token that lets us read it; see the OCI distribution
//! specification.

use std::cell::RefCell;

use ureq::Body;
use ureq::http::Response;

use super::auth;
use super::http::{Client, Failure, persist, read_small, refusal};
use super::reference::Reference;
use crate::error::Error;
use crate::image::oci::Descriptor;

/// How many tokens are asked for to read one thing: where it leads, another may be wanted.
const MAX_TOKENS: usize = 3;

/// One repository of a registry.
pub(crate) struct Repository {
    client: Client,
    /// `https://HOST/v2/NAME`
    pub(super) url: String,
    name: String,
    /// What shows that we may read, once we were asked for it.
    token: RefCell<Option<String>>,
}

impl Repository {
    /// The one that has this image. With `plain_http` it is asked without TLS.
    pub(crate) fn new(reference: &Reference, plain_http: bool) -> Repository {
        let scheme = if plain_http { "http" } else { "https" };
        Repository {
            client: Client::new(plain_http, reference.is_local()),
            url: format!("{scheme}://{}/v2/{}", reference.server(), reference.name),
            name: reference.name.clone(),
            token: RefCell::new(None),
        }
    }

    /// Where a blob is.
    pub(super) fn blob_url(&self, blob: &Descriptor) -> String {
        format!("{}/blobs/{}", self.url, blob.digest)
    }

    /// An answer that is short.
    pub(super) fn small(
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
    pub(super) fn get(
        &self,
        url: &str,
        headers: &[(&str, &str)],
        missing: &str,
    ) -> Result<Response<Body>, Failure> {
        let mut answer = self.try_get(url, headers)?;
        let mut asked = Vec::new();
        while answer.status() == 401 && asked.len() < MAX_TOKENS {
            let address = auth::wanted(url, &answer, &self.name)?;
            if asked.contains(&address) {
                break;
            }
            self.token.replace(Some(auth::token(&self.client, &address)?));
            asked.push(address);
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
