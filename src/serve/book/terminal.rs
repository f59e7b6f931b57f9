//! A terminal in the page: a shell in the sandbox of a part, on a stand-in host.
//!
//! The stand-in host always has a user namespace, and limits for memory and processes. The shell
//! ends when its page is closed.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{Extension, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use pty_process::{OwnedReadPty, OwnedWritePty, Size};
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Child;

use super::part::Which;
use crate::serve::reader::{Reader, TERMINALS};
use crate::serve::server::{FAREWELL, MOST_TERMINALS, Server, arguments, end, environment};

/// How long a terminal may stay open.
const LIFE: Duration = Duration::from_secs(30 * 60);

/// The largest message from the page, in bytes: more than anybody types or pastes.
const MESSAGE: usize = 64 << 10;

/// The most that is kept of what is typed while the shell does not read, in bytes.
const TYPED: usize = 256 << 10;

/// The most that the page may lag behind with drawing, in bytes.
const UNDRAWN: usize = 256 << 10;

/// What the page says besides what is typed.
#[derive(Deserialize)]
#[serde(untagged)]
enum Said {
    /// Its size.
    Size { columns: u16, rows: u16 },
    /// So many bytes more have been drawn.
    Drawn { drawn: usize },
}

/// `GET /terminal?part=namespaces.uts`, a WebSocket. Binary messages are what is typed and what is
/// printed; text messages from the page are `{"columns":80,"rows":24}` and `{"drawn":4096}`.
pub(in crate::serve) async fn open(
    State(server): State<Arc<Server>>,
    Extension(reader): Extension<Reader>,
    Query(which): Query<Which>,
    upgrade: WebSocketUpgrade,
) -> Response {
    if !server.has_terminal || !server.parts.contains_key(&which.part) {
        return (StatusCode::NOT_FOUND, "there is no such terminal\n").into_response();
    }
    upgrade
        .max_message_size(MESSAGE)
        .max_frame_size(MESSAGE)
        .on_upgrade(|socket| async move { serve(socket, &server, &reader, &which.part).await })
}

async fn serve(mut socket: WebSocket, server: &Server, reader: &Reader, part: &str) {
    let permits = (server.terminals.try_acquire(), reader.terminals.try_acquire());
    let (Ok(_one), Ok(_own)) = permits else {
        let why = format!("at most {TERMINALS} terminals for a reader and {MOST_TERMINALS} in all");
        return close(&mut socket, close_code::AGAIN, why).await;
    };
    let started = (|| {
        let (pty, terminal) = pty_process::open()?;
        let command = pty_process::Command::new(server.program())
            .args(arguments(part, &["--break-out", "--color", "always"]))
            .env_clear()
            .envs(environment())
            .env("TERM", "xterm-256color");
        Ok::<_, pty_process::Error>((pty, command.spawn(terminal)?))
    })();
    let (pty, mut child) = match started {
        Ok(started) => started,
        Err(error) => return close(&mut socket, close_code::ERROR, error.to_string()).await,
    };
    let (mut printed, mut typed) = pty.into_split();
    let talk = talk(&mut socket, &mut printed, &mut typed, &mut child);
    let why = match tokio::time::timeout(LIFE, talk).await {
        Ok(why) => why,
        Err(_) => format!("open for {} minutes: that is the limit", LIFE.as_secs() / 60),
    };
    drop((printed, typed));
    end(child).await;
    close(&mut socket, close_code::NORMAL, why).await;
}

/// Passes on what is typed and what is printed, until one side has no more to say.
async fn talk(
    socket: &mut WebSocket,
    printed: &mut OwnedReadPty,
    typed: &mut OwnedWritePty,
    child: &mut Child,
) -> String {
    let mut buffer = vec![0; 16 << 10];
    let (mut pending, mut undrawn) = (Vec::new(), 0_usize);
    loop {
        tokio::select! {
            message = socket.recv() => match message {
                Some(Ok(Message::Binary(bytes))) => {
                    if pending.len() + bytes.len() <= TYPED {
                        pending.extend_from_slice(&bytes);
                    }
                }
                Some(Ok(Message::Text(text))) => match serde_json::from_str(&text) {
                    Ok(Said::Size { columns, rows }) => {
                        let _ = typed.resize(Size::new(rows.clamp(2, 500), columns.clamp(2, 500)));
                    }
                    Ok(Said::Drawn { drawn }) => undrawn = undrawn.saturating_sub(drawn),
                    Err(_) => {}
                },
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(_)) | Err(_)) | None => return String::new(),
            },
            written = typed.write(&pending), if !pending.is_empty() => match written {
                Ok(n) => drop(pending.drain(..n)),
                Err(_) => pending.clear(),
            },
            read = printed.read(&mut buffer), if undrawn < UNDRAWN => match read {
                Ok(n @ 1..) => {
                    undrawn += n;
                    let bytes = Bytes::copy_from_slice(buffer.get(..n).unwrap_or_default());
                    if socket.send(Message::Binary(bytes)).await.is_err() {
                        return String::new();
                    }
                }
                // The last process on the terminal has ended.
                _ => {
                    let status = tokio::time::timeout(FAREWELL, child.wait()).await;
                    let code = status.ok().and_then(Result::ok).and_then(|status| status.code());
                    return code.map_or(String::new(), |code| format!("ended with status {code}"));
                }
            },
        }
    }
}

async fn close(socket: &mut WebSocket, code: u16, reason: String) {
    let frame = CloseFrame { code, reason: reason.into() };
    let _ = tokio::time::timeout(Duration::from_secs(1), socket.send(Message::Close(Some(frame))))
        .await;
}
