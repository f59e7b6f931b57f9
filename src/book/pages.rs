//! The pages of the book, as they were built into this program.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderName, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

use super::Server;
use super::access::random;

#[derive(rust_embed::Embed)]
#[folder = "$OUT_DIR/book"]
struct Pages;

/// What those see who come without the key.
pub(super) const NO_KEY: &str = concat!(
    "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>sandbox book</title>",
    "<h1>The key is missing</h1><p>Open the address that <code>sandbox book</code> printed when it ",
    "was started: it has a key in it, which is new at each start.</p></html>\n"
);

/// Asks for the password.
pub(super) const PASSWORD: &str = concat!(
    "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">",
    "<meta name=\"viewport\" content=\"width=device-width\"><title>sandbox book</title>",
    "<h1>The password, please</h1><form method=\"post\" action=\"/\"><p><label>It was shown where ",
    "<code>sandbox book</code> was started: <input name=\"key\" autocomplete=\"off\" ",
    "autocapitalize=\"none\" autofocus></label> <button>Open the book</button></p></form></html>\n"
);

/// A file of the book. Only what is part of it can be named: no path leads out.
pub(super) async fn page(State(server): State<Arc<Server>>, uri: Uri) -> Response {
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

/// The head of every answer. Nothing is loaded from elsewhere, no page of others may show this one,
/// and no script runs but those that came with it. Styles may stand in the page, since the terminal
/// makes its own.
pub(super) fn head(kind: &str, nonce: Option<&str>) -> [(HeaderName, String); 6] {
    let nonce = nonce.map_or(String::new(), |nonce| format!(" 'nonce-{nonce}'"));
    let policy = format!(
        "default-src 'none'; script-src 'self'{nonce}; style-src 'self' 'unsafe-inline'; \
         img-src 'self' data:; font-src 'self'; connect-src 'self'; frame-src 'self'; \
         form-action 'self'; base-uri 'self'; frame-ancestors 'self'"
    );
    [
        (header::CONTENT_TYPE, kind.to_owned()),
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        (header::REFERRER_POLICY, "same-origin".to_owned()),
        (header::CACHE_CONTROL, "no-store".to_owned()),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin".to_owned()),
    ]
}
