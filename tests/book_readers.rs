//! `sandbox book` and its readers: what they run, what they open, too much of it, and going away.

#![cfg(feature = "book")]
#![allow(clippy::unwrap_used)] // a test may panic

mod common;
#[path = "common/served.rs"]
mod served;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use common::{Who, everybody, everybody_at_once};
use nix::sys::signal::{Signal, kill};
use served::{Served, alive, assert_nothing_left, descendants, read, until};
use tungstenite::client::IntoClientRequest;
use tungstenite::{Message, WebSocket};

/// Somebody who serves, with a rootfs.
fn served(who: &Who) -> Served {
    who.run(&["rootfs", "fetch"]).succeeds();
    Served::start(who, &[])
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
fn a_part_runs_and_shows_both_sides() {
    everybody("a part in the page", |who| {
        let server = served(who);
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
    everybody_at_once("a reader who goes away", |who| {
        let server = served(who);
        let cookie = server.enter();
        let stream = server.ask_for(&cookie, "namespaces.init");
        until("the part runs", 20, || !descendants(server.pid()).is_empty());
        drop(stream);
        until("its processes are gone", 20, || descendants(server.pid()).is_empty());
        assert_nothing_left(who);
    });
}

#[test]
fn thirty_readers_at_once_all_get_their_result_in_the_order_in_which_they_came() {
    everybody("thirty readers", |who| {
        let server = served(who);
        let readers: Vec<String> = (0..30).map(|_| server.enter()).collect();
        let ran = std::thread::scope(|scope| {
            let mut running = Vec::new();
            for cookie in &readers {
                let mut stream = server.ask_for(cookie, "chroot.chroot");
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
        let server = served(who);
        let (greedy, other) = (server.enter(), server.enter());
        let streams: Vec<TcpStream> =
            (0..40).map(|_| server.ask_for(&greedy, "chroot.chroot")).collect();
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
        let server = served(who);
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
        let server = served(who);
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
fn what_is_pasted_into_a_terminal_arrives_and_a_deaf_shell_ends_with_its_page() {
    everybody("pasting", |who| {
        let server = served(who);
        let mut socket = terminal(&server, &server.enter(), "namespaces.uts");
        let count = b"stty raw -echo; echo rea''dy; head -c 60000 | wc -c; stty sane\r";
        socket.send(Message::Binary(count.as_slice().into())).unwrap();
        wait_for(&mut socket, "ready");
        for _ in 0..6 {
            socket.send(Message::Binary(vec![b'a'; 10_000].into())).unwrap();
        }
        wait_for(&mut socket, "60000");
        socket.send(Message::Binary(b"sleep 100000\r".as_slice().into())).unwrap();
        for _ in 0..300 {
            socket.send(Message::Binary(vec![b'a'; 1000].into())).unwrap();
        }
        drop(socket);
        until("its processes are gone", 20, || descendants(server.pid()).is_empty());
        assert_nothing_left(who);
    });
}

#[test]
fn a_terminal_reaches_neither_the_program_nor_the_environment_of_whoever_serves() {
    everybody("the program's own file", |who| {
        who.run(&["rootfs", "fetch"]).succeeds();
        // A program that belongs to whoever serves, as cargo installs it.
        let own = who.home().join("own-sandbox");
        std::fs::copy(env!("CARGO_BIN_EXE_sandbox"), &own).unwrap();
        nix::unistd::chown(&own, Some(who.uid.into()), Some(who.uid.into())).unwrap();
        let before = std::fs::metadata(&own).unwrap();
        let mut command = who.command(&own);
        let tests = std::process::id().to_string();
        let server = Served::of(
            command
                .args(["--die-with-parent", &tests, "book", "--port", "0"])
                .env("SECRET_OF_WHOEVER_SERVES", "hunter2")
                .env("XDG_CONFIG_HOME", "/where/whoever/serves/has/it")
                .env("LC_NAME", "C"),
        );
        let cookie = server.enter();
        for part in ["namespaces.uts", "chroot.chroot", "namespaces.init"] {
            let mut socket = terminal(&server, &cookie, part);
            let attack = b"for p in /proc/[0-9]*; do chmod 4711 $p/exe; (echo x >> $p/exe); \
                cat $p/environ; done 2>/dev/null; echo tri''ed\r";
            socket.send(Message::Binary(attack.as_slice().into())).unwrap();
            let printed = wait_for(&mut socket, "tried");
            assert!(!printed.contains("hunter2"), "{part}: {printed}");
        }
        // Nor what process 1 of the stand-in host was started with.
        let mut socket = terminal(&server, &cookie, "namespaces.uts");
        let look = b"for p in /proc/[0-9]*; do tr '\\0' '\\n' <$p/environ; done; echo loo''ked\r";
        socket.send(Message::Binary(look.as_slice().into())).unwrap();
        let printed = wait_for(&mut socket, "looked");
        for name in ["SANDBOX_PROGRAM=", "XDG_", "LC_", &who.home().display().to_string()] {
            assert!(!printed.contains(name), "{name} in {printed}");
        }
        drop(server);
        let after = std::fs::metadata(&own).unwrap();
        assert_eq!(before.permissions(), after.permissions());
        assert_eq!(
            (before.len(), before.modified().unwrap()),
            (after.len(), after.modified().unwrap())
        );
    });
}

#[test]
fn a_thousand_terminals_are_a_few_and_many_refusals() {
    everybody("a thousand terminals", |who| {
        let server = served(who);
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
    everybody_at_once("half-sent requests", |who| {
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
fn whoever_does_not_read_what_they_asked_for_is_let_go() {
    everybody_at_once("answers that nobody reads", |who| {
        let server = Served::start(who, &[]);
        let mut stream = server.connect();
        stream.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
        // No key is needed to be answered, if only with a refusal.
        let request = server.request("GET", "/", &[], "").replace("Connection: close\r\n", "");
        while stream.write_all(request.as_bytes()).is_ok() {}
        let gone = || stream.take_error().unwrap().is_some();
        until("the connection is gone", 90, gone);
        assert_eq!(server.get("/", &[&server.enter()]).status, 200);
    });
}

#[test]
fn a_part_whose_server_ended_before_it_began_does_nothing() {
    everybody("a part that begins too late", |who| {
        let ran = who.run(&["--die-with-parent", "1", "lesson", "namespaces.uts"]);
        assert_eq!((ran.status, ran.stdout.as_str(), ran.stderr.as_str()), (143, "", ""));
        assert!(!who.home().join(".local").exists(), "a rootfs was made");
    });
}

#[test]
fn a_server_that_is_killed_or_told_to_end_leaves_nothing() {
    let ended_by = |who: &Who, signal| {
        let mut server = served(who);
        let cookie = server.enter();
        let mut socket = terminal(&server, &cookie, "namespaces.uts");
        wait_for(&mut socket, "# ");
        let _stream = server.ask_for(&cookie, "namespaces.init");
        until("both run", 20, || descendants(server.pid()).len() > 3);
        let below = descendants(server.pid());
        kill(server.pid(), signal).unwrap();
        let status = server.wait();
        assert_eq!(status.code(), (signal != Signal::SIGKILL).then_some(0), "{status}");
        until("its processes are gone", 20, || !below.iter().copied().any(alive));
        let said: String = server.stderr.iter().collect();
        assert!(!said.contains("panicked") && !said.contains("error"), "{said}");
        assert_nothing_left(who);
    };
    everybody("a killed server", |who| {
        for signal in [Signal::SIGKILL, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
            ended_by(who, signal);
        }
    });
}
