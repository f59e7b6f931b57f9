//! A `sandbox book` that runs, and asking it for things as a browser would, or as none would.

#![allow(dead_code, unreachable_pub)] // each test file uses a part of it

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::common::Who;

/// A server, for as long as this lives.
pub struct Served {
    child: Child,
    /// The address with the key, as it was printed.
    pub url: String,
    /// `127.0.0.1:PORT`.
    pub host: String,
    /// What it said besides.
    pub stderr: std::sync::mpsc::Receiver<String>,
}

/// An answer: its status, its head and its body.
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, out: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(out, "{}\n{:.500}", self.head, self.body)
    }
}

impl Served {
    pub fn start(who: &Who, more: &[&str]) -> Served {
        let tests = std::process::id().to_string();
        let args = ["--die-with-parent", &tests, "book", "--port", "0"];
        Served::of(&mut who.sandbox(&[&args, more].concat()))
    }

    /// What this command serves.
    pub fn of(command: &mut std::process::Command) -> Served {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut url = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
        let (told, stderr) = std::sync::mpsc::channel();
        let mut err = child.stderr.take().unwrap();
        std::thread::spawn(move || {
            let mut buffer = [0; 1024];
            while let Ok(n @ 1..) = err.read(&mut buffer) {
                let _ = told.send(String::from_utf8_lossy(&buffer[..n]).into_owned());
            }
        });
        let url = url.trim().to_owned();
        let host = url.trim_start_matches("http://").split('/').next().unwrap().to_owned();
        assert!(!host.is_empty(), "{:?}", stderr.recv());
        Served { child, url, host, stderr }
    }

    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().try_into().unwrap())
    }

    /// Waits until it has ended.
    pub fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// The port, on this machine.
    pub fn connect(&self) -> TcpStream {
        let port = self.host.rsplit_once(':').unwrap().1;
        let stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
        stream
    }

    /// Sends bytes as they are, and reads until the server closes.
    pub fn raw(&self, request: &str) -> Answer {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).unwrap();
        read(&mut stream)
    }

    pub fn get(&self, path: &str, headers: &[&str]) -> Answer {
        self.raw(&self.request("GET", path, headers, ""))
    }

    pub fn post(&self, path: &str, headers: &[&str], body: &str) -> Answer {
        self.raw(&self.request("POST", path, headers, body))
    }

    /// A request; `headers` may have a `Host` of its own.
    pub fn request(&self, method: &str, path: &str, headers: &[&str], body: &str) -> String {
        let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
        if !headers.iter().any(|header| header.starts_with("Host: ")) {
            head += &format!("Host: {}\r\n", self.host);
        }
        headers.iter().for_each(|header| head += &format!("{header}\r\n"));
        if method == "POST" {
            head += "Content-Type: application/x-www-form-urlencoded\r\n";
            head += &format!("Content-Length: {}\r\n", body.len());
        }
        format!("{head}\r\n{body}")
    }

    /// Comes in with the key, and returns the header that proves it from then on.
    #[track_caller]
    pub fn enter(&self) -> String {
        let (_, path) = self.url.split_once("/?").unwrap();
        let answer = self.get(&format!("/?{path}"), &[]);
        assert_eq!(answer.status, 303, "{answer:?}");
        cookie(&answer)
    }

    pub fn origin(&self) -> String {
        format!("Origin: http://{}", self.host)
    }

    /// Asks for a part to be run, and leaves the answer to be read.
    pub fn ask_for(&self, cookie: &str, part: &str) -> TcpStream {
        let (headers, body) = ([cookie, &self.origin()], format!("part={part}"));
        let mut stream = self.connect();
        stream.write_all(self.request("POST", "/run", &headers, &body).as_bytes()).unwrap();
        stream
    }

    /// Runs a part, and returns the lines that were told.
    pub fn run(&self, cookie: &str, part: &str) -> Answer {
        self.post("/run", &[cookie, &self.origin()], &format!("part={part}"))
    }
}

#[track_caller]
pub fn cookie(answer: &Answer) -> String {
    let set = answer.head.lines().find_map(|line| line.strip_prefix("set-cookie: "));
    let set = set.unwrap_or_else(|| panic!("no cookie: {answer:?}"));
    assert!(set.contains("HttpOnly") && set.contains("SameSite=Strict"), "{set}");
    format!("Cookie: {}", set.split(';').next().unwrap())
}

impl Drop for Served {
    fn drop(&mut self) {
        let below = descendants(self.pid());
        let _ = kill(self.pid(), Signal::SIGTERM);
        let _ = self.child.wait();
        if !std::thread::panicking() {
            until("what it ran has ended too", 20, || !below.iter().copied().any(alive));
        }
    }
}

pub fn read(stream: &mut TcpStream) -> Answer {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let head = head.to_owned();
    let chunked = head.to_lowercase().contains("transfer-encoding: chunked");
    let body = if chunked { unchunk(body) } else { body.to_owned() };
    Answer { status, head, body }
}

/// Each chunk is preceded by its length.
fn unchunk(body: &str) -> String {
    let (mut body, mut whole) = (body, String::new());
    while let Some((length, rest)) = body.split_once("\r\n") {
        let length = usize::from_str_radix(length, 16).unwrap_or(0);
        let Some(chunk) = rest.get(..length).filter(|chunk| !chunk.is_empty()) else { break };
        whole += chunk;
        body = rest.get(length + 2..).unwrap_or_default();
    }
    whole
}

/// Waits until something is so.
#[track_caller]
pub fn until(what: &str, seconds: u64, so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    while !so() {
        assert!(Instant::now() < deadline, "not so after {seconds} s: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

pub fn alive(pid: i32) -> bool {
    // One that only waits to be waited for has no program any more.
    std::path::Path::new(&format!("/proc/{pid}/exe")).exists()
}

/// The processes below another one.
pub fn descendants(of: Pid) -> Vec<i32> {
    let mut parents = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<i32>() else { continue };
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let after = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        if let Some(Ok(parent)) = after.split(' ').nth(1).map(str::parse::<i32>) {
            parents.push((pid, parent));
        }
    }
    let mut found = vec![of.as_raw()];
    let mut at = 0;
    while let Some(parent) = found.get(at).copied() {
        found.extend(parents.iter().filter(|(_, p)| *p == parent).map(|(pid, _)| *pid));
        at += 1;
    }
    found.split_off(1)
}

/// Nothing is left of a sandbox that has ended. Others of the same user may run.
#[track_caller]
pub fn assert_nothing_left(who: &Who) {
    until("nothing is left", 10, || {
        let would = who.run(&["clean", "--dry-run", "--format", "json"]).succeeds();
        let would: serde_json::Value = serde_json::from_str(&would).unwrap();
        would["removed"] == serde_json::json!([])
    });
}
