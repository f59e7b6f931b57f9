//! The name of an image: `[HOST[:PORT]/]NAME[:TAG|@DIGEST]`.

use std::fmt::{self, Display};

use crate::error::Error;
use crate::image::digest::Digest;
use crate::text::printable;

/// The registry that is meant where a name has none, and the server that it is.
const DEFAULT: &str = "docker.io";
const DEFAULT_SERVER: &str = "registry-1.docker.io";

/// Which image is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reference {
    /// The registry, as the user names it: `docker.io`.
    host: String,
    /// The name there: `library/busybox`.
    pub(crate) name: String,
    tag: String,
    /// What it must be, when that is said.
    pub(crate) digest: Option<Digest>,
}

impl Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match &self.digest {
            Some(digest) => write!(f, "{}/{}@{digest}", self.host, self.name),
            None => write!(f, "{}/{}:{}", self.host, self.name, self.tag),
        }
    }
}

impl Reference {
    /// Reads the name of an image as users write it.
    ///
    /// # Errors
    /// When it cannot be one.
    pub(crate) fn parse(text: &str) -> Result<Reference, Error> {
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(Digest::parse(digest)?)),
            None => (text, None),
        };
        let (host, rest) = split_host(rest);
        let (name, tag) = rest.split_once(':').unwrap_or((rest, "latest"));
        let (host, mut name) = (host.to_owned(), name.to_owned());
        if host == DEFAULT && !name.contains('/') {
            name.insert_str(0, "library/");
        }
        if !is_host(&host) || !is_name(&name) || !is_tag(tag) {
            return Err(refuse(text));
        }
        // A digest says which one it is, whatever its tag was.
        let tag = if digest.is_some() { "latest" } else { tag };
        Ok(Reference { host, name, tag: tag.to_owned(), digest })
    }

    /// The server that has it, with its port.
    pub(crate) fn server(&self) -> &str {
        if self.host == DEFAULT { DEFAULT_SERVER } else { &self.host }
    }

    /// Whether the server is this machine.
    pub(crate) fn is_local(&self) -> bool {
        let host = self.host.rsplit_once(':').map_or(self.host.as_str(), |(host, _)| host);
        host == "localhost" || host == "[::1]" || host.starts_with("127.")
    }

    /// What a registry calls it besides its name: the digest, or else the tag.
    pub(crate) fn version(&self) -> String {
        self.digest.as_ref().map_or(self.tag.clone(), Digest::to_string)
    }
}

/// A first part with a dot or a port in it is a host; any other is a part of the name.
fn split_host(text: &str) -> (&str, &str) {
    match text.split_once('/') {
        Some(("index.docker.io", rest)) => (DEFAULT, rest),
        Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => (host, rest),
        _ => (DEFAULT, text),
    }
}

fn is_host(host: &str) -> bool {
    let (name, port) = match host.rsplit_once(':') {
        // In an address of IPv6, the colons are in brackets.
        Some((name, port)) if !port.ends_with(']') => (name, port),
        _ => (host, "443"),
    };
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    let letter = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.';
    let known = match bare {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !name.is_empty() && name.bytes().all(letter) && !name.starts_with(['.', '-']),
    };
    known && port.parse::<u16>().is_ok_and(|port| port > 0)
}

fn is_name(name: &str) -> bool {
    let end = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let letter = |b: &u8| end(Some(b)) || b"._-".contains(b);
    let part = |part: &[u8]| end(part.first()) && end(part.last()) && part.iter().all(letter);
    name.len() <= 255 && name.split('/').all(|one| part(one.as_bytes()))
}

fn is_tag(tag: &str) -> bool {
    let letter = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    (1..=128).contains(&tag.len()) && tag.bytes().all(letter) && !tag.starts_with(['.', '-'])
}

fn refuse(text: &str) -> Error {
    let hint = "write `[HOST[:PORT]/]NAME[:TAG]` in lower case, as `busybox` or \
                `localhost:5000/my/image:1.0`";
    Error::Usage {
        problem: format!("`{}` cannot be the name of an image", printable(text.as_bytes())),
        hint: Some(hint.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUM: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn parse(text: &str) -> (String, String, String) {
        let found = Reference::parse(text).expect(text);
        (found.server().to_owned(), found.name.clone(), found.version())
    }

    #[test]
    fn a_name_without_a_host_is_one_at_docker() {
        let server = "registry-1.docker.io";
        for (text, name, version) in [
            ("busybox", "library/busybox", "latest"),
            ("busybox:1.36", "library/busybox", "1.36"),
            ("docker.io/busybox", "library/busybox", "latest"),
            ("index.docker.io/library/busybox", "library/busybox", "latest"),
            ("some/one:x", "some/one", "x"),
        ] {
            assert_eq!(parse(text), (server.to_owned(), name.to_owned(), version.to_owned()));
        }
        let shown = Reference::parse("busybox").expect("a name").to_string();
        assert_eq!(shown, "docker.io/library/busybox:latest");
    }

    #[test]
    fn a_host_a_port_and_a_digest_are_told_from_a_tag() {
        for (text, server, name, version) in [
            ("localhost/one", "localhost", "one", "latest"),
            ("localhost:5000/a/b:c", "localhost:5000", "a/b", "c"),
            ("[::1]:5000/a", "[::1]:5000", "a", "latest"),
            ("a.test/b", "a.test", "b", "latest"),
            (&format!("a.test:1/b@{SUM}"), "a.test:1", "b", SUM),
            (&format!("a.test/b:tag@{SUM}"), "a.test", "b", SUM),
        ] {
            assert_eq!(parse(text), (server.to_owned(), name.to_owned(), version.to_owned()));
        }
    }

    #[test]
    fn what_cannot_be_a_name_is_refused() {
        let long = "n".repeat(256);
        for text in [
            "",
            ":",
            "Busybox",
            "a//b",
            "/a",
            "a/",
            "../a",
            "a b",
            "a:",
            "a:.x",
            "a@sha256:00",
            "a.test:0/b",
            "a.test:x/b",
            "a.test:99999/b",
            "user@a.test/b",
            "a.test?x/b",
            "[::/a",
            "https://a.test/b",
            "a\n",
            "-a",
            &long,
        ] {
            assert!(Reference::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn with_a_digest_the_tag_makes_no_difference() {
        let [tagged, plain] = ["busybox:1.36@", "busybox@"]
            .map(|name| Reference::parse(&format!("{name}{SUM}")).expect("a name"));
        assert_eq!(tagged, plain);
    }

    #[test]
    fn a_name_that_is_too_long_with_what_is_added_to_it_is_none() {
        assert!(Reference::parse(&"a".repeat(247)).is_ok());
        assert!(Reference::parse(&"a".repeat(248)).is_err());
    }
}
