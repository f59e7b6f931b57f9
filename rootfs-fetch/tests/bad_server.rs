//! Images from servers that want something first, or do not do what they should.

mod archive;
mod server;

use rootfs_fetch::Error;
use server::{CONFIG, Do, Front, OCI, Place, Registry, digest, digest_of, layer, push_big};

/// The answer that asks for something first.
fn ask_for(what: &str) -> Do {
    let header = format!("WWW-Authenticate: {what}\r\n");
    Do::Answer("401 Unauthorized".to_owned(), header, "{}".to_owned())
}

fn json(body: &str) -> Do {
    Do::Answer("200 OK".to_owned(), String::new(), body.to_owned())
}

#[test]
fn a_manifest_that_is_not_what_its_digest_says_is_refused() {
    let Some(registry) = Registry::start() else { return };
    let one = registry.push("1", OCI, &[layer("a", "one")]);
    let other = digest_of(&registry.push("2", OCI, &[layer("a", "two")]));
    let asked = digest_of(&one);
    // Asked for the one, it gives the other; and it says that the one has the other's digest.
    let from = asked.clone();
    let lies = Front::new(registry.address, move |head, _| {
        let there = head.contains(&from).then(|| server::digest(b"{}"));
        match there {
            Some(_) => Do::Answer("200 OK".to_owned(), String::new(), "{}".to_owned()),
            None => {
                let header = format!("Docker-Content-Digest: {other}\r\n");
                Do::Answer("200 OK".to_owned(), header, "{\"layers\":[]}".to_owned())
            }
        }
    });
    let place = Place::new();
    for image in [format!("it@{asked}"), "it:1".to_owned()] {
        let error = place.error(&lies.image(&image));
        assert!(matches!(error, Error::Mismatch { .. }), "{error}");
    }
}

#[test]
fn a_layer_that_the_registry_has_lost_is_missed() {
    let Some(registry) = Registry::start() else { return };
    let bytes = layer("a", "one");
    registry.push("1", OCI, std::slice::from_ref(&bytes));
    let lost = digest(&bytes);
    let front = Front::new(registry.address, move |head, _| {
        if head.contains(&lost) {
            return Do::Answer("404 Not Found".to_owned(), String::new(), String::new());
        }
        Do::Forward
    });
    let error = Place::new().refuses(&front.image("it:1"));
    assert!(error.contains("lacks a part"), "{error}");
}

#[test]
fn a_token_is_fetched_where_the_registry_says_and_shown_from_then_on() {
    let Some(registry) = Registry::start() else { return };
    registry.push("1", OCI, &[layer("a", "one")]);
    for key in ["token", "access_token"] {
        let tokens = Front::new(registry.address, move |_, _| {
            json(&format!(r#"{{"{key}":"secret-word","expires_in":60}}"#))
        });
        let realm = tokens.address;
        let front = Front::new(registry.address, move |head, _| {
            if head.to_lowercase().contains("authorization: bearer secret-word") {
                return Do::Forward;
            }
            let scope = "repository:it:pull,push";
            ask_for(&format!(r#"Bearer realm="http://{realm}/give",service="a b",scope="{scope}""#))
        });
        Place::new().see(&front.image("it:1"), |_| ());
        let asked = tokens.seen();
        assert_eq!(asked.len(), 1, "{asked:?}");
        let line = asked[0].lines().next().expect("a line");
        assert!(line.starts_with("GET /give?service=a%20b&scope=repository:it:pull%2Cpush "));
        let without = front.seen().iter().filter(|head| !head.contains("secret-word")).count();
        assert_eq!(without, 1);
    }
}

#[test]
fn a_token_that_is_not_taken_or_not_given_is_an_error() {
    let Some(registry) = Registry::start() else { return };
    let place = Place::new();
    for (given, words) in [
        (r#"{"token":"wrong"}"#, "login"),
        ("{}", "no token"),
        ("<html>", "no token"),
        ("{\"token\":\"a\\r\\nHost: x\"}", ""),
    ] {
        let tokens = Front::new(registry.address, move |_, _| json(given));
        let realm = tokens.address;
        let front = Front::new(registry.address, move |_, _| {
            ask_for(&format!(r#"Bearer realm="http://{realm}/""#))
        });
        let error = place.refuses(&front.image("it:1"));
        assert!(error.contains(words), "{given}: {error}");
        assert_eq!(tokens.seen().len(), 1);
        assert!(front.seen().len() <= 2);
    }
}

#[test]
fn whoever_wants_a_password_is_told_apart() {
    let Some(registry) = Registry::start() else { return };
    let place = Place::new();
    let front = Front::new(registry.address, |_, _| ask_for("Basic realm=\"x\""));
    let error = place.refuses(&front.image("it:1"));
    assert!(error.contains("password") && error.contains("not known here"), "{error}");
    let front = Front::new(registry.address, |_, _| {
        Do::Answer("403 Forbidden".to_owned(), String::new(), String::new())
    });
    let error = place.refuses(&front.image("it:1"));
    assert!(error.contains("login"), "{error}");
}

/// A registry that wants the token `secret-word`, and then does this with a path.
fn with_token(
    registry: &Registry,
    ask: impl Fn(&str) -> String + Send + 'static,
    then: impl Fn(&str, &str) -> Do + Send + 'static,
) -> (Front, Front) {
    let tokens = Front::new(registry.address, |_, _| json(r#"{"token":"secret-word"}"#));
    let realm = format!("http://{}/", tokens.address);
    let front = Front::new(registry.address, move |head, _| {
        if !head.contains("Bearer secret-word") {
            return Do::Answer("401 Unauthorized".to_owned(), ask(&realm), String::new());
        }
        then(head, head.split(' ').nth(1).expect("a path"))
    });
    (tokens, front)
}

#[test]
fn what_else_a_registry_would_take_does_not_hide_the_token_that_it_wants() {
    let Some(registry) = Registry::start() else { return };
    registry.push("1", OCI, &[layer("a", "one")]);
    let bearer = "Bearer realm=\"REALM\"";
    for asked in [
        format!("WWW-Authenticate: Basic realm=\"a, Bearer b\", {bearer}\r\n"),
        format!("WWW-Authenticate: {bearer}, Basic realm=x\r\n"),
        format!("WWW-Authenticate: Basic realm=x\r\nWWW-Authenticate: {bearer}\r\n"),
        format!("WWW-Authenticate: Negotiate YWJj+/==, Digest nonce=\"\\\"\", ,{bearer},\r\n"),
        "www-authenticate: Negotiate, bEARER \t REALM = \"REALM\"\r\n".to_owned(),
        format!("WWW-Authenticate: Bearer realm=\"file:///x\", {bearer}\r\n"),
        "WWW-Authenticate: Bearer error=\"\u{e9}\", realm=REALM\r\n".to_owned(),
    ] {
        let ask = move |realm: &str| {
            asked
                .replace("\"REALM\"", &format!("\"{realm}\""))
                .replace("=REALM", &format!("={realm}"))
        };
        let (tokens, front) = with_token(&registry, ask, |_, _| Do::Forward);
        Place::new().see(&front.image("it:1"), |_| ());
        assert_eq!(tokens.seen().len(), 1);
    }
}

#[test]
fn a_redirect_on_the_same_server_carries_the_token() {
    let Some(registry) = Registry::start() else { return };
    registry.push("1", OCI, &[layer("a", "one")]);
    let ask = |realm: &str| format!("WWW-Authenticate: Bearer realm=\"{realm}\"\r\n");
    for to in ["/v2/it/", "http://HOST/v2/it/", "//HOST/v2/it/", "../../it/"] {
        let (tokens, front) = with_token(&registry, ask, move |head, path| {
            let Some(rest) = path.strip_prefix("/v2/moved/") else { return Do::Forward };
            let host = head.lines().find_map(|line| line.strip_prefix("host: "));
            let host = host.or(head.lines().find_map(|line| line.strip_prefix("Host: ")));
            let to = to.replace("HOST", host.expect("a host"));
            let there = format!("Location: {to}{rest}\r\n");
            Do::Answer("301 Moved Permanently".to_owned(), there, String::new())
        });
        Place::new().see(&front.image("moved:1"), |_| ());
        assert_eq!(tokens.seen().len(), 1, "{to}");
    }
    let (_tokens, front) = with_token(&registry, ask, |_, path| {
        let there = format!("Location: {path}\r\n");
        Do::Answer("302 Found".to_owned(), there, String::new())
    });
    let error = Place::new().refuses(&front.image("it:1"));
    assert!(error.contains("elsewhere again"), "{error}");
}

#[test]
fn a_redirect_to_another_host_does_not_carry_the_token() {
    let Some(registry) = Registry::start() else { return };
    registry.push("1", OCI, &[layer("a", "one")]);
    let store = Front::new(registry.address, |_, _| Do::Forward);
    let tokens = Front::new(registry.address, |_, _| json(r#"{"token":"secret-word"}"#));
    let (realm, place_of_blobs) = (tokens.address, store.address);
    let front = Front::new(registry.address, move |head, _| {
        let path = head.split(' ').nth(1).expect("a path");
        if !head.contains("secret-word") {
            return ask_for(&format!(r#"Bearer realm="http://{realm}/""#));
        }
        if path.contains("/blobs/") {
            let there = format!("Location: http://{place_of_blobs}{path}\r\n");
            return Do::Answer("307 Temporary Redirect".to_owned(), there, String::new());
        }
        Do::Forward
    });
    Place::new().see(&front.image("it:1"), |_| ());
    let seen = store.seen();
    assert_eq!(seen.len(), 2, "the config and a layer: {seen:?}");
    let all = seen.concat().to_lowercase();
    assert!(!all.contains("secret-word") && !all.contains("authorization"), "{all}");
}

#[test]
fn redirects_without_end_are_not_followed() {
    let Some(registry) = Registry::start() else { return };
    let front = Front::new(registry.address, |_, _| {
        let there = "Location: /v2/it/manifests/1\r\n".to_owned();
        Do::Answer("302 Found".to_owned(), there, String::new())
    });
    let error = Place::new().refuses(&front.image("it:1"));
    assert!(error.contains("leads elsewhere"), "{error}");
    assert!(front.seen().len() < 10);
}

fn is_blob(head: &str) -> bool {
    head.contains("/blobs/") && !head.contains(&digest(CONFIG))
}

#[test]
fn a_cut_connection_goes_on_where_it_was_cut() {
    let Some(registry) = Registry::start() else { return };
    push_big(&registry);
    let front = Front::new(registry.address, |head, _| match head.contains("bytes=") {
        _ if !is_blob(head) => Do::Forward,
        true => Do::Cut(250_000),
        false => Do::Cut(100_000),
    });
    Place::new().see(&front.image("it:1"), |_| ());
    let seen: Vec<String> = front.seen().into_iter().filter(|head| is_blob(head)).collect();
    let from = |head: &String| head.to_lowercase().split_once("range: bytes=").is_some();
    assert_eq!(seen.iter().map(from).collect::<Vec<_>>(), [false, true, true]);
    assert!(seen[1].contains("bytes=100000-") && seen[2].contains("bytes=350000-"), "{seen:?}");
}

#[test]
fn a_server_that_sends_everything_again_is_read_from_the_beginning() {
    let Some(registry) = Registry::start() else { return };
    push_big(&registry);
    let front = Front::new(registry.address, |head, _| match head.contains("bytes=") {
        _ if !is_blob(head) => Do::Forward,
        true => Do::ForwardWhole,
        false => Do::CutWhole(300_000),
    });
    Place::new().see(&front.image("it:1"), |_| ());
    assert_eq!(front.seen().iter().filter(|head| is_blob(head)).count(), 2);
}

#[test]
fn a_connection_that_is_always_cut_is_an_error_after_some_tries() {
    let Some(registry) = Registry::start() else { return };
    push_big(&registry);
    let cut = |head: &str, _| if is_blob(head) { Do::CutWhole(1000) } else { Do::Forward };
    let front = Front::new(registry.address, cut);
    let error = Place::new().refuses(&front.image("it:1"));
    assert!(error.contains("was cut after 1000 of"), "{error}");
    let tries = front.seen().iter().filter(|head| is_blob(head)).count();
    assert!((3..=5).contains(&tries), "{tries}");
    let front = Front::new(registry.address, |_, _| Do::Silence);
    let error = Place::new().refuses(&front.image("it:1"));
    assert!(error.contains("was cut"), "{error}");
}

#[test]
fn a_server_that_fails_once_is_asked_again_and_one_that_wants_to_wait_long_is_not() {
    let Some(registry) = Registry::start() else { return };
    push_big(&registry);
    for answer in ["503 Service Unavailable", "429 Too Many Requests"] {
        let front = Front::new(registry.address, move |_, before| match before % 2 {
            0 => Do::Answer(answer.to_owned(), "Retry-After: 0\r\n".to_owned(), String::new()),
            _ => Do::Forward,
        });
        Place::new().see(&front.image("it:1"), |_| ());
    }
    let busy =
        |after: &str| Do::Answer("429 Too Many Requests".into(), after.into(), String::new());
    let front = Front::new(registry.address, move |_, _| busy("Retry-After: 3600\r\n"));
    let error = Place::new().refuses(&front.image("it:1"));
    assert!(error.contains("too many requests") && error.contains("3600 seconds"), "{error}");
    assert_eq!(front.seen().len(), 1);
    let front = Front::new(registry.address, move |_, _| busy(""));
    let error = Place::new().refuses(&front.image("it:1"));
    assert!(error.contains("too many requests"), "{error}");
    assert!(front.seen().len() <= 5);
}

#[test]
fn what_is_no_manifest_is_refused() {
    let Some(registry) = Registry::start() else { return };
    let one = format!(r#"{{"mediaType":"{}","digest":"{}","size":2}}"#, OCI[3], digest(b"{}"));
    let image = format!(r#"{{"config":{one},"layers":[{}]}}"#, one.replace(OCI[3], "x/y\\u001b"));
    for (manifest, words) in [
        (r#"{"schemaVersion":1,"fsLayers":[]}"#, "schema 1"),
        ("<html>", "cannot be understood"),
        ("", "cannot be understood"),
        ("{}", "neither"),
        (r#"{"manifests":[],"layers":[]}"#, "neither"),
        (r#"{"manifests":[]}"#, "none at all"),
        (&image, "is not known"),
        (r#"{"config":{"digest":"sha256:../x","size":1},"layers":[]}"#, "not a digest"),
        (&" ".repeat(5 << 20), "too long"),
    ] {
        let answer = manifest.to_owned();
        let front = Front::new(registry.address, move |_, _| json(&answer));
        let error = Place::new().refuses(&front.image("it:1"));
        assert!(error.contains(words), "{error}");
        assert!(!error.contains('\x1b') && error.len() < 500, "{error}");
    }
}
