//! Tokens. A registry that wants one answers 401 and says in `WWW-Authenticate` who gives it; for
//! public images that is anybody who asks.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use ureq::Body;
use ureq::http::{Response, header};

use super::challenge::{Challenge, challenges};
use super::http::{Client, Failure, read_small, refusal, server};
use crate::error::Error;

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    token: String,
    #[serde(default)]
    access_token: String,
}

/// What can be in the query of an address as it is.
const PLAIN: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':').remove(b'/');

/// Where to ask for the token that a challenge wants. The scope is what the registry says, or
/// reading `name`.
fn address(challenge: &Challenge, name: &str) -> Option<String> {
    let realm = challenge.parameter("realm")?;
    if !["http:", "https:"].iter().any(|scheme| starts_with(realm, scheme)) {
        return None;
    }
    let mut address = realm.to_owned();
    let pull = format!("repository:{name}:pull");
    let scope = challenge.parameter("scope").unwrap_or(&pull);
    let service = challenge.parameter("service").map(|service| ("service", service));
    for (key, value) in service.into_iter().chain([("scope", scope)]) {
        address.push(if address.contains('?') { '&' } else { '?' });
        address.push_str(&format!("{key}={}", utf8_percent_encode(value, PLAIN)));
    }
    Some(address)
}

fn starts_with(text: &str, start: &str) -> bool {
    text.get(..start.len()).is_some_and(|text| text.eq_ignore_ascii_case(start))
}

/// Where to ask for the token that a server wants for the image `name` with its answer 401 to `url`.
///
/// # Errors
/// When it wants something else.
pub(crate) fn wanted(url: &str, response: &Response<Body>, name: &str) -> Result<String, Error> {
    let headers = response.headers().get_all(header::WWW_AUTHENTICATE).iter();
    let wanted: Vec<Challenge> = headers.flat_map(|header| challenges(header.as_bytes())).collect();
    let mut bearers = wanted.iter().filter(|challenge| challenge.is("bearer"));
    let password = wanted.iter().any(|challenge| challenge.is("basic"));
    match bearers.find_map(|challenge| address(challenge, name)) {
        Some(address) => Ok(address),
        None if password => Err(wants_password(url)),
        None => Err(denied(url)),
    }
}

/// Gets the token that is given at `address`.
///
/// # Errors
/// When nobody gives one.
pub(crate) fn token(client: &Client, address: &str) -> Result<String, Failure> {
    let response = client.get(address, &[])?;
    if !response.status().is_success() {
        return Err(refusal(address, &response, "nobody gives tokens there"));
    }
    let bytes = read_small(address, response.into_body())?;
    let answer = serde_json::from_slice::<Answer>(&bytes).ok();
    let token = answer.and_then(|answer| {
        [answer.token, answer.access_token].into_iter().find(|token| !token.is_empty())
    });
    token.ok_or_else(|| server(address, "the answer has no token in it").into())
}

fn wants_password(url: &str) -> Error {
    let problem = "the registry wants a name and a password, which are not known here: get the \
                   image with another tool and use `sandbox rootfs import FILE`";
    server(url, problem)
}

fn denied(url: &str) -> Error {
    server(url, "the registry denies access, and does not say what it wants")
}

#[cfg(fuzzing)]
pub(crate) fn addresses(header: &[u8]) -> Vec<Option<String>> {
    challenges(header).iter().map(|challenge| address(challenge, "name")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address_in(text: &str) -> Option<String> {
        let all = challenges(text.as_bytes());
        all.iter().find(|one| one.is("bearer")).and_then(|one| address(one, "a/b"))
    }

    #[test]
    fn a_challenge_says_where_to_ask_for_a_token() {
        for (text, asked) in [
            (
                r#"Bearer realm="https://a.test/token",service="a b&c",scope="repository:x:pull,push""#,
                "https://a.test/token?service=a%20b%26c&scope=repository:x:pull%2Cpush",
            ),
            (
                r#"bearer Realm = "https://a.test/t?k=v" , x = y"#,
                "https://a.test/t?k=v&scope=repository:a/b:pull",
            ),
            (
                r#"Basic realm="x, y", Bearer realm="https://a.test/\"t\"",service=s"#,
                r#"https://a.test/"t"?service=s&scope=repository:a/b:pull"#,
            ),
        ] {
            assert_eq!(address_in(text).as_deref(), Some(asked), "{text}");
        }
    }

    #[test]
    fn a_broken_challenge_leads_nowhere() {
        for text in ["", "Bearer", "Bearer realm", "Bearer realm=\"", "Bearer realm=\"file:///x\""]
        {
            assert_eq!(address_in(text), None, "{text}");
        }
    }
}
