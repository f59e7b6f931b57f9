//! A real registry with images of our own, and a front for it that behaves as servers sometimes do.

#![allow(dead_code)] // each test uses a part of it

mod place;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use tempfile::TempDir;
use ureq::Agent;

use crate::archive::architecture;

pub(crate) use place::*;

pub(crate) const OCI: [&str; 4] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.oci.image.layer.v1.tar",
];

pub(crate) const DOCKER: [&str; 4] = [
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.container.image.v1+json",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
];

pub(crate) fn digest(bytes: &[u8]) -> String {
    let sum: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{sum}")
}

/// A registry of our own on a port of its choice.
pub(crate) struct Registry {
    pub(crate) address: SocketAddr,
    dir: TempDir,
    process: Child,
}

impl Registry {
    /// `None`, and a word on stderr, where there is no registry to start.
    pub(crate) fn start() -> Option<Registry> {
        Registry::start_with("")
    }

    /// The same, with more lines in the part `http` of its configuration.
    pub(crate) fn start_with(http: &str) -> Option<Registry> {
        let program = "docker-registry";
        if Command::new(program).arg("--version").output().is_err() {
            eprintln!("SKIPPED: this test, because there is no `{program}`");
            assert!(std::env::var_os("SANDBOX_TEST_ALL").is_none(), "`{program}` is missing");
            return None;
        }
        let dir = tempfile::tempdir().expect("a directory");
        let config = dir.path().join("config.yml");
        let data = dir.path().join("data");
        let text = format!(
            "version: 0.1\nlog: {{level: info, accesslog: {{disabled: true}}}}\n\
             storage: {{filesystem: {{rootdirectory: {}}}}}\n\
             http:\n  addr: 127.0.0.1:0\n{http}",
            data.display()
        );
        fs::write(&config, text).expect("written");
        let log = fs::File::create(dir.path().join("log")).expect("a file");
        let mut command = Command::new(program);
        command.args(["serve".as_ref(), config.as_os_str()]).stdin(Stdio::null());
        let process = command.stdout(Stdio::null()).stderr(log).spawn().expect("started");
        let address = "127.0.0.1:0".parse().expect("an address");
        let mut registry = Registry { address, dir, process };
        registry.wait();
        Some(registry)
    }

    /// Waits until it listens, and learns where.
    fn wait(&mut self) {
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(20) {
            let log = fs::read_to_string(self.dir.path().join("log")).expect("a log");
            let words = log.split_once("listening on ").map(|(_, rest)| rest);
            let word = words.and_then(|rest| rest.split([',', '"', ' ']).next());
            if let Some(address) = word.and_then(|word| word.parse().ok()) {
                self.address = address;
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the registry did not start");
    }

    /// The file in which it keeps a blob.
    pub(crate) fn blob(&self, digest: &str) -> PathBuf {
        let hex = digest.trim_start_matches("sha256:");
        let blobs = self.dir.path().join("data/docker/registry/v2/blobs/sha256");
        blobs.join(&hex[..2]).join(hex).join("data")
    }

    /// What `name` is called in this registry.
    pub(crate) fn image(&self, name: &str) -> String {
        format!("{}/{name}", self.address)
    }

    fn url(&self, rest: &str) -> String {
        format!("http://{}/v2/it/{rest}", self.address)
    }

    fn agent() -> Agent {
        Agent::config_builder().proxy(None).build().into()
    }

    /// Uploads a blob. Returns its descriptor.
    pub(crate) fn push_blob(&self, kind: &str, bytes: &[u8]) -> String {
        let begun = Registry::agent().post(self.url("blobs/uploads/")).send_empty();
        let begun = begun.expect("an upload");
        let place = begun.headers()["location"].to_str().expect("an address").to_owned();
        let put = Registry::agent().put(place).query("digest", digest(bytes));
        put.content_type("application/octet-stream").send(bytes).expect("uploaded");
        descriptor(kind, bytes)
    }

    /// Uploads a manifest under a tag. Returns its descriptor.
    pub(crate) fn push_manifest(&self, tag: &str, kind: &str, json: &str) -> String {
        let put = Registry::agent().put(self.url(&format!("manifests/{tag}")));
        put.content_type(kind).send(json).expect("uploaded");
        descriptor(kind, json.as_bytes())
    }

    /// Uploads the image `it` for this machine. Returns its descriptor.
    pub(crate) fn push(&self, tag: &str, kinds: [&str; 4], layers: &[Vec<u8>]) -> String {
        self.push_for(architecture(), tag, kinds, layers)
    }

    pub(crate) fn push_for(
        &self,
        machine: &str,
        tag: &str,
        kinds: [&str; 4],
        layers: &[Vec<u8>],
    ) -> String {
        let config = format!(r#"{{"architecture":"{machine}","os":"linux"}}"#);
        let config = self.push_blob(kinds[2], config.as_bytes());
        let layers: Vec<String> =
            layers.iter().map(|layer| self.push_blob(kinds[3], layer)).collect();
        let json = manifest(kinds[1], &config, &layers);
        self.push_manifest(tag, kinds[1], &json)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub(crate) fn manifest(kind: &str, config: &str, layers: &[String]) -> String {
    let layers = layers.join(",");
    format!(r#"{{"schemaVersion":2,"mediaType":"{kind}","config":{config},"layers":[{layers}]}}"#)
}

pub(crate) fn index(kind: &str, images: &[String]) -> String {
    let images = images.join(",");
    format!(r#"{{"schemaVersion":2,"mediaType":"{kind}","manifests":[{images}]}}"#)
}

pub(crate) fn descriptor(kind: &str, bytes: &[u8]) -> String {
    let (digest, size) = (digest(bytes), bytes.len());
    format!(r#"{{"mediaType":"{kind}","digest":"{digest}","size":{size}}}"#)
}

/// The same descriptor, for a machine.
pub(crate) fn for_machine(descriptor: &str, os: &str, machine: &str) -> String {
    let platform = format!(r#","platform":{{"os":"{os}","architecture":"{machine}"}}}}"#);
    descriptor.strip_suffix('}').expect("an object").to_owned() + &platform
}

pub(crate) fn digest_of(descriptor: &str) -> String {
    let at = descriptor.find("sha256:").expect("a digest");
    descriptor[at..at + 71].to_owned()
}

/// What a front does with a request.
pub(crate) enum Do {
    /// Hands it on.
    Forward,
    /// Hands it on without its header `Range`.
    ForwardWhole,
    /// Hands it on, and ends the connection after so many bytes of the answer's body.
    Cut(usize),
    /// The same without `Range`.
    CutWhole(usize),
    /// Answers so itself: what is after `HTTP/1.1 ` in the status line, more headers, the body.
    Answer(String, String, String),
    /// Says nothing and ends the connection.
    Silence,
}

/// Stands between us and a registry.
pub(crate) struct Front {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Front {
    /// `what` is told each request: its head, as text, and how many there were before.
    pub(crate) fn new(
        behind: SocketAddr,
        what: impl Fn(&str, usize) -> Do + Send + 'static,
    ) -> Front {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let (seen, end) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (ours, ended) = (seen.clone(), end.clone());
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if ended.load(Ordering::SeqCst) {
                    break;
                }
                let stream = stream.expect("a connection");
                let Some(head) = read_head(&stream) else { continue };
                let before = {
                    let mut seen: std::sync::MutexGuard<Vec<String>> = ours.lock().expect("one");
                    seen.push(head.clone());
                    seen.len() - 1
                };
                // Whoever asked may have gone away.
                let _ = act(stream, behind, &head, what(&head, before));
            }
        });
        Front { address, seen, end, thread: Some(thread) }
    }

    /// The requests so far.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().expect("one").clone()
    }

    pub(crate) fn image(&self, name: &str) -> String {
        format!("{}/{name}", self.address)
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.end.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn read_head(stream: &TcpStream) -> Option<String> {
    let mut head = String::new();
    let mut reader = BufReader::new(stream);
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    Some(head)
}

fn act(mut stream: TcpStream, behind: SocketAddr, head: &str, what: Do) -> std::io::Result<()> {
    let (limit, whole) = match what {
        Do::Forward => (usize::MAX, false),
        Do::ForwardWhole => (usize::MAX, true),
        Do::Cut(limit) => (limit, false),
        Do::CutWhole(limit) => (limit, true),
        Do::Silence => return stream.shutdown(Shutdown::Both),
        Do::Answer(status, headers, body) => {
            let length = body.len();
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{headers}");
            return stream.write_all(format!("{head}Connection: close\r\n\r\n{body}").as_bytes());
        }
    };
    let mut answer = Vec::new();
    let mut registry = TcpStream::connect(behind)?;
    let keep = |line: &&str| {
        let name = line.split(':').next().unwrap_or_default().to_lowercase();
        !line.is_empty() && name != "connection" && !(whole && name == "range")
    };
    let lines: Vec<&str> = head.split("\r\n").filter(keep).collect();
    write!(registry, "{}\r\nConnection: close\r\n\r\n", lines.join("\r\n"))?;
    registry.read_to_end(&mut answer)?;
    let body = answer.windows(4).position(|part| part == b"\r\n\r\n").unwrap_or(0) + 4;
    let end = answer.len().min(body.saturating_add(limit));
    stream.write_all(&answer[..end])
}
