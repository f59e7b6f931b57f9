//! A headless Chromium, driven through chromedriver by the W3C's WebDriver protocol: JSON over HTTP.

#![allow(dead_code, unreachable_pub)] // each test file uses a part of it

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// What the keys are called on the wire.
pub const TAB: &str = "\u{E004}";
pub const ENTER: &str = "\u{E007}";
pub const SHIFT: &str = "\u{E008}";
pub const CONTROL: &str = "\u{E009}";

/// The key under which an element's name stands.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

pub struct Browser {
    driver: Child,
    port: String,
    session: String,
    /// Its profile.
    dir: tempfile::TempDir,
}

impl Browser {
    pub fn start() -> Browser {
        // In a PID namespace, so that all of it ends when the test does, however that ends.
        let mut driver = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "unshare", "--user", "--map-root-user", "--mount-proc"])
            .args(["--pid", "--fork", "--kill-child", "chromedriver", "--port=0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let mut started = lines.map_while(Result::ok).filter_map(|line| {
            let (_, port) = line.split_once("successfully on port ")?;
            Some(port.trim_end_matches('.').to_owned())
        });
        let port = started.next().unwrap();
        // Whoever writes to a pipe that nobody reads is killed.
        std::thread::spawn(move || started.for_each(drop));
        let dir = tempfile::Builder::new().prefix("sandbox-test-browser-").tempdir().unwrap();
        let mut browser = Browser { driver, port, session: String::new(), dir };
        let profile = format!("--user-data-dir={}", browser.dir.path().display());
        // Chromium's own sandbox needs another user than root.
        let args =
            ["--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1280,900", &profile];
        let answer = browser.ask(
            "POST",
            "",
            &json!({ "capabilities": { "alwaysMatch": {
                "goog:chromeOptions": { "args": args },
                "goog:loggingPrefs": { "browser": "ALL" },
            } } }),
        );
        browser.session = answer["sessionId"].as_str().unwrap_or_else(|| panic!("{answer}")).into();
        browser
    }

    #[track_caller]
    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let answer = self.answer(method, path, body);
        answer.unwrap_or_else(|error| panic!("{path} {body}: {error}"))
    }

    fn answer(&self, method: &str, path: &str, body: &Value) -> std::io::Result<Value> {
        let mut stream = TcpStream::connect(format!("127.0.0.1:{}", self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(120)))?;
        let session =
            if self.session.is_empty() { String::new() } else { format!("/{}", self.session) };
        let body = if method == "POST" { body.to_string() } else { String::new() };
        let request = format!(
            "{method} /session{session}{path} HTTP/1.1\r\nHost: localhost:{}\r\nConnection: close\
             \r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.port,
            body.len()
        );
        stream.write_all(request.as_bytes())?;
        // The connection stays open, so the head says where the answer ends.
        let mut answer = BufReader::new(stream);
        let (mut head, mut length) = (String::new(), 0);
        while !head.ends_with("\r\n\r\n") && answer.read_line(&mut head)? > 0 {
            let last = head.lines().last().unwrap_or_default().to_lowercase();
            if let Some(bytes) = last.strip_prefix("content-length:") {
                length = bytes.trim().parse().unwrap_or(0);
            }
        }
        let mut json = vec![0; length];
        answer.read_exact(&mut json)?;
        let value: Value = serde_json::from_slice(&json)?;
        if head.starts_with("HTTP/1.1 200") {
            return Ok(value["value"].clone());
        }
        Err(std::io::Error::other(value["value"]["message"].to_string()))
    }

    #[track_caller]
    pub fn open(&self, url: &str) {
        self.ask("POST", "/url", &json!({ "url": url }));
    }

    /// Runs a function body in the page, and returns what it returns.
    #[track_caller]
    pub fn js(&self, script: &str) -> Value {
        self.ask("POST", "/execute/sync", &json!({ "script": script, "args": [] }))
    }

    #[track_caller]
    pub fn text(&self, script: &str) -> String {
        self.js(script).as_str().unwrap_or_default().to_owned()
    }

    /// Clicks as a mouse does: what is hidden or covered cannot be clicked.
    #[track_caller]
    pub fn click(&self, css: &str) {
        let found = self.ask("POST", "/element", &json!({ "using": "css selector", "value": css }));
        let element = found[ELEMENT].as_str().unwrap();
        self.ask("POST", &format!("/element/{element}/click"), &json!({}));
    }

    /// Presses keys, whatever has the focus; those in `held` stay down meanwhile.
    #[track_caller]
    pub fn press(&self, held: &[&str], keys: &str) {
        let key = |kind: &str, key: &str| json!({ "type": kind, "value": key });
        let mut actions: Vec<Value> = held.iter().map(|k| key("keyDown", k)).collect();
        for one in keys.chars().map(String::from) {
            actions.extend([key("keyDown", &one), key("keyUp", &one)]);
        }
        actions.extend(held.iter().map(|k| key("keyUp", k)));
        let device = json!({ "type": "key", "id": "keyboard", "actions": actions });
        self.ask("POST", "/actions", &json!({ "actions": [device] }));
    }

    /// Waits until a script returns true.
    #[track_caller]
    pub fn until(&self, seconds: u64, script: &str) {
        let deadline = Instant::now() + Duration::from_secs(seconds);
        while self.js(script) != json!(true) {
            if Instant::now() > deadline {
                let page = self
                    .text("return document.querySelector('.sandbox-terminal')?.innerText ?? ''");
                panic!("not so after {seconds} s: {script}\n{:?}\n{page}", self.errors());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// What the browser complained about: scripts that failed, and whatever the policy stopped.
    pub fn errors(&self) -> Vec<String> {
        let log = self.ask("POST", "/se/log", &json!({ "type": "browser" }));
        let entries = log.as_array().cloned().unwrap_or_default();
        let wrong = entries.iter().filter(|entry| entry["level"] != "INFO");
        wrong.map(|entry| entry["message"].to_string()).collect()
    }

    /// A command of Chromium's own protocol.
    #[track_caller]
    pub fn devtools(&self, command: &str, parameters: &Value) {
        let body = json!({ "cmd": command, "params": parameters });
        self.ask("POST", "/goog/cdp/execute", &body);
    }

    pub fn size(&self, width: u32, height: u32) {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1,
            "mobile": width < 600 });
        self.devtools("Emulation.setDeviceMetricsOverride", &metrics);
    }

    /// Keeps a picture of what is seen, for people to look at.
    pub fn picture(&self, name: &str) {
        let picture = self.ask("GET", "/screenshot", &Value::Null);
        let file = pictures().join(format!("{name}.png"));
        std::fs::write(file, base64(picture.as_str().unwrap())).unwrap();
    }

    /// The page as it would be printed, as PDF.
    pub fn print(&self) -> Vec<u8> {
        base64(self.ask("POST", "/print", &json!({})).as_str().unwrap())
    }

    pub fn close_page(&self) {
        let tab = self.ask("POST", "/window/new", &json!({ "type": "tab" }));
        self.ask("DELETE", "/window", &Value::Null);
        self.ask("POST", "/window", &json!({ "handle": tab["handle"] }));
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.answer("DELETE", "", &Value::Null);
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// Where the pictures are.
pub fn pictures() -> PathBuf {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("pictures");
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

fn base64(text: &str) -> Vec<u8> {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}
