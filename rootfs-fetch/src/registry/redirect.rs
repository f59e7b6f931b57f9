//! Where an answer leads, and whether that is the same server.

use std::borrow::Cow;

use ureq::http::{Response, Uri, header};

/// Where an answer says that it leads.
pub(crate) fn location<B>(answer: &Response<B>) -> Option<Cow<'_, str>> {
    if !matches!(answer.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let location = answer.headers().get(header::LOCATION)?;
    Some(String::from_utf8_lossy(location.as_bytes()))
}

/// An address as another one means it; see RFC 3986, section 5.2. `None` when it is none.
pub(crate) fn join(from: &Uri, location: &str) -> Option<Uri> {
    let (scheme, server) = (from.scheme_str()?, from.authority()?);
    let location = location.split('#').next().unwrap_or_default();
    let has_scheme = location.split(['/', '?']).next().is_some_and(|first| first.contains(':'));
    if has_scheme {
        return location.parse().ok();
    }
    if let Some(rest) = location.strip_prefix("//") {
        return format!("{scheme}://{rest}").parse().ok();
    }
    let path = match location.chars().next() {
        Some('/') => location.to_owned(),
        Some('?') => format!("{}{location}", from.path()),
        Some(_) => format!("{}/{location}", from.path().rsplit_once('/')?.0),
        None => from.path_and_query()?.to_string(),
    };
    format!("{scheme}://{server}{}", without_dots(&path)).parse().ok()
}

fn without_dots(path: &str) -> String {
    let (path, query) = path.find('?').map_or((path, ""), |at| path.split_at(at));
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/').skip(1) {
        match part {
            "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    if path.ends_with("/.") || path.ends_with("/..") {
        parts.push("");
    }
    format!("/{}{query}", parts.join("/"))
}

/// Whether both are the same server: what one may know, the other may.
pub(crate) fn same_server(one: &Uri, other: &Uri) -> bool {
    let host = |uri: &Uri| uri.host().map(str::to_ascii_lowercase);
    let port = |uri: &Uri| uri.port_u16().or(if is_tls(uri) { Some(443) } else { Some(80) });
    host(one) == host(other) && port(one) == port(other) && is_tls(one) == is_tls(other)
}

fn is_tls(uri: &Uri) -> bool {
    uri.scheme_str() == Some("https")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_what_it_is_where_it_was_found() {
        let from: Uri = "http://a.test:5000/v2/x/blobs/1?a=b".parse().expect("an address");
        for (location, expected) in [
            ("https://B.test/c", "https://b.test/c"),
            ("//b.test:1/c?d", "http://b.test:1/c?d"),
            ("/c?d=http://e", "http://a.test:5000/c?d=http://e"),
            ("2", "http://a.test:5000/v2/x/blobs/2"),
            ("../../y/./3?d=../e", "http://a.test:5000/v2/y/3?d=../e"),
            ("../..", "http://a.test:5000/v2/"),
            ("../../../../../z#part", "http://a.test:5000/z"),
            ("?c=d", "http://a.test:5000/v2/x/blobs/1?c=d"),
            ("", "http://a.test:5000/v2/x/blobs/1?a=b"),
        ] {
            let found = join(&from, location).map(|uri| uri.to_string().to_lowercase());
            assert_eq!(found.as_deref(), Some(expected), "{location}");
        }
        assert_eq!(join(&from, "/a b"), None);
    }

    #[test]
    fn a_server_is_a_host_a_port_and_a_way_to_speak_with_it() {
        let same = |one: &str, other: &str| {
            same_server(&one.parse().expect("one"), &other.parse().expect("other"))
        };
        assert!(same("https://a.test/x", "https://A.test:443/y"));
        assert!(same("http://a.test/x", "http://a.test:80/y"));
        assert!(!same("http://a.test:1/x", "http://a.test:2/x"));
        assert!(!same("https://a.test/x", "http://a.test:443/x"));
        assert!(!same("https://a.test/x", "https://b.a.test/x"));
    }
}
