//! `sandbox book`: the book, with commands that run.
//!
//! A server for readers on this machine. It never isolates itself: for each part that a reader runs,
//! and for each terminal, it starts `sandbox` anew, as a program of its own.

mod access;
mod book;
mod client;
mod guesses;
mod head;
mod line;
mod reader;
mod secret;
mod server;

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use axum::routing::{get, post};
use axum::{Extension, Router};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

use crate::cgroups::{Hierarchies, Limits, choose};
use crate::error::Error;
use crate::machine::host::Host;
use crate::machine::scope;
use crate::machine::sealed;
use crate::show;
use crate::teach::read;
use access::{Access, PATIENCE};
use book::{pages, part, terminal};
use client::Client;
use line::Line;
use server::{MOST_TERMINALS, Server};

/// The most connections at once.
const CONNECTIONS: usize = 512;

/// How long a client may leave unread what it was sent, in milliseconds.
const UNREAD: u32 = 30_000;

/// The largest head of a request, in bytes.
const HEAD_SIZE: usize = 16 << 10;

/// What `sandbox book` was asked for.
pub struct Options {
    /// The port; 0 for any that is free.
    pub port: u16,
    /// The address of this machine on which others are served too, with a password.
    pub listen: Option<IpAddr>,
    /// Whether readers may open terminals.
    pub terminal: bool,
    /// Whether to open the book in the browser.
    pub open: bool,
    /// Whether only to say where it would be served.
    pub dry_run: bool,
}

/// Serves the book until this process is asked to end.
///
/// # Errors
/// When others are to be served by root, or the port cannot be had.
pub fn serve(options: &Options) -> Result<u8, Error> {
    let host = Host::gather();
    if options.listen.is_some() && (host.uid == 0 || host.privileged) {
        return Err(Error::Usage {
            problem: "others are not served by root: what they run would be root's".to_owned(),
            hint: "start `sandbox book --listen` as an ordinary user".to_owned(),
        });
    }
    let address = options.listen.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let address = SocketAddr::new(address, options.port);
    if options.dry_run {
        show::line(format!("the book would be served on {address}"))?;
        return Ok(0);
    }
    // Others than oneself get no terminal that nothing limits.
    let limited = scope::is_possible()
        || choose(&Hierarchies::gather(), &Limits::default(), false, "book").is_ok();
    let terminal = options.terminal && (options.listen.is_none() || limited);
    if options.terminal && !terminal {
        show::note(
            "no terminals: no cgroup can be had here that would limit the memory of those whom you \
             do not know; `sandbox doctor` tells why",
        );
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(Error::io("start the server"))?.block_on(listen(address, options, terminal))
}

async fn listen(address: SocketAddr, options: &Options, has_terminal: bool) -> Result<u8, Error> {
    let listener = TcpListener::bind(address).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => Error::Usage {
            problem: format!("{address} is in use"),
            hint: "choose another port: `--port 0` takes any that is free".to_owned(),
        },
        _ => Error::io(format!("listen on {address}"))(error),
    })?;
    let address = listener.local_addr().map_err(Error::io("ask for the port"))?;
    let mut parts = HashMap::new();
    for lesson in read::all(None)? {
        for part in lesson.parts {
            parts.insert(format!("{}.{}", lesson.slug, part.id), part);
        }
    }
    let server = Arc::new(Server {
        access: Arc::new(Access::new(address, options.listen.is_some())),
        line: Line::new(std::thread::available_parallelism().map_or(1, usize::from)),
        terminals: Semaphore::new(MOST_TERMINALS),
        has_terminal,
        parts,
        program: sealed::copy()?,
    });
    greet(&server, options)?;
    let stop = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()]
        .map(|kind| signal(kind).map_err(Error::io("wait for signals")));
    let [interrupt, terminate, hangup] = stop;
    let (mut interrupt, mut terminate, mut hangup) = (interrupt?, terminate?, hangup?);
    // What still runs ends with this process: see `server::arguments`.
    tokio::select! {
        never = accept(&listener, &server) => match never {},
        _ = interrupt.recv() => Ok(0),
        _ = terminate.recv() => Ok(0),
        _ = hangup.recv() => Ok(0),
    }
}

/// Takes connections. When there are as many as there may be, who came first of those that are no
/// readers gives way to the next.
async fn accept(listener: &TcpListener, server: &Arc<Server>) -> Infallible {
    let router = router(server);
    let connections = Arc::new(Semaphore::new(CONNECTIONS));
    let mut strangers: VecDeque<(Client, AbortHandle)> = VecDeque::new();
    loop {
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            // Too many open files, or a client that has gone already: others end, others come.
            Err(_) => {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        strangers.retain(|(client, task)| client.is_stranger() && !task.is_finished());
        if connections.available_permits() == 0 {
            if let Some((_, task)) = strangers.pop_front() {
                task.abort();
            }
        }
        let Ok(permit) = connections.clone().acquire_owned().await else { continue };
        let _ = rustix::net::sockopt::set_tcp_user_timeout(&stream, UNREAD);
        let _ = rustix::net::sockopt::set_socket_keepalive(&stream, true);
        let client = Client::from(from.ip());
        let service = TowerToHyperService::new(router.clone().layer(Extension(client.clone())));
        let task = tokio::spawn(async move {
            let _ = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(PATIENCE)
                .max_buf_size(HEAD_SIZE)
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades()
                .await;
            drop(permit);
        });
        strangers.push_back((client, task.abort_handle()));
    }
}

fn router(server: &Arc<Server>) -> Router {
    Router::new()
        .route("/run", post(part::run))
        .route("/terminal", get(terminal::open))
        .fallback(get(pages::page))
        .layer(axum::middleware::from_fn_with_state(server.access.clone(), access::check))
        .with_state(server.clone())
}

/// Tells where the book is.
fn greet(server: &Server, options: &Options) -> Result<(), Error> {
    for url in server.access.urls() {
        show::line(url)?;
    }
    match server.access.password() {
        None => show::note(
            "the book, for this machine only; the address has a key in it, new at each start. \
             Ctrl-C ends it",
        ),
        Some(password) => {
            show::note(&format!(
                "the book, for everybody who can reach this address and knows the password: \
                 {password}"
            ));
            show::note(
                "what readers run, runs here, as you, in sandboxes; the password and what they \
                 type travel unencrypted. Ctrl-C ends it",
            );
        }
    }
    if options.open {
        let mut browser = Command::new("xdg-open");
        browser.arg(server.access.url_for_one()).stdin(Stdio::null());
        match browser.stdout(Stdio::null()).stderr(Stdio::null()).spawn() {
            Ok(mut browser) => drop(tokio::spawn(async move { browser.wait().await })),
            Err(_) => show::note("`xdg-open` is not installed: open the address yourself"),
        }
    }
    Ok(())
}
