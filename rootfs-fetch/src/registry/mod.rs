//! Asking an OCI registry for an image.

mod auth;
mod download;
mod http;
mod manifest;
pub(crate) mod reference;
pub(crate) mod repository;
