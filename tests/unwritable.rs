//! What cannot be written ends nothing in a panic, is said where it can be, and leaves nothing.

#![allow(clippy::unwrap_used)] // a test may panic

mod common;

use std::fs::File;
use std::io::Read;
use std::process::{Command, Stdio};

use common::{Ran, Who, as_user, everybody};

const ANSWERS: &[&[&str]] = &[
    &["--help"],
    &["--version"],
    &["run", "--help"],
    &["ps"],
    &["clean"],
    &["clean", "--format", "json"],
    &["layers"],
    &["explain", "pid"],
    &["plan"],
    &["plan", "--as", "sh"],
    &["run", "--dry-run", "--", "true"],
    &["completions", "zsh"],
    &["man"],
    &["explain", "--format", "json"],
    &["lesson", "--dry-run"],
    &["lesson", "2.uts", "--format", "jsonl"],
    &["compare", "host", "uts", "--", "hostname"],
    &["rootfs", "list"],
];

fn full() -> Stdio {
    File::options().write(true).open("/dev/full").unwrap().into()
}

/// As [`Ran::of`], with stdout somewhere.
fn into(stdout: Stdio, command: &mut Command, what: String) -> Ran {
    let mut child = command.stdout(stdout).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    let status = child.wait().unwrap();
    use std::os::unix::process::ExitStatusExt;
    let status = status.code().unwrap_or_else(|| 1000 + status.signal().unwrap_or(0));
    Ran { what, stdout: String::new(), stderr, status }
}

#[test]
fn an_answer_that_cannot_be_written_is_an_error_in_one_sentence() {
    as_user("answers to a full disk", |who| {
        for args in ANSWERS {
            let ran = into(full(), &mut who.sandbox(args), format!("{args:?} to a full disk"));
            let ran = ran.ends_with(125);
            ran.complains(&["could not write the answer: No space left on device"]);
        }
    });
}

#[test]
fn an_answer_that_nobody_reads_ends_quietly() {
    as_user("answers to nobody", |who| {
        for args in ANSWERS {
            let (nobody, pipe) = nix::unistd::pipe().unwrap();
            drop(nobody);
            let ran = into(pipe.into(), &mut who.sandbox(args), format!("{args:?} to nobody"));
            let ran = ran.ends_with(141);
            assert!(
                !ran.said().contains("error") && !ran.said().contains("panic"),
                "{}",
                ran.stderr
            );
        }
        let mut head = who.command("/bin/bash");
        let sandbox = who.sandbox(&[]);
        head.args(["-c", "\"$0\" lesson 2 --no-pause | head -n 1; echo ${PIPESTATUS[0]}"]);
        let ran = Ran::of(head.arg(sandbox.get_program()), "lesson | head".to_owned()).ends_with(0);
        assert!(ran.stdout.ends_with("\n141\n"), "{}", ran.stdout);
        assert_eq!(ran.stdout.lines().count(), 2);
        assert!(!ran.said().contains("error"), "{}", ran.stderr);
    });
}

#[test]
fn what_cannot_be_said_besides_keeps_nothing_from_being_done_and_undone() {
    everybody("words to a full disk", |who| {
        let name = format!("unsaid-{}", who.name);
        for args in [&["--trace"][..], &["--step"], &["--level", "chroot", "--trace"]] {
            let args = [&["run", "--name", &name], args, &["--", "echo", "done"]].concat();
            let mut sandbox = who.sandbox(&args);
            let mut child = sandbox.stderr(full()).stdout(Stdio::piped());
            if args.contains(&"--step") {
                child = child.stdin(Stdio::null());
            }
            let output = child.spawn().unwrap().wait_with_output().unwrap();
            let status = if args.contains(&"--step") { 130 } else { 0 };
            assert_eq!(output.status.code(), Some(status), "{args:?}");
            who.assert_gone(&name);
        }
    });
}

#[test]
fn an_error_that_cannot_be_said_has_its_status_all_the_same() {
    everybody("errors to a full disk", |who: &Who| {
        for (args, status) in
            [(&["run", "--", "/no"][..], 127), (&["run", "--level", "x", "true"], 2)]
        {
            let ran = who.sandbox(args).stderr(full()).status().unwrap();
            assert_eq!(ran.code(), Some(status), "{args:?}");
        }
    });
}
