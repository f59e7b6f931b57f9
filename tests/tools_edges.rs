//! The commands around `run`: what programs read from them, and that looking changes nothing.

#![allow(clippy::unwrap_used)] // a test may panic

mod common;

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use common::{Who, as_user, everybody};
use serde_json::Value;

fn json(who: &Who, args: &[&str]) -> Value {
    let args = [args, &["--format", "json"]].concat();
    serde_json::from_str(&who.run(&args).succeeds()).unwrap()
}

fn keys(value: &Value) -> String {
    value.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ")
}

fn started(who: &Who, name: &str) -> Child {
    let mut sandbox = who.sandbox(&["run", "--name", name, "--", "sleep", "6125"]);
    let child = sandbox.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let begin = Instant::now();
    while !who.run(&["ps", "--format", "json"]).succeeds().contains(&format!("\"{name}\"")) {
        assert!(begin.elapsed() < Duration::from_secs(20), "it did not start");
        std::thread::sleep(Duration::from_millis(20));
    }
    child
}

#[test]
fn what_programs_read_keeps_its_names() {
    as_user("names in JSON", |who| {
        let plan = who.run(&["plan", "--level", "chroot", "--as", "json", "--", "true"]).succeeds();
        let plan: Value = serde_json::from_str(&plan).unwrap();
        assert_eq!(keys(&plan), "steps");
        assert_eq!(keys(&plan["steps"][0]), "by call why undo");
        assert!(plan["steps"][0]["undo"]["rmdir"].is_string(), "{}", plan["steps"][0]);

        let lessons = json(who, &["lesson"]);
        assert_eq!(keys(&lessons["lessons"][0]), "lesson slug title parts runnable reason");

        let name = "names-user";
        let mut child = started(who, name);
        let running = json(who, &["ps"]);
        assert_eq!(keys(&running["sandboxes"][0]), "name pid stages command");
        assert_eq!(running["sandboxes"][0]["command"], serde_json::json!(["sleep", "6125"]));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(json(who, &["clean"])["removed"], serde_json::json!([name]));
    });
}

#[test]
fn clean_with_dry_run_names_what_is_dead_and_leaves_it_and_never_what_lives() {
    as_user("clean", |who| {
        let (mut living, mut dead) = (started(who, "living-user"), started(who, "dead-user"));
        dead.kill().unwrap();
        dead.wait().unwrap();
        for _ in 0..2 {
            let shown = who.run(&["clean", "--dry-run"]).succeeds();
            assert!(
                shown.contains("would be taken away") && shown.contains("dead-user"),
                "{shown}"
            );
            assert!(!shown.contains("living-user"), "{shown}");
            assert!(who.state().join("dead-user").exists());
        }
        let shown = who.run(&["clean"]).succeeds();
        assert!(shown.contains("dead-user") && !shown.contains("living-user"), "{shown}");
        who.assert_gone("dead-user");
        assert!(who.state().join("living-user").exists());
        living.kill().unwrap();
        living.wait().unwrap();
        who.run(&["clean"]).succeeds();
        who.assert_gone("living-user");
    });
}

#[test]
fn a_command_joins_a_sandbox_in_the_directory_that_was_asked_for() {
    everybody("exec in a directory", |who| {
        let name = format!("workdir-{}", who.name);
        let mut child = started(who, &name);
        let shown = who.run(&["exec", "--workdir", "/etc", &name, "--", "pwd"]);
        child.kill().unwrap();
        child.wait().unwrap();
        who.run(&["clean"]).succeeds();
        assert_eq!(shown.succeeds(), "/etc\n");
    });
}

#[test]
fn without_chroot_the_lesson_on_chroot_says_which_claims_fail() {
    as_user("lesson without chroot", |who| {
        let ran = who.run(&["lesson", "1.2", "--without", "chroot"]).ends_with(1);
        assert!(ran.stdout.contains("✘ ") && ran.stdout.contains("does not hold here"));
        let all = ran.stdout.lines().last().unwrap().to_owned();
        assert!(!all.ends_with(" 0 failed"), "{all}");
    });
}
