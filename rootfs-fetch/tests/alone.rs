//! Fetching in a process of its own, with an environment of its own.

mod archive;
mod server;

use std::fs;
use std::path::Path;
use std::process::Command;

use rootfs_fetch::{Fetch, Progress, Source, Store};
use server::{Do, Front, OCI, Registry, layer};

/// Not a test by itself: what others start with another environment. Prints what happened, and how
/// many threads there were before and after.
#[test]
fn fetch_what_the_environment_says() {
    let Some(store) = std::env::var_os("FETCH_STORE") else { return };
    let threads = || fs::read_dir("/proc/self/task").expect("a list").count();
    let sources = std::env::var("FETCH_SOURCES").expect("a list");
    let fetch = Fetch {
        name: "it".to_owned(),
        sources: Source::ALL.into_iter().filter(|one| sources.contains(one.name())).collect(),
        image: std::env::var("FETCH_IMAGE").expect("an image"),
        plain_http: std::env::var_os("FETCH_PLAIN").is_some(),
    };
    let before = threads();
    let store = Store::open(Some(store.into())).expect("a store");
    let fetched = store.fetch(&fetch, &Progress::stderr());
    let after = threads();
    match fetched {
        Ok(rootfs) => println!("\nFETCHED {} threads {before} {after}", rootfs.source),
        Err(error) => println!("\nREFUSED {error} threads {before} {after}"),
    }
}

/// Runs the test above in a process of its own.
fn fetch_with(environment: &[(&str, &str)]) -> String {
    let dir = tempfile::tempdir().expect("a directory");
    let output = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "fetch_what_the_environment_says", "--nocapture", "--test-threads=1"])
        .env("FETCH_STORE", dir.path())
        .env("FETCH_SOURCES", "registry")
        .envs(environment.iter().copied())
        .output()
        .expect("started");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}");
    text
}

#[test]
fn no_thread_is_left_when_an_image_is_there() {
    let Some(registry) = Registry::start() else { return };
    registry.push("1", OCI, &[layer("a", "one")]);
    let image = registry.image("it:1").replace("127.0.0.1", "localhost");
    for (image, word) in [(image.as_str(), "FETCHED"), ("nobody.invalid/it", "REFUSED")] {
        let text = fetch_with(&[("FETCH_IMAGE", image), ("FETCH_PLAIN", "1")]);
        let (_, counts) = text.split_once(" threads ").expect("counts");
        let counts: Vec<&str> = counts.split_whitespace().take(2).collect();
        assert!(text.contains(word) && counts[0] == counts[1], "{text}");
    }
}

/// Makes a key and a certificate for `localhost`, signed by itself.
fn make_certificate(dir: &Path) -> bool {
    let subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"];
    let kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-days", "2", "-keyout", "key", "-out", "cert"]);
    openssl.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
    let output = openssl.args(subject).args(kind).current_dir(dir).output();
    let made = output.is_ok_and(|output| output.status.success());
    if !made {
        eprintln!("SKIPPED: this test, because `openssl` makes no certificate");
        assert!(std::env::var_os("SANDBOX_TEST_ALL").is_none(), "`openssl` is missing");
    }
    made
}

#[test]
fn a_server_is_trusted_when_this_machine_trusts_it() {
    let dir = tempfile::tempdir().expect("a directory");
    if !make_certificate(dir.path()) {
        return;
    }
    let (key, cert) = (dir.path().join("key"), dir.path().join("cert"));
    let http = format!("  tls:\n    certificate: {}\n    key: {}\n", cert.display(), key.display());
    let Some(registry) = Registry::start_with(&http) else { return };
    let image = registry.image("it:1").replace("127.0.0.1", "localhost");
    let text = fetch_with(&[("FETCH_IMAGE", &image)]);
    assert!(text.contains("certificate is not trusted"), "{text}");
    let cert = cert.to_str().expect("text");
    let text = fetch_with(&[("FETCH_IMAGE", &image), ("SSL_CERT_FILE", cert)]);
    assert!(text.contains("there is no such image or tag"), "{text}");
    let text = fetch_with(&[("FETCH_IMAGE", &image), ("FETCH_PLAIN", "1")]);
    assert!(text.contains("400 Bad Request"), "{text}");
}

#[test]
fn what_has_no_tls_is_refused_unless_that_is_wanted() {
    let Some(registry) = Registry::start() else { return };
    let text = fetch_with(&[("FETCH_IMAGE", &registry.image("it:1"))]);
    assert!(text.contains("does not speak TLS"), "{text}");
}

#[test]
fn the_proxy_that_the_environment_names_is_asked_but_not_for_this_machine() {
    let Some(registry) = Registry::start() else { return };
    registry.push("1", OCI, &[layer("a", "one")]);
    let refuse = |_: &str, _| Do::Answer("403 Forbidden".into(), String::new(), String::new());
    let proxy = Front::new(registry.address, refuse);
    let url = proxy.image("").replace("127.0.0.1", "http://localhost");
    let image = registry.image("it:1");
    for (image, plain) in [(image.as_str(), "1"), ("nobody.invalid/it", "")] {
        let text = fetch_with(&[
            ("FETCH_IMAGE", image),
            (if plain.is_empty() { "UNUSED" } else { "FETCH_PLAIN" }, plain),
            ("ALL_PROXY", &url),
            ("all_proxy", &url),
            ("HTTPS_PROXY", &url),
            ("https_proxy", &url),
            ("NO_PROXY", ""),
            ("no_proxy", ""),
        ]);
        let (_, counts) = text.split_once(" threads ").expect("counts");
        let counts: Vec<&str> = counts.split_whitespace().take(2).collect();
        assert_eq!(counts[0], counts[1], "{text}");
        match plain {
            "" => assert!(text.contains("the proxy refuses"), "{text}"),
            _ => assert!(text.contains("FETCHED") && proxy.seen().is_empty(), "{text}"),
        }
    }
    assert!(proxy.seen()[0].starts_with("CONNECT nobody.invalid:443 "));
}
