//! Asking an OCI registry for an image.

pub(crate) mod auth;
mod challenge;
mod download;
mod http;
mod manifest;
mod redirect;
pub(crate) mod reference;
pub(crate) mod repository;
