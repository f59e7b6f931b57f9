//! Asking an OCI registry for an image.

pub(crate) mod auth;
mod download;
mod http;
mod manifest;
pub(crate) mod reference;
pub(crate) mod repository;
