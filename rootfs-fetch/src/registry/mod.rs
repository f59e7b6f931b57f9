//! Asking an OCI registry for an image.

mod auth;
mod challenge;
mod download;
mod http;
mod manifest;
mod redirect;
pub(crate) mod reference;
pub(crate) mod repository;
