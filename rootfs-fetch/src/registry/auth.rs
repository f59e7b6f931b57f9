//! Tokens. A registry that wants one answers 401 and says in `WWW-Authenticate` who gives it; for
//! public images that is anybody who asks.

use serde::Deserialize;
use ureq::Body;
use ureq::http::{Response, header};

use super::http::{Client, Failure, read_small, refusal, server};
use crate::error::Error;

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    token: String,
    #[serde(default)]
    access_token: String,
}

/// What a server wants before it answers, as in `Bearer realm="…",service="…"`.
#[derive(Debug, PartialEq, Eq)]
struct Challenge {
    scheme: String,
    parameters: Vec<(String, String)>,
}

impl Challenge {
    fn parse(text: &str) -> Challenge {
        let (scheme, mut rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        let mut parameters = Vec::new();
        while let Some((key, value)) = rest.split_once('=') {
            let (value, after) = match value.trim_start().strip_prefix('"') {
                Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
                None => value.split_once(',').unwrap_or((value, "")),
            };
            let key = key.trim_matches([' ', ',', '\t']).to_ascii_lowercase();
            parameters.push((key, value.trim().to_owned()));
            rest = after;
        }
        Challenge { scheme: scheme.to_ascii_lowercase(), parameters }
    }

    fn get(&self, key: &str) -> Option<&str> {
        self.parameters.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// Where to ask for a token. The scope is what the registry says, or reading `name`.
    fn address(&self, name: &str) -> Option<String> {
        let realm = self.get("realm").filter(|realm| realm.starts_with("http"))?;
        let scope = format!("repository:{name}:pull");
        let scope = self.get("scope").unwrap_or(&scope);
        let mut address = realm.to_owned();
        let service = self.get("service").map(|service| ("service", service));
        for (key, value) in service.into_iter().chain([("scope", scope)]) {
            address.push(if address.contains('?') { '&' } else { '?' });
            address.push_str(&format!("{key}={}", escape(value)));
        }
        Some(address)
    }
}

/// Gets the token that a server wants for the image `name` with its answer 401 to `url`.
///
/// # Errors
/// When it wants something else, or nobody gives one.
pub(crate) fn token(
    client: &Client,
    url: &str,
    response: &Response<Body>,
    name: &str,
) -> Result<String, Failure> {
    let values = response.headers().get_all(header::WWW_AUTHENTICATE).iter();
    let challenges = values.filter_map(|value| value.to_str().ok()).map(Challenge::parse);
    let challenges: Vec<Challenge> = challenges.collect();
    let bearer = challenges.iter().find(|challenge| challenge.scheme == "bearer");
    let Some(address) = bearer.and_then(|challenge| challenge.address(name)) else {
        let password = challenges.iter().any(|challenge| challenge.scheme == "basic");
        return Err(if password { wants_password(url) } else { denied(url) }.into());
    };
    let response = client.get(&address, &[])?;
    if !response.status().is_success() {
        return Err(refusal(&address, &response, "nobody gives tokens there"));
    }
    let bytes = read_small(&address, response.into_body())?;
    let answer = serde_json::from_slice::<Answer>(&bytes).ok();
    let token = answer.and_then(|answer| {
        [answer.token, answer.access_token].into_iter().find(|token| !token.is_empty())
    });
    token.ok_or_else(|| server(&address, "the answer has no token in it").into())
}

fn wants_password(url: &str) -> Error {
    let problem = "the registry wants a name and a password, which are not known here: get the \
                   image with another tool and use `sandbox rootfs import FILE`";
    server(url, problem)
}

fn denied(url: &str) -> Error {
    server(url, "the registry denies access, and does not say what it wants")
}

/// A text as it can be in the query of an address.
fn escape(text: &str) -> String {
    let one = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' | b'/' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_says_where_to_ask_for_a_token() {
        let text =
            r#"Bearer realm="https://a.test/token",service="a b&c",scope="repository:x:pull,push""#;
        let address = Challenge::parse(text).address("x").expect("an address");
        assert_eq!(
            address,
            "https://a.test/token?service=a%20b%26c&scope=repository:x:pull%2Cpush"
        );
        let short = Challenge::parse("bearer realm=https://a.test/t?k=v , x = y");
        assert_eq!(
            short.address("a/b").expect("an address"),
            "https://a.test/t?k=v&scope=repository:a/b:pull"
        );
        assert_eq!(short.get("x"), Some("y"));
    }

    #[test]
    fn a_broken_challenge_leads_nowhere() {
        for text in ["", "Bearer", "Bearer realm", "Bearer realm=\"", "Bearer realm=\"file:///x\""]
        {
            assert_eq!(Challenge::parse(text).address("x"), None, "{text}");
        }
        assert_eq!(Challenge::parse("Basic realm=\"x\"").scheme, "basic");
    }
}
