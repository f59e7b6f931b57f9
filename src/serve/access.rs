//! Who may read, and run: whoever has the key, through a page of this very server.
//!
//! A page of another site that the reader's browser shows can send requests here too. It is told
//! apart by the headers that a browser sets and no page can change: `Host` says by which name the
//! server was reached, `Origin` whose page is asking.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use axum::{Extension, Form};
use serde::Deserialize;

use super::client::Client;
use super::guesses::Guesses;
use super::head::head;
use super::reader::Reader;
use super::secret::{password, random, same};

/// The most readers that are remembered; the oldest is forgotten first.
const READERS: usize = 1024;

/// The largest body of a request, in bytes.
const BODY: usize = 4096;

/// How long a client may take to send the head of a request, or its body.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

pub(super) struct Access {
    address: SocketAddr,
    /// What lets a reader in: in the address that is printed, or typed in as a password.
    key: String,
    /// Another, for one reader only: the browser that is started has it on its command line, where
    /// everybody on this machine may read it.
    once: Mutex<Option<String>>,
    /// Whether others than this machine are served.
    open: bool,
    readers: Mutex<VecDeque<Reader>>,
    guesses: Guesses,
}

/// What those see who come without the key.
const NO_KEY: &str = concat!(
    "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>sandbox book</title>",
    "<h1>The key is missing</h1><p>Open the address that <code>sandbox book</code> printed when it ",
    "was started: it has a key in it, which is new at each start.</p></html>\n"
);

/// Asks for the password.
const PASSWORD: &str = concat!(
    "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">",
    "<meta name=\"viewport\" content=\"width=device-width\"><title>sandbox book</title>",
    "<h1>The password, please</h1><form method=\"post\" action=\"/\"><p><label>It was shown where ",
    "<code>sandbox book</code> was started: <input name=\"key\" autocomplete=\"off\" ",
    "autocapitalize=\"none\" autofocus></label> <button>Open the book</button></p></form></html>\n"
);

/// The key, as the address or the form has it.
#[derive(Deserialize)]
struct Key {
    key: String,
}

impl Access {
    pub(super) fn new(address: SocketAddr, open: bool) -> Access {
        let key = if open { password() } else { random(32) };
        Access {
            address,
            key,
            once: Mutex::default(),
            open,
            readers: Mutex::default(),
            guesses: Guesses::default(),
        }
    }

    /// Where the book is, on each address of this machine that it is served on.
    pub(super) fn urls(&self) -> Vec<String> {
        if !self.open {
            return vec![format!("http://{}/?key={}", self.address, self.key)];
        }
        if !self.address.ip().is_unspecified() {
            return vec![format!("http://{}/", self.address)];
        }
        let all = nix::ifaddrs::getifaddrs().into_iter().flatten();
        let all = all.filter_map(|at| at.address?.as_sockaddr_in().map(|at| at.ip()));
        all.map(|ip| format!("http://{ip}:{}/", self.address.port())).collect()
    }

    /// Where it is on this machine, for one reader, who must come first.
    pub(super) fn url_for_one(&self) -> String {
        if self.open {
            return self.urls().into_iter().next().unwrap_or_default();
        }
        let once = random(32);
        let url = format!("http://{}/?key={once}", self.address);
        *self.once.lock().unwrap_or_else(PoisonError::into_inner) = Some(once);
        url
    }

    /// What readers must type, if others are served.
    pub(super) fn password(&self) -> Option<&str> {
        self.open.then_some(&self.key)
    }

    /// Whether the server was reached by a name of its own. A name of somebody else's that leads
    /// here is how a page of theirs would get in (DNS rebinding); with a bare address that cannot
    /// be.
    fn is_host(&self, host: &str) -> bool {
        // A browser leaves out the port that is usual.
        let whole = host.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok());
        let (name, port) = whole.unwrap_or((host, "80"));
        let name = name.trim_start_matches('[').trim_end_matches(']');
        let own = match name.parse::<IpAddr>() {
            Ok(ip) => self.open || ip == self.address.ip(),
            Err(_) => !self.open && name == "localhost",
        };
        own && port.parse() == Ok(self.address.port())
    }

    /// Whether this is the key. How long it takes says nothing about it.
    fn is_key(&self, given: &str) -> bool {
        let mut once = self.once.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = once.as_ref().is_some_and(|once| same(given, once));
        if is_it {
            *once = None;
        }
        is_it || same(given, &self.key)
    }

    fn cookie(&self) -> String {
        format!("sandbox-book-{}", self.address.port())
    }

    fn reader(&self, headers: &HeaderMap) -> Option<Reader> {
        let cookies =
            headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut pairs = cookies.flat_map(|cookies| cookies.split(';'));
        let name = self.cookie();
        let id = pairs.find_map(|pair| pair.trim().strip_prefix(&name)?.strip_prefix('='))?;
        let readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        readers.iter().find(|reader| reader.id == id).cloned()
    }

    /// Lets a new reader in: on to the book, without the key in the address.
    fn welcome(&self) -> Response {
        let reader = Reader::new(random(32));
        let cookie = format!("{}={}; Path=/; HttpOnly; SameSite=Strict", self.cookie(), reader.id);
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if readers.len() >= READERS {
            readers.pop_front();
        }
        readers.push_back(reader);
        ([(header::SET_COOKIE, cookie)], Redirect::to("/")).into_response()
    }
}

/// Lets in who may come in.
pub(super) async fn check(
    State(access): State<Arc<Access>>,
    Extension(client): Extension<Client>,
    request: Request,
    next: Next,
) -> Response {
    let access = &*access;
    let headers = request.headers();
    if [header::HOST, header::ORIGIN].iter().any(|name| headers.get_all(name).iter().count() > 1) {
        return refuse(StatusCode::BAD_REQUEST, "there is more than one Host or Origin");
    }
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    // A request line may name a server too.
    let named = request.uri().authority().is_none_or(|server| access.is_host(server.as_str()));
    let host = text(header::HOST).filter(|host| named && access.is_host(host));
    let Some(host) = host.map(str::to_owned) else {
        return refuse(StatusCode::MISDIRECTED_REQUEST, "this server does not go by that name");
    };
    let origin = text(header::ORIGIN).map(str::to_owned);
    let own = format!("http://{host}");
    let foreign = origin.as_ref().is_some_and(|origin| *origin != own);
    let acts = request.method() == Method::POST || request.uri().path() == "/terminal";
    if foreign || (acts && origin.is_none()) {
        return refuse(StatusCode::FORBIDDEN, "only the pages of this book may ask for that");
    }
    let reader = access.reader(headers);
    let mut request = match whole(request).await {
        Ok(request) => request,
        Err(refusal) => return refusal,
    };
    // An address with a key leads on to one without, for those too who are in already.
    let keyed = request.uri().path() == "/" && key_in(request.uri()).is_some() && !access.open;
    if reader.is_some() {
        client.is_reader();
    }
    if let Some(reader) = reader.filter(|_| !keyed) {
        request.extensions_mut().insert(reader);
        return with_head(next.run(request).await);
    }
    let answer = match (request.uri().path(), access.open) {
        ("/", false) => match key_in(request.uri()) {
            Some(key) if access.is_key(key.trim()) => access.welcome(),
            _ => closed(access),
        },
        ("/", true) if request.method() == Method::POST => {
            match axum::RequestExt::extract::<Form<Key>, _>(request).await {
                // A password is shorter than a key, which nobody can guess.
                Ok(Form(Key { .. })) if access.guesses.too_many(client.address) => {
                    refuse(StatusCode::TOO_MANY_REQUESTS, "too many wrong passwords: wait a second")
                }
                Ok(Form(Key { key })) if !access.is_key(key.trim()) => {
                    access.guesses.count(client.address);
                    closed(access)
                }
                Ok(_) => access.welcome(),
                Err(_) => closed(access),
            }
        }
        _ => closed(access),
    };
    with_head(answer)
}

/// Every answer says what a page may do, also those that are none of ours.
fn with_head(mut answer: Response) -> Response {
    for (name, value) in head("text/plain; charset=utf-8", None) {
        if let Ok(value) = value.try_into() {
            answer.headers_mut().entry(name).or_insert(value);
        }
    }
    answer
}

/// The request with all of its body: it must be small, and come soon.
async fn whole(request: Request) -> Result<Request, Response> {
    let (parts, body) = request.into_parts();
    match tokio::time::timeout(PATIENCE, axum::body::to_bytes(body, BODY)).await {
        Ok(Ok(bytes)) => Ok(Request::from_parts(parts, Body::from(bytes))),
        Ok(Err(_)) => Err(refuse(StatusCode::PAYLOAD_TOO_LARGE, "that is too much")),
        Err(_) => Err(refuse(StatusCode::REQUEST_TIMEOUT, "that took too long")),
    }
}

fn key_in(uri: &Uri) -> Option<String> {
    axum::extract::Query::<Key>::try_from_uri(uri).ok().map(|key| key.0.key)
}

/// What those see who have no key.
fn closed(access: &Access) -> Response {
    let body = if access.open { PASSWORD } else { NO_KEY };
    (StatusCode::FORBIDDEN, head("text/html; charset=utf-8", None), body).into_response()
}

fn refuse(status: StatusCode, why: &'static str) -> Response {
    (status, head("text/plain; charset=utf-8", None), format!("{why}\n")).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(open: bool) -> Access {
        Access::new("127.0.0.1:7171".parse().unwrap_or_else(|_| unreachable!()), open)
    }

    #[test]
    fn only_names_of_its_own_reach_the_server() {
        let local = access(false);
        assert!(local.is_host("127.0.0.1:7171") && local.is_host("localhost:7171"));
        for host in ["evil.example:7171", "127.0.0.1:80", "127.0.0.1", "10.0.0.1:7171", "", ":7171"]
        {
            assert!(!local.is_host(host), "{host}");
        }
        let open = access(true);
        assert!(open.is_host("10.0.0.1:7171") && open.is_host("[::1]:7171"));
        assert!(!open.is_host("evil.example:7171") && !open.is_host("localhost:7171"));
    }

    #[test]
    fn the_key_for_one_lets_one_in() {
        let access = access(false);
        let url = access.url_for_one();
        let key = url.split_once("key=").map_or("", |(_, key)| key);
        assert!(access.is_key(key) && !access.is_key(key));
        assert!(access.is_key(&access.key) && access.is_key(&access.key));
    }

    #[test]
    fn a_key_is_right_or_wrong_as_a_whole() {
        let access = access(true);
        let key = access.key.clone();
        assert_eq!(key.len(), 14);
        assert!(access.is_key(&key));
        assert!(
            !access.is_key(&key[..13]) && !access.is_key("") && !access.is_key(&format!("{key}a"))
        );
    }
}
