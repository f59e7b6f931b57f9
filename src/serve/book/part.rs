//! Running a part of a lesson for a reader.

use std::convert::Infallible;
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Extension, Form, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

use crate::cgroups::Version;
use crate::serve::head::head;
use crate::serve::reader::Reader;
use crate::serve::server::{Server, arguments, end, environment};
use crate::show;
use crate::teach::read::of_version;
use crate::teach::report::LessonReport;

/// How long a part may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// Which part: its id, as in `namespaces.uts`, and never a command.
#[derive(Deserialize)]
pub(in crate::serve) struct Which {
    pub(super) part: String,
}

/// What a reader is told, a line of JSON each: `{"waiting":2}`, `{"running":true}`, `{"html":"…"}`.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Told {
    /// So many wait before this one.
    Waiting(usize),
    /// It runs.
    Running(bool),
    /// What came out.
    Html(String),
    /// What went wrong.
    Error(String),
}

/// Where a reader is told.
type Lines = mpsc::Sender<Result<Bytes, Infallible>>;

/// `POST /run`: waits for a turn, runs the part and tells of both as they happen.
pub(in crate::serve) async fn run(
    State(server): State<Arc<Server>>,
    Extension(reader): Extension<Reader>,
    Form(which): Form<Which>,
) -> Response {
    if !server.parts.contains_key(&which.part) {
        let why = if is_elsewhere(&which.part) {
            "this part is about another version of cgroups than this machine has\n"
        } else {
            "there is no such part\n"
        };
        return (StatusCode::NOT_FOUND, head("text/plain", None), why).into_response();
    }
    let (lines, mut told) = mpsc::channel(4);
    tokio::spawn(async move {
        tokio::select! {
            () = lines.closed() => {}
            () = wait_and_run(&server, &reader, &which.part, &lines) => {}
        }
    });
    let body = Body::from_stream(futures_util::stream::poll_fn(move |cx| told.poll_recv(cx)));
    (head("application/x-ndjson", None), body).into_response()
}

/// Whether machines with one of the versions of cgroups have such a part.
fn is_elsewhere(name: &str) -> bool {
    let lessons = [Version::V1, Version::V2].map(|version| of_version(version).ok());
    let lessons = lessons.iter().flatten().flatten();
    let mut names = lessons.flat_map(|lesson| lesson.parts.iter().map(|part| (&lesson.slug, part)));
    names.any(|(slug, part)| name.strip_prefix(slug.as_str()) == Some(&format!(".{}", part.id)))
}

async fn wait_and_run(server: &Server, reader: &Reader, name: &str, lines: &Lines) {
    let _turn = reader.turn.lock().await;
    let Some(mut place) = server.line.join() else {
        let error = "too many readers wait already: try again later";
        return tell(lines, &Told::Error(error.to_owned())).await;
    };
    // Whoever does not read what they are told misses it, and holds nobody up.
    let mention = |told: Told| drop(lines.try_send(Ok(line(&told))));
    loop {
        match place.ahead() {
            0 => break,
            ahead => mention(Told::Waiting(ahead)),
        }
        place.moved().await;
    }
    mention(Told::Running(true));
    let result = match start(server, name) {
        Ok(child) => Running(Some(child)).finish().await,
        Err(error) => Err(error.to_string()),
    };
    drop(place);
    let line = match result.and_then(|output| read(server, name, &output)) {
        Ok(html) => Told::Html(html),
        Err(error) => Told::Error(error),
    };
    tell(lines, &line).await;
}

async fn tell(lines: &Lines, told: &Told) {
    let _ = tokio::time::timeout(PATIENCE, lines.send(Ok(line(told)))).await;
}

fn line(told: &Told) -> Bytes {
    Bytes::from(serde_json::to_string(told).unwrap_or_default() + "\n")
}

fn start(server: &Server, name: &str) -> std::io::Result<Child> {
    Command::new(server.program())
        .args(arguments(name, &["--no-pause", "--format", "json"]))
        .env_clear()
        .envs(environment())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
}

/// A child that runs. When the reader goes away, it is asked to end.
struct Running(Option<Child>);

impl Running {
    async fn finish(mut self) -> Result<Output, String> {
        let Some(child) = &mut self.0 else { return Err(String::new()) };
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let read = async {
            if let (Some(mut out), Some(mut err)) = (out, err) {
                let _ = tokio::join!(out.read_to_end(&mut stdout), err.read_to_end(&mut stderr));
            }
            child.wait().await
        };
        let status = tokio::time::timeout(PATIENCE, read).await;
        let status = status.map_err(|_| format!("it took more than {} s", PATIENCE.as_secs()))?;
        let status = status.map_err(|error| error.to_string())?;
        self.0 = None;
        Ok(Output { status, stdout, stderr })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = self.0.take() {
            tokio::spawn(end(child));
        }
    }
}

/// The result as HTML; or what went wrong.
fn read(server: &Server, name: &str, output: &Output) -> Result<String, String> {
    let lesson: Option<LessonReport> = serde_json::from_slice(&output.stdout).ok();
    let report = lesson.as_ref().and_then(|lesson| lesson.parts.first());
    match (server.parts.get(name), report) {
        (Some(part), Some(report)) => Ok(show::part_html(part, report)),
        _ => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}
