//! What comes from inside a sandbox is printed as it is, and never obeyed.

#![allow(clippy::unwrap_used)] // a test may panic

mod common;

use std::fs;

use common::everybody;

/// Clears the screen and names the window.
const ESCAPES: &str = "\x1b[2J\x1b]0;PWNED\x07";
const SHOWN: &str = r"\x1b[2J\x1b]0;PWNED\x07";

#[track_caller]
fn shows(text: &str) {
    assert!(!text.contains(['\x1b', '\x07', '\r', '\u{9b}']), "{text:?}");
    assert!(text.contains(SHOWN), "{text}");
}

#[test]
fn what_a_command_prints_is_shown_line_by_line_and_not_obeyed() {
    everybody("output with escapes", |who| {
        let script = who.home().join("script.sh");
        fs::write(&script, format!("printf 'one\n{ESCAPES}b\ncarriage\rreturn\n\n\u{9b}2J\n'"))
            .unwrap();
        let command = ["--", "sh", script.to_str().unwrap()];
        let sides = ["--color", "never", "compare", "host", "host+uts"];
        for columns in ["80", "120"] {
            let mut compare = who.sandbox(&[&sides[..], &command].concat());
            let printed = common::Ran::of(compare.env("COLUMNS", columns), "compare".to_owned());
            let printed = printed.succeeds();
            shows(&printed);
            for line in ["one", r"carriage\rreturn", r"\u{9b}2J"] {
                let alone = |of: &str| !of.contains("script.sh") && of.contains(line);
                let found: Vec<&str> = printed.lines().filter(|of| alone(of)).collect();
                assert!(!found.is_empty(), "{line} in\n{printed}");
                for one in found {
                    assert_eq!(one.contains("one"), line == "one", "{printed}");
                }
            }
        }
    });
}

#[test]
fn the_name_of_a_file_inside_is_shown_and_not_obeyed() {
    everybody("names with escapes", |who| {
        let name = format!("printed-{}", who.name);
        let keep = ["run", "--level", "union", "--keep", &name, "--", "touch"];
        let file = format!("/root/x{ESCAPES}\ny");
        who.run(&[&keep[..], &[&file]].concat()).succeeds();
        let diff = who.run(&["diff", &name]).succeeds();
        shows(&diff);
        assert!(diff.contains(&format!(r"A /root/x{SHOWN}\ny")), "{diff}");
        shows(&who.run(&["--color", "never", "layers", &name]).succeeds());
        who.run(&["layers", "--remove", &name]).succeeds();
    });
}

#[test]
fn the_arguments_of_a_process_are_shown_and_not_obeyed() {
    everybody("arguments with escapes", |who| {
        let name = format!("argv-{}", who.name);
        let words = ["run", "--name", &name, "--", "sh", "-c", "sleep 1000; :", ESCAPES];
        let mut running = who.sandbox(&words).spawn().unwrap();
        let begin = std::time::Instant::now();
        while !who.run(&["ps"]).stdout.contains(&name) {
            assert!(begin.elapsed().as_secs() < 20, "{name} does not begin");
        }
        shows(&who.run(&["--color", "never", "ps"]).succeeds());
        shows(&who.run(&["--color", "never", "inspect", &name]).succeeds());
        let error = who.run(&["--color", "never", "inspect", ESCAPES]).ends_with(2).stderr;
        shows(&error);
        who.run(&["kill", &name]).succeeds();
        running.wait().unwrap();
    });
}

#[test]
fn lines_are_joined_only_where_they_are_a_list() {
    everybody("lines and lists", |who| {
        let part = |name| who.run(&["--color", "never", "lesson", name, "--no-pause"]).succeeds();
        let lines = part("4.descriptor");
        let ends = |end: &str| lines.lines().filter(|line| line.trim_end().ends_with(end)).count();
        assert!(ends("/bin/false") > 0 && ends(" appended") > 0, "{lines}");
        let list = part("1.chroot");
        assert!(list.lines().any(|line| line.contains("bin dev etc")), "{list}");
    });
}
