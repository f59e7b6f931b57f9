//! Asking servers: with patience, but not for ever, and with words for what goes wrong.

use std::io::{ErrorKind, Read};
use std::thread::sleep;
use std::time::Duration;

use ureq::http::header::RETRY_AFTER;
use ureq::http::{Response, Uri};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, Body, Timeout};

use super::redirect;
use crate::error::Error;
use crate::text::shown;

/// The most bytes of a manifest, a config or a token.
const MAX_SMALL: u64 = 4 * 1024 * 1024;

/// How long to wait for a connection, for the beginning of an answer, and for more of it.
const CONNECT: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_secs(60);
const IDLE: Duration = Duration::from_secs(30);

/// How often an answer may lead elsewhere.
const MAX_REDIRECTS: usize = 5;

/// The pauses between tries. There is one try more than there are pauses.
const PAUSES: [Duration; 3] =
    [Duration::from_millis(200), Duration::from_secs(1), Duration::from_secs(3)];

/// The longest wait that a server is granted.
const LONGEST_PAUSE: Duration = Duration::from_secs(20);

/// Why a try failed, and whether to try again: if so, not before this time is over.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: Error,
    pub(crate) again: Option<Duration>,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure { error, again: None }
    }
}

/// Tries until it works, fails for good, or was tried often enough.
pub(crate) fn persist<T>(mut attempt: impl FnMut() -> Result<T, Failure>) -> Result<T, Error> {
    let mut pauses = PAUSES.into_iter();
    loop {
        let failure = match attempt() {
            Ok(done) => return Ok(done),
            Err(failure) => failure,
        };
        match (failure.again, pauses.next()) {
            (Some(wait), Some(pause)) => sleep(wait.max(pause)),
            _ => return Err(failure.error),
        }
    }
}

/// Speaks HTTP.
pub(crate) struct Client {
    agent: Agent,
}

impl Client {
    /// With `plain_http`, what is asked and answered may go over the network in the clear. This
    /// machine is not asked by way of a proxy; all others are if the environment says so.
    pub(crate) fn new(plain_http: bool, is_local: bool) -> Client {
        Client::with_patience(plain_http, is_local, IDLE)
    }

    fn with_patience(plain_http: bool, is_local: bool, idle: Duration) -> Client {
        let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
        let mut config = Agent::config_builder()
            .https_only(!plain_http)
            .tls_config(tls)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("sandbox/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(ANSWER))
            .timeout_per_read(Some(idle))
            .timeout_per_write(Some(idle));
        if is_local {
            config = config.proxy(None);
        }
        let agent = Agent::with_parts(config.build(), DefaultConnector::default(), SameThread);
        Client { agent }
    }

    /// Asks for what is at `url`, and where that leads. Every other answer is one, whatever its
    /// status. A token stays with the server that it is for.
    pub(crate) fn get(
        &self,
        url: &str,
        headers: &[(&str, &str)],
    ) -> Result<Response<Body>, Failure> {
        let no_address = |problem| Failure::from(server(url, problem));
        let mut at: Uri = url.parse().map_err(|_| no_address("this is no address"))?;
        let mut headers = headers.to_vec();
        for _ in 0..=MAX_REDIRECTS {
            let mut request = self.agent.get(&at);
            for (name, value) in &headers {
                request = request.header(*name, *value);
            }
            let answer = request.call().map_err(|error| failure(url, &error, ""))?;
            let Some(location) = redirect::location(&answer) else { return Ok(answer) };
            let next = redirect::join(&at, &location);
            let next = next.ok_or_else(|| no_address("leads to what is no address"))?;
            if !redirect::same_server(&at, &next) {
                headers.retain(|(name, _)| !name.eq_ignore_ascii_case("authorization"));
            }
            at = next;
        }
        Err(failure(url, &ureq::Error::TooManyRedirects, ""))
    }
}

/// Resolves names without a thread of its own, which would still be there when a process wants to
/// make a user namespace. resolv.conf(5) says how long that can take.
#[derive(Debug)]
struct SameThread;

impl Resolver for SameThread {
    fn resolve(
        &self,
        uri: &Uri,
        config: &ureq::config::Config,
        _: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let found = DefaultResolver::default().resolve(uri, config, NextTimeout::default());
        found.map_err(|error| match error {
            ureq::Error::Io(_) => ureq::Error::HostNotFound,
            other => other,
        })
    }
}

/// An [`Error::Server`] that can be printed on a terminal.
pub(crate) fn server(url: &str, problem: impl AsRef<str>) -> Error {
    let problem = shown(problem.as_ref().as_bytes());
    Error::Server { url: shown(url.as_bytes()), problem }
}

/// What went wrong, with words on how far it was.
pub(crate) fn failure(url: &str, error: &ureq::Error, how_far: &str) -> Failure {
    let (problem, passing) = words(error);
    let error = server(url, problem + how_far);
    Failure { error, again: passing.then_some(Duration::ZERO) }
}

/// What happened, and whether it may pass.
fn words(error: &ureq::Error) -> (String, bool) {
    let lasting = |text: &str| (text.to_owned(), false);
    match error {
        ureq::Error::HostNotFound => lasting("cannot find the host (no network?)"),
        ureq::Error::Timeout(Timeout::Connect) => lasting("the host does not answer"),
        ureq::Error::Timeout(_) => lasting("the server stopped answering"),
        ureq::Error::TooManyRedirects => lasting("leads elsewhere, and from there elsewhere again"),
        ureq::Error::RequireHttpsOnly(_) => {
            lasting("leads to an address without TLS, which is not followed")
        }
        ureq::Error::ConnectProxyFailed(why) => (format!("the proxy refuses: {why}"), false),
        ureq::Error::Io(error) => match error.kind() {
            ErrorKind::ConnectionRefused => lasting("nothing answers there: connection refused"),
            ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable => {
                lasting("cannot reach the host (no network?)")
            }
            ErrorKind::UnexpectedEof
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe => ("the connection was cut".to_owned(), true),
            _ => (tls_words(&error.to_string()), false),
        },
        ureq::Error::Rustls(error) => (tls_words(&error.to_string()), false),
        other => (other.to_string(), false),
    }
}

fn tls_words(text: &str) -> String {
    if text.contains("peer certificate") {
        format!("its TLS certificate is not trusted ({text})")
    } else if text.contains("corrupt message") {
        "does not speak TLS; `--plain-http` is for registries that do not".to_owned()
    } else if text.contains("No CA certificates") {
        "no server can be trusted: install the package ca-certificates".to_owned()
    } else {
        text.to_owned()
    }
}

/// Why an answer is not what was asked for. `missing` says it for what is not there.
pub(crate) fn refusal(url: &str, answer: &Response<Body>, missing: &str) -> Failure {
    let status = answer.status();
    let asked = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let wait =
        asked.and_then(|seconds| seconds.parse().ok()).map_or(Duration::ZERO, Duration::from_secs);
    let (problem, passing) = match status.as_u16() {
        404 => (missing.to_owned(), false),
        401 | 403 => (
            "refused: there is no such image, or it needs a login, which sandbox does not do"
                .to_owned(),
            false,
        ),
        429 if wait > LONGEST_PAUSE => {
            (format!("asks to wait {} seconds: too many requests", wait.as_secs()), false)
        }
        429 => ("asks to wait: too many requests".to_owned(), true),
        500..=599 => (format!("the server failed ({status})"), wait <= LONGEST_PAUSE),
        _ => (format!("the server answered {status}"), false),
    };
    Failure { error: server(url, problem), again: passing.then_some(wait) }
}

/// Reads an answer that must be short.
pub(crate) fn read_small(url: &str, body: Body) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = body.into_reader().take(MAX_SMALL + 1).read_to_end(&mut bytes);
    read.map_err(|error| failure(url, &error.into(), ""))?;
    if bytes.len() as u64 > MAX_SMALL {
        return Err(server(url, "the answer is too long for what it should be").into());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpListener;

    use super::*;

    /// A server that says this, and then nothing more, while `ask` asks it.
    fn silent_after(text: &str, ask: impl FnOnce(Client, &str)) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/", listener.local_addr().expect("an address"));
        let client = Client::with_patience(true, true, Duration::from_millis(100));
        std::thread::scope(|scope| {
            let server = scope.spawn(move || {
                let (mut stream, _) = listener.accept().expect("a connection");
                stream.write_all(text.as_bytes()).expect("written");
                stream
            });
            ask(client, &url);
            server.join().expect("a connection");
        });
    }

    #[test]
    fn a_server_that_says_nothing_is_not_waited_for_for_ever() {
        silent_after("", |client, url| {
            let failure = client.get(url, &[]).expect_err("nothing said");
            assert!(failure.error.to_string().contains("stopped answering"), "{}", failure.error);
            assert_eq!(failure.again, None);
        });
        let begun = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nand so on";
        silent_after(begun, |client, url| {
            let answer = client.get(url, &[]).expect("begun");
            let failure = read_small(url, answer.into_body()).expect_err("not ended");
            assert!(failure.error.to_string().contains("stopped answering"), "{}", failure.error);
            assert_eq!(failure.again, None);
        });
    }

    #[test]
    fn what_may_pass_is_tried_again_and_what_lasts_is_not() {
        let fail = |again: bool| Failure {
            error: server("http://a.test", "no"),
            again: again.then_some(Duration::ZERO),
        };
        let mut tries = 0;
        let second = persist(|| {
            tries += 1;
            if tries < 2 { Err(fail(true)) } else { Ok(tries) }
        });
        assert_eq!(second.expect("the second"), 2);
        let mut tries = 0;
        let never = persist(|| {
            tries += 1;
            Err::<(), _>(fail(false))
        });
        assert!(never.is_err() && tries == 1);
    }
}
