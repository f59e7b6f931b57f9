//! The head of every answer: what a page may do.

use axum::http::{HeaderName, header};

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
