//! The pages of the book, as they were built into this program.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};

use crate::serve::head::head;
use crate::serve::secret::random;
use crate::serve::server::Server;

#[derive(rust_embed::Embed)]
#[folder = "$OUT_DIR/book"]
struct Pages;

/// A file of the book. Only what is part of it can be named: no path leads out.
pub(in crate::serve) async fn page(State(server): State<Arc<Server>>, uri: Uri) -> Response {
    let path = match uri.path().trim_start_matches('/') {
        "" => "index.html",
        path => path,
    };
    let (status, path) = match Pages::get(path) {
        Some(_) => (StatusCode::OK, path),
        None => (StatusCode::NOT_FOUND, "404.html"),
    };
    let Some(file) = Pages::get(path) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let kind = mime_guess::from_path(path).first_or_octet_stream();
    if kind != mime_guess::mime::TEXT_HTML {
        return (status, head(kind.as_ref(), None), file.data).into_response();
    }
    // mdBook has scripts in its pages: they get a number that only this answer knows.
    let nonce = random(32);
    let can = if server.has_terminal { "run terminal" } else { "run" };
    let html = String::from_utf8_lossy(&file.data)
        .replace("<script", &format!("<script nonce=\"{nonce}\""))
        .replacen("<head>", &format!("<head><meta name=\"sandbox\" content=\"{can}\">"), 1);
    (status, head("text/html; charset=utf-8", Some(&nonce)), html).into_response()
}
