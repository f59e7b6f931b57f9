//! `sandbox book` and those who should not get in, who ask for too much, or who go away.

#![cfg(feature = "book")]
#![allow(clippy::unwrap_used)] // a test may panic

mod common;
#[path = "common/served.rs"]
mod served;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use common::{Who, as_root, as_user, everybody};
use nix::sys::signal::{Signal, kill};
use served::{Served, assert_nothing_left, cookie, descendants, read, until};
use tungstenite::client::IntoClientRequest;
use tungstenite::{Message, WebSocket};

/// Somebody who serves, with a rootfs.
fn served(who: &Who, more: &[&str]) -> Served {
    who.run(&["rootfs", "fetch"]).succeeds();
    Served::start(who, more)
}

/// A terminal as a page opens it.
fn terminal(server: &Served, cookie: &str, part: &str) -> WebSocket<TcpStream> {
    let url = format!("ws://{}/terminal?part={part}", server.host);
    let mut request = url.into_client_request().unwrap();
    let (name, value) = cookie.split_once(": ").unwrap();
    assert_eq!(name, "Cookie");
    request.headers_mut().insert("cookie", value.parse().unwrap());
    let origin = format!("http://{}", server.host);
    request.headers_mut().insert("origin", origin.parse().unwrap());
    tungstenite::client(request, server.connect()).unwrap().0
}

/// Reads from a terminal until it has printed this.
#[track_caller]
fn wait_for(socket: &mut WebSocket<TcpStream>, text: &str) -> String {
    let mut printed = String::new();
    while !printed.contains(text) {
        match socket.read() {
            Ok(Message::Binary(bytes)) => printed += &String::from_utf8_lossy(&bytes),
            Ok(Message::Close(frame)) => panic!("closed: {frame:?} after {printed}"),
            Ok(_) => {}
            Err(error) => panic!("{error} after {printed}"),
        }
    }
    printed
}

#[test]
fn a_request_with_a_foreign_origin_is_refused() {
    everybody("a foreign origin", |who| {
        let server = Served::start(who, &[]);
        let cookie = server.enter();
        for origin in ["http://evil.example", "null", "http://127.0.0.1:1", "https://127.0.0.1"] {
            let headers = [cookie.as_str(), &format!("Origin: {origin}")];
            assert_eq!(server.get("/", &headers).status, 403, "{origin}");
            assert_eq!(server.post("/run", &headers, "part=chroot.chroot").status, 403, "{origin}");
        }
        // No origin at all is what a form of another site may be reduced to.
        assert_eq!(server.post("/run", &[&cookie], "part=chroot.chroot").status, 403);
        assert_eq!(server.get("/terminal?part=chroot.chroot", &[&cookie]).status, 403);
        assert_eq!(server.get("/", &[&cookie, &server.origin()]).status, 200);
    });
}

#[test]
fn a_request_with_a_foreign_host_is_refused() {
    everybody("a foreign host", |who| {
        let server = Served::start(who, &[]);
        let cookie = server.enter();
        let port = server.host.rsplit_once(':').unwrap().1;
        let evil = [format!("evil.example:{port}"), "127.0.0.1:1".to_owned(), String::new()];
        for host in evil {
            let answer = server.get("/", &[&cookie, &format!("Host: {host}")]);
            assert!([400, 421].contains(&answer.status), "{host}: {answer:?}");
            assert!(!answer.body.contains("Lesson"), "{answer:?}");
        }
        let answer = server.get("/", &[&cookie, &format!("Host: localhost:{port}")]);
        assert_eq!(answer.status, 200);
    });
}

#[test]
fn without_the_key_of_this_start_nothing_is_served() {
    everybody("no key", |who| {
        let server = Served::start(who, &[]);
        let old = server.enter();
        let old_url = server.url.split_once('?').unwrap().1.to_owned();
        drop(server);
        let server = Served::start(who, &[]);
        let wrong = ["Cookie: a=b".to_owned(), old];
        for cookie in &wrong {
            for path in ["/", "/index.html", "/xterm/xterm.mjs", &format!("/?{old_url}"), "/?key="]
            {
                let answer = server.get(path, &[cookie]);
                assert_eq!(answer.status, 403, "{cookie} {path}");
                assert!(answer.body.contains("The key is missing"), "{answer:?}");
            }
            let headers = [cookie.as_str(), &server.origin()];
            assert_eq!(server.post("/run", &headers, "part=chroot.chroot").status, 403);
            assert_eq!(server.get("/terminal?part=chroot.chroot", &headers).status, 403);
        }
        assert_nothing_left(who);
    });
}

#[test]
fn a_part_that_does_not_exist_is_refused_and_a_command_is_not_one() {
    everybody("no such part", |who| {
        let server = Served::start(who, &[]);
        let cookie = server.enter();
        for part in
            ["chroot.nothing", "chroot", "", "1.1", "--help", "chroot.chroot%20--shell", "%00"]
        {
            let answer = server.run(&cookie, part);
            assert_eq!(answer.status, 404, "{part}: {answer:?}");
            assert!(answer.body.contains("there is no such part"), "{answer:?}");
        }
        let headers = [cookie.as_str(), &server.origin()];
        assert_eq!(server.post("/run", &headers, "command=id").status, 422);
        assert_eq!(server.get("/run", &headers).status, 405);
        let large = format!("part={}", "a".repeat(8 << 10));
        assert_eq!(server.post("/run", &headers, &large).status, 413);
        assert_eq!(server.get("/", &[&cookie]).status, 200);
    });
}

#[test]
fn no_path_leads_out_of_the_book() {
    everybody("paths", |who| {
        let server = Served::start(who, &[]);
        let cookie = server.enter();
        let paths = [
            "/../Cargo.toml",
            "/../../../../etc/passwd",
            "/lessons/../../../etc/passwd",
            "/%2e%2e/%2e%2e/etc/passwd",
            "/..%2f..%2fetc%2fpasswd",
            "//etc/passwd",
            "/etc/passwd",
            "/lessons//etc/passwd",
            "/lessons\\..\\..\\etc\\passwd",
        ];
        for path in paths {
            let answer = server.get(path, &[&cookie]);
            assert!([400, 404].contains(&answer.status), "{path}: {answer:?}");
            assert!(!answer.body.contains("root:") && !answer.body.contains("[package]"), "{path}");
        }
    });
}

#[test]
fn every_answer_says_what_the_page_may_do() {
    everybody("the policy", |who| {
        let server = Served::start(who, &[]);
        let cookie = server.enter();
        let answer = server.get("/lessons/chroot.html", &[&cookie]);
        let policy = answer.head.lines().find_map(|l| l.strip_prefix("content-security-policy: "));
        let policy = policy.unwrap();
        assert!(
            policy.contains("default-src 'none'") && !policy.contains("unsafe-eval"),
            "{policy}"
        );
        let scripts = policy.split("; ").find(|p| p.starts_with("script-src")).unwrap();
        assert!(!scripts.contains("unsafe"), "{scripts}");
        let nonce = scripts.split("'nonce-").nth(1).unwrap().trim_end_matches('\'');
        assert_eq!(answer.body.matches("<script").count(), answer.body.matches(nonce).count());
        let again = server.get("/lessons/chroot.html", &[&cookie]);
        assert!(!again.body.contains(nonce), "the nonce is the same again");
        for path in ["/", "/xterm/xterm.mjs", "/none"] {
            let head = server.get(path, &[&cookie]).head;
            assert!(head.contains("content-security-policy") && head.contains("nosniff"), "{head}");
        }
    });
}

#[test]
fn a_part_runs_and_shows_both_sides() {
    everybody("a part in the page", |who| {
        let server = served(who, &[]);
        let answer = server.run(&server.enter(), "namespaces.uts");
        let told: Vec<serde_json::Value> =
            answer.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(told[0], serde_json::json!({ "running": true }));
        let html = told.last().unwrap()["html"].as_str().unwrap();
        assert!(html.contains("<td data-side=\"with uts\"><pre>sandbox</pre></td>"), "{html}");
        assert!(
            html.contains("<li class=\"holds\">") && !html.contains("class=\"fails\""),
            "{html}"
        );
        assert_nothing_left(who);
    });
}

#[test]
fn a_reader_who_goes_away_leaves_nothing() {
    everybody("a reader who goes away", |who| {
        let server = served(who, &[]);
        let cookie = server.enter();
        let mut stream = server.connect();
        let headers = [cookie.as_str(), &server.origin()];
        let request = server.request("POST", "/run", &headers, "part=namespaces.init");
        stream.write_all(request.as_bytes()).unwrap();
        until("the part runs", 20, || !descendants(server.pid()).is_empty());
        drop(stream);
        until("its processes are gone", 20, || descendants(server.pid()).is_empty());
        assert_nothing_left(who);
    });
}

#[test]
fn thirty_readers_at_once_all_get_their_result_in_the_order_in_which_they_came() {
    everybody("thirty readers", |who| {
        let server = served(who, &[]);
        let readers: Vec<String> = (0..30).map(|_| server.enter()).collect();
        let ran = std::thread::scope(|scope| {
            let mut running = Vec::new();
            for cookie in &readers {
                let mut stream = server.connect();
                let headers = [cookie.as_str(), &server.origin()];
                let request = server.request("POST", "/run", &headers, "part=chroot.chroot");
                stream.write_all(request.as_bytes()).unwrap();
                // The order in which they come is the order in which they are read.
                std::thread::sleep(Duration::from_millis(20));
                running.push(scope.spawn(move || {
                    let answer = read(&mut stream);
                    (answer, std::time::Instant::now())
                }));
            }
            running.into_iter().map(|reader| reader.join().unwrap()).collect::<Vec<_>>()
        });
        let waited = ran.iter().filter(|(answer, _)| answer.body.contains("{\"waiting\":")).count();
        assert!(waited > 10, "only {waited} readers were told that they wait");
        for (answer, _) in &ran {
            assert!(answer.body.contains("{\"html\":"), "{}", answer.body);
            let numbers: Vec<usize> = answer
                .body
                .lines()
                .filter_map(|line| {
                    serde_json::from_str::<serde_json::Value>(line).unwrap()["waiting"].as_u64()
                })
                .map(|number| usize::try_from(number).unwrap())
                .collect();
            assert!(numbers.is_sorted_by(|a, b| a >= b), "moved back: {numbers:?}");
        }
        // Several run at once, so neighbours may pass each other, but nobody more.
        let mut ends: Vec<usize> = (0..ran.len()).collect();
        ends.sort_by_key(|reader| ran[*reader].1);
        let most = std::thread::available_parallelism().map_or(1, usize::from) + 1;
        for (place, reader) in ends.iter().enumerate() {
            assert!(place.abs_diff(*reader) <= most, "not fair: {ends:?}");
        }
        assert_nothing_left(who);
    });
}

#[test]
fn one_reader_with_many_requests_does_not_push_others_back() {
    everybody("a reader with many requests", |who| {
        let server = served(who, &[]);
        let (greedy, other) = (server.enter(), server.enter());
        let headers = [greedy.as_str(), &server.origin()];
        let request = server.request("POST", "/run", &headers, "part=chroot.chroot");
        let streams: Vec<TcpStream> = (0..40)
            .map(|_| {
                let mut stream = server.connect();
                stream.write_all(request.as_bytes()).unwrap();
                stream
            })
            .collect();
        let answer = server.run(&other, "chroot.chroot");
        assert!(answer.body.contains("{\"html\":"), "{}", answer.body);
        let ahead = answer.body.matches("\"waiting\"").count();
        assert!(ahead <= 1, "waited for {ahead}: {}", answer.body);
        drop(streams);
        until("the rest is given up", 30, || descendants(server.pid()).is_empty());
        assert_nothing_left(who);
    });
}

#[test]
fn the_terminal_is_a_shell_in_the_sandbox_and_ends_with_its_page() {
    everybody("a terminal", |who| {
        let server = served(who, &[]);
        let cookie = server.enter();
        let mut socket = terminal(&server, &cookie, "namespaces.uts");
        socket.send(Message::Text("{\"columns\":91,\"rows\":30}".into())).unwrap();
        socket.send(Message::Binary(b"hostname; stty size\r".as_slice().into())).unwrap();
        let printed = wait_for(&mut socket, "30 91");
        assert!(printed.contains("\nsandbox\r"), "{printed}");
        socket.send(Message::Binary(b"sleep 1000000 &\r".as_slice().into())).unwrap();
        wait_for(&mut socket, "# ");
        assert!(!descendants(server.pid()).is_empty());
        drop(socket);
        until("its processes are gone", 20, || descendants(server.pid()).is_empty());
        assert_nothing_left(who);
    });
}

#[test]
fn a_terminal_is_rootless_and_has_limits() {
    everybody("a terminal's limits", |who| {
        let server = served(who, &[]);
        let cookie = server.enter();
        let mut socket = terminal(&server, &cookie, "namespaces.uts");
        let look = b"cat /proc/self/uid_map; ulimit -u; echo -; date -s 2000-01-01\r";
        socket.send(Message::Binary(look.as_slice().into())).unwrap();
        let printed = wait_for(&mut socket, "Operation not permitted");
        let map = printed.lines().find(|line| line.trim_start().starts_with("0 ")).unwrap();
        let outside: u32 = map.split_whitespace().nth(1).unwrap().parse().unwrap();
        assert_eq!(outside, if who.is_root() { 65534 } else { who.uid }, "{printed}");
        assert!(printed.contains("512\r\n-"), "{printed}");
        // A hog is stopped before it has a gigabyte, by the cgroup or by the limit of the process.
        let hog = b"head -c 1000000000 /dev/zero | tail -c 1000000000 | wc -c; echo th''en\r";
        socket.send(Message::Binary(hog.as_slice().into())).unwrap();
        let printed = wait_for(&mut socket, "then");
        assert!(!printed.contains("\n1000000000\r"), "{printed}");
    });
}

#[test]
fn a_thousand_terminals_are_a_few_and_many_refusals() {
    everybody("a thousand terminals", |who| {
        let server = served(who, &[]);
        let mut sockets = Vec::new();
        let mut cookie = server.enter();
        for number in 0..1000 {
            if number % 25 == 0 {
                cookie = server.enter();
            }
            sockets.push(terminal(&server, &cookie, "namespaces.uts"));
        }
        assert_eq!(server.get("/", &[&cookie]).status, 200);
        let mut open = 0;
        for socket in &mut sockets {
            match socket.read().unwrap() {
                Message::Close(frame) => {
                    assert!(frame.unwrap().reason.contains("at most"), "not said why");
                }
                _ => open += 1,
            }
        }
        assert_eq!(open, 32);
        drop(sockets);
        until("all processes are gone", 60, || descendants(server.pid()).is_empty());
        assert_nothing_left(who);
    });
}

#[test]
fn half_sent_requests_keep_nobody_else_waiting_and_are_given_up() {
    everybody("half-sent requests", |who| {
        let server = Served::start(who, &[]);
        let cookie = server.enter();
        let halves: Vec<TcpStream> = (0..200)
            .map(|number| {
                let mut stream = server.connect();
                let half = match number % 3 {
                    0 => "GET / HT".to_owned(),
                    1 => format!("POST /run HTTP/1.1\r\nHost: {}\r\n", server.host),
                    _ => {
                        let headers = [cookie.as_str(), &server.origin()];
                        let whole = server.request("POST", "/run", &headers, "part=chroot.chroot");
                        whole.trim_end_matches("root").to_owned()
                    }
                };
                stream.write_all(half.as_bytes()).unwrap();
                stream
            })
            .collect();
        assert_eq!(server.get("/", &[&cookie]).status, 200);
        for mut stream in halves {
            stream.set_read_timeout(Some(Duration::from_secs(40))).unwrap();
            let mut rest = Vec::new();
            let closed = stream.read_to_end(&mut rest);
            assert!(closed.is_ok(), "still open: {closed:?}");
        }
        assert_nothing_left(who);
    });
}

#[test]
fn a_server_that_is_killed_leaves_nothing() {
    everybody("a killed server", |who| {
        let server = served(who, &[]);
        let cookie = server.enter();
        let mut socket = terminal(&server, &cookie, "namespaces.uts");
        wait_for(&mut socket, "# ");
        let mut stream = server.connect();
        let headers = [cookie.as_str(), &server.origin()];
        let request = server.request("POST", "/run", &headers, "part=namespaces.init");
        stream.write_all(request.as_bytes()).unwrap();
        until("both run", 20, || descendants(server.pid()).len() > 3);
        let below = descendants(server.pid());
        kill(server.pid(), Signal::SIGKILL).unwrap();
        let alive = |pid: &i32| std::path::Path::new(&format!("/proc/{pid}/exe")).exists();
        until("its processes are gone", 20, || !below.iter().any(alive));
        assert_nothing_left(who);
    });
}

#[test]
fn without_terminals_there_are_none() {
    everybody("no terminals", |who| {
        let server = Served::start(who, &["--no-terminal"]);
        let cookie = server.enter();
        let page = server.get("/", &[&cookie]).body;
        assert!(page.contains("<meta name=\"sandbox\" content=\"run\">"));
        let upgrade = [
            cookie.as_str(),
            &server.origin(),
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        ];
        let answer = server.get("/terminal?part=namespaces.uts", &upgrade);
        assert_ne!(answer.status, 101, "{answer:?}");
        assert!(descendants(server.pid()).is_empty());
    });
}

#[test]
fn root_serves_nobody_else() {
    as_root("root and others", |who| {
        who.run(&["book", "--listen", "127.0.0.1"])
            .ends_with(2)
            .complains(&["others are not served by root", "as an ordinary user"]);
    });
}

#[test]
fn others_are_asked_for_the_password_that_was_shown() {
    as_user("a password", |who| {
        let server = served(who, &["--listen", "127.0.0.1"]);
        assert!(!server.url.contains("key="), "{}", server.url);
        let mut shown = String::new();
        until("the password is shown", 10, || true);
        while !shown.contains("unencrypted") {
            shown += &server.stderr.recv_timeout(Duration::from_secs(10)).unwrap();
        }
        let shown = shown.split_whitespace().collect::<Vec<_>>().join(" ");
        let password = shown.split("knows the password: ").nth(1).unwrap();
        let password = password.split(' ').next().unwrap();
        let origin = server.origin();
        let asked = server.get("/", &[]);
        assert_eq!(asked.status, 403);
        assert!(asked.body.contains("The password, please"), "{}", asked.body);
        for wrong in ["key=", "key=wrong", "nothing", &format!("key={password}x")] {
            assert_eq!(server.post("/", &[&origin], wrong).status, 403, "{wrong}");
        }
        assert_eq!(server.get(&format!("/?key={password}"), &[]).status, 403, "not in an address");
        let answer = server.post("/", &[&origin], &format!("key={password}"));
        assert_eq!(answer.status, 303, "{answer:?}");
        let answer = server.run(&cookie(&answer), "chroot.chroot");
        assert!(answer.body.contains("{\"html\":"), "{}", answer.body);
        assert_nothing_left(who);
    });
}

#[test]
fn a_port_in_use_is_told_with_the_remedy() {
    everybody("a port in use", |who| {
        let server = Served::start(who, &[]);
        let port = server.host.rsplit_once(':').unwrap().1;
        who.run(&["book", "--port", port])
            .ends_with(2)
            .complains(&["is in use", "`--port 0` takes any that is free"]);
    });
}
