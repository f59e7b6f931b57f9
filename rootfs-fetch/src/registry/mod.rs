//! Asking an OCI registry for an image.

pub(crate) mod auth;
pub(crate) mod download;
pub(crate) mod http;
pub(crate) mod reference;
pub(crate) mod repository;
