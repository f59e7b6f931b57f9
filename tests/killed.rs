//! Killed at whatever step: nothing is left after `sandbox clean`.

#![allow(clippy::unwrap_used)] // a test may panic

mod common;

use std::io::{BufReader, Read, Write};
use std::process::Stdio;

use common::{Who, everybody};

/// Runs `sandbox run --step`, lets it make `steps` calls, and kills it. `false` when the plan has
/// fewer.
fn kill_after(who: &Who, stages: &[&str], name: &str, steps: usize) -> bool {
    let command = ["--", "sleep", "61234"];
    let args = [&["run", "--step", "--name", name], stages, &command].concat();
    let mut sandbox = who
        .sandbox(&args)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = sandbox.stdin.take().unwrap();
    let mut output = BufReader::new(sandbox.stderr.take().unwrap()).bytes();
    let mut seen = String::new();
    let (mut made, mut complete) = (0, true);
    // A question waits at the end of its line; the execve is the last call.
    while let Some(Ok(byte)) = output.next() {
        seen.push(char::from(byte));
        if seen.ends_with("q stops: ") {
            if made == steps {
                complete = false;
                break;
            }
            made += 1;
            input.write_all(b"\n").unwrap();
        }
        if seen.ends_with("= 0\n") && seen.lines().last().unwrap().contains("execve(") {
            break;
        }
    }
    sandbox.kill().unwrap();
    sandbox.wait().unwrap();
    !complete
}

fn assert_nothing_left(who: &Who, name: &str, what: &str) {
    who.run(&["clean"]).succeeds();
    who.assert_gone(name);
    for _ in 0..200 {
        let left = processes(name);
        if left.is_empty() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("{what}: processes are left: {:?}", processes(name));
}

/// The processes of ours that run on: the sandbox itself by its name, or its command.
fn processes(name: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(&format!("--name {name} ")) || line.trim_end() == "sleep 61234" {
            found.push(line);
        }
    }
    found
}

fn kill_after_every_step(who: &Who, stages: &[&str]) {
    let mut steps = 0;
    loop {
        let name = format!("killed-{}-{steps}", who.name);
        let more = kill_after(who, stages, &name, steps);
        assert_nothing_left(who, &name, &format!("{} {stages:?} after {steps} steps", who.name));
        if !more {
            break;
        }
        steps += 1;
    }
    assert!(steps > 3, "{stages:?}: only {steps} steps were seen");
}

#[test]
fn killed_after_every_single_step_nothing_is_left_after_clean() {
    everybody("killed at every step", |who| {
        kill_after_every_step(who, &["--level", "chroot"]);
        kill_after_every_step(who, &["--level", "namespaces"]);
        kill_after_every_step(who, &["--level", "cgroups", "--pids-limit", "50"]);
    });
}
