//! `sandbox book` and who may come in: keys, names of hosts, paths, ports.

#![cfg(feature = "book")]
#![allow(clippy::unwrap_used)] // a test may panic

mod common;
#[path = "common/served.rs"]
mod served;

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use common::{as_root, as_user, everybody};
use sandbox::cgroups::{Hierarchies, Version};
use served::{Served, assert_nothing_left, cookie, descendants};

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
fn a_request_that_says_twice_for_whom_it_is_or_names_another_server_is_refused() {
    everybody("two hosts", |who| {
        let server = Served::start(who, &[]);
        let cookie = server.enter();
        let (host, origin) = (format!("Host: {}", server.host), server.origin());
        for (first, second) in [
            (host.as_str(), "Host: evil.example"),
            (&host, &host),
            (&origin, "Origin: http://evil.example"),
            (&origin, &origin),
        ] {
            let answer = server.get("/", &[&cookie, first, second]);
            assert_eq!(answer.status, 400, "{first}, {second}: {answer:?}");
        }
        for (line, status) in [
            (format!("http://{}/", server.host), 200),
            ("http://evil.example/".to_owned(), 421),
            (format!("http://reader@{}/", server.host), 421),
        ] {
            assert_eq!(server.get(&line, &[&cookie]).status, status, "{line}");
        }
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
fn a_part_for_another_version_of_cgroups_is_told_as_such() {
    as_root("another version", |who| {
        let server = Served::start(who, &[]);
        let name = match Hierarchies::gather().version() {
            Some(Version::V1) => "cgroups.one-tree",
            _ => "cgroups.trees",
        };
        let answer = server.run(&server.enter(), name);
        assert_eq!(answer.status, 404);
        assert!(answer.body.contains("another version of cgroups"), "{answer:?}");
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
        who.run(&["rootfs", "fetch"]).succeeds();
        let server = Served::start(who, &["--listen", "127.0.0.1"]);
        assert!(!server.url.contains("key="), "{}", server.url);
        let mut shown = String::new();
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
        let reader = cookie(&answer);
        let answer = server.run(&reader, "chroot.chroot");
        assert!(answer.body.contains("{\"html\":"), "{}", answer.body);
        // A terminal that nothing limits is not for others.
        let page = server.get("/", &[&reader]).body;
        let limited = page.contains("<meta name=\"sandbox\" content=\"run terminal\">");
        assert_eq!(limited, who.may_make_cgroups(), "{shown}");
        assert_eq!(shown.contains("no terminals: no cgroup can be had"), !limited, "{shown}");
        assert_nothing_left(who);
    });
}

/// Opens a page as a reader while many others are there who are none.
fn assert_no_wait(server: &Served, cookie: &str, strangers: &str) {
    let begun = Instant::now();
    assert_eq!(server.get("/", &[cookie]).status, 200);
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(2), "{strangers}: {took:?}");
}

#[test]
fn neither_guesses_nor_idle_connections_keep_a_reader_waiting() {
    everybody("strangers", |who| {
        let server = Served::start(who, &[]);
        let cookie = server.enter();
        let guesses: Vec<TcpStream> = (0..560)
            .map(|_| {
                let mut stream = server.connect();
                let request = server.request("GET", "/?key=wrong", &[], "");
                stream.write_all(request.as_bytes()).unwrap();
                stream
            })
            .collect();
        assert_no_wait(&server, &cookie, "guesses");
        drop(guesses);
        let idle: Vec<TcpStream> = (0..520).map(|_| server.connect()).collect();
        assert_no_wait(&server, &cookie, "idle connections");
        assert_eq!(server.get("/", &[&server.enter()]).status, 200);
        drop(idle);
    });
}

#[test]
fn many_wrong_passwords_are_not_looked_at_and_nobody_waits_for_it() {
    as_user("wrong passwords", |who| {
        let server = Served::start(who, &["--listen", "127.0.0.1"]);
        let begun = Instant::now();
        let origin = server.origin();
        let guess = |_| server.post("/", &[&origin], "key=wrong").status;
        let answers: Vec<u16> = (0..100).map(guess).collect();
        let looked_at = answers.iter().filter(|status| **status == 403).count();
        let seconds = usize::try_from(begun.elapsed().as_secs()).unwrap();
        assert!(looked_at <= 10 * (seconds + 2), "{looked_at} in {seconds} s");
        assert_eq!(answers.iter().filter(|status| **status == 429).count(), 100 - looked_at);
        assert!(seconds < 10, "{seconds} s");
    });
}

#[test]
fn a_dry_run_serves_nothing_and_there_is_no_book_in_json() {
    everybody("a book that is not served", |who| {
        let said = who.run(&["book", "--dry-run", "--port", "4321"]).succeeds();
        assert_eq!(said, "the book would be served on 127.0.0.1:4321\n");
        let others = who.run(&["book", "--dry-run", "--listen", "127.0.0.2"]);
        assert_eq!(others.status, if who.is_root() { 2 } else { 0 }, "{}", others.stderr);
        who.run(&["book", "--format", "json"]).ends_with(2).complains(&["leave out `--format`"]);
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

#[test]
fn the_served_book_is_the_one_that_mdbook_builds() {
    everybody("the same book", |who| {
        let dir = tempfile::tempdir().unwrap();
        let mut book = mdbook_driver::MDBook::load("book").unwrap();
        book.config.build.build_dir = dir.path().to_owned();
        book.build().unwrap();
        let server = Served::start(who, &[]);
        let cookie = server.enter();
        let mut dirs = vec![dir.path().to_owned()];
        let mut compared = 0;
        while let Some(below) = dirs.pop() {
            for path in std::fs::read_dir(below).unwrap().map(|entry| entry.unwrap().path()) {
                if path.is_dir() {
                    dirs.push(path);
                    continue;
                }
                let name = path.strip_prefix(dir.path()).unwrap().display().to_string();
                // The words in it are in another order each time that mdBook builds it.
                if name.starts_with("searchindex-") {
                    continue;
                }
                let answer = server.get(&format!("/{name}"), &[&cookie]);
                assert_eq!(answer.status, 200, "{name}");
                let built =
                    without_additions(&String::from_utf8_lossy(&std::fs::read(&path).unwrap()));
                let shown = without_additions(&answer.body);
                let mut lines = shown.lines().zip(built.lines());
                assert_eq!(lines.find(|(shown, built)| shown != built), None, "{name}");
                assert_eq!(shown.len(), built.len(), "{name}");
                compared += 1;
            }
        }
        assert!(compared > 50, "{compared}");
    });
}

/// A page without what only the served one has, which is what the reader may do and numbers for
/// scripts; and without the hash of the search index.
fn without_additions(html: &str) -> String {
    let pattern = "<meta name=\"sandbox\"[^>]*>| nonce=\"[0-9a-f]+\"|searchindex-[0-9a-f]+";
    regex_lite::Regex::new(pattern).unwrap().replace_all(html, "").into_owned()
}
