//! Tokens. A registry that wants one answers 401 and says in `WWW-Authenticate` who gives it; for
//! public images that is anybody who asks.

use http_auth::ChallengeRef;
use http_auth::parser::ChallengeParser;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
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

/// What can be in the query of an address as it is.
const PLAIN: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':').remove(b'/');

/// What a server wants before it answers, as in `Bearer realm="…",service="…"`; up to what cannot
/// be understood.
fn challenges(text: &str) -> impl Iterator<Item = ChallengeRef<'_>> {
    ChallengeParser::new(text).map_while(Result::ok)
}

fn is(challenge: &ChallengeRef, scheme: &str) -> bool {
    challenge.scheme.eq_ignore_ascii_case(scheme)
}

/// Where to ask for a token. The scope is what the registry says, or reading `name`.
fn address(challenge: &ChallengeRef, name: &str) -> Option<String> {
    let parameter = |key: &str| {
        let mut all = challenge.params.iter();
        let (_, value) = all.find(|(known, _)| known.eq_ignore_ascii_case(key))?;
        Some(value.to_unescaped())
    };
    let mut address = parameter("realm").filter(|realm| realm.starts_with("http"))?;
    let scope = parameter("scope").unwrap_or_else(|| format!("repository:{name}:pull"));
    let service = parameter("service").map(|service| ("service", service));
    for (key, value) in service.into_iter().chain([("scope", scope)]) {
        address.push(if address.contains('?') { '&' } else { '?' });
        address.push_str(&format!("{key}={}", utf8_percent_encode(&value, PLAIN)));
    }
    Some(address)
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
    let values = values.filter_map(|value| value.to_str().ok());
    let wanted: Vec<ChallengeRef> = values.flat_map(challenges).collect();
    let bearer = wanted.iter().find(|challenge| is(challenge, "bearer"));
    let Some(address) = bearer.and_then(|challenge| address(challenge, name)) else {
        let password = wanted.iter().any(|challenge| is(challenge, "basic"));
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

#[cfg(fuzzing)]
pub(crate) fn addresses(text: &str) -> Vec<Option<String>> {
    challenges(text).map(|challenge| address(&challenge, "name")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address_in(text: &str) -> Option<String> {
        challenges(text).find(|one| is(one, "bearer")).and_then(|one| address(&one, "a/b"))
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
        let wanted: Vec<_> = challenges("Basic realm=\"x\", Bearer realm=\"").collect();
        assert!(wanted.len() == 1 && is(&wanted[0], "basic"));
    }
}
