//! The commands that compare, measure, look and explain.

#![allow(clippy::unwrap_used)] // a test may panic

mod common;

use common::{Ran, Who, as_user, everybody};
use serde_json::Value;
use unicode_width::UnicodeWidthStr;

fn json(who: &Who, args: &[&str]) -> Value {
    let args = [&["--format", "json"], args].concat();
    serde_json::from_str(&who.run(&args).succeeds()).unwrap()
}

#[test]
fn compare_marks_what_changed_and_what_is_the_same() {
    everybody("compare", |who| {
        let shown = who.run(&["compare", "host", "namespaces-net"]).succeeds();
        let mark = |command: &str| {
            let line = shown.lines().find(|line| line.contains(command)).unwrap();
            line.split_whitespace().last().unwrap().to_owned()
        };
        assert_eq!(mark("$ hostname"), "changed", "{shown}");
        assert_eq!(mark("$ ls /"), "changed", "{shown}");
        assert_eq!(mark("$ ip -o link"), "SAME", "{shown}");
        let different = who.run(&["compare", "host", "uts", "--only-different"]).succeeds();
        assert!(different.contains("hostname") && !different.contains("SAME"), "{different}");
        who.run(&["compare", "host", "uts", "--exit-code", "--", "hostname"]).ends_with(1);
        who.run(&["compare", "host", "uts", "--exit-code", "--", "pwd"]).ends_with(0);
        let same = who.run(&["compare", "uts", "uts", "--only-different"]).succeeds();
        assert_eq!(same, "nothing differs\n");
    });
}

#[test]
fn sets_of_stages_are_written_alike_and_wrong_ones_are_explained() {
    as_user("sets", |who| {
        let stages =
            |set: &str| json(who, &["compare", set, set, "--", "true"])["stages"]["left"].clone();
        assert_eq!(stages("host+uts+pid+mnt"), serde_json::json!(["user", "mnt", "uts", "pid"]));
        assert_eq!(stages("chroot"), serde_json::json!(["user", "mnt", "rootfs", "chroot"]));
        let without = stages("namespaces-net-cgroup-ns-pivot-root");
        assert_eq!(without, serde_json::json!(["user", "mnt", "uts", "ipc", "rootfs", "pid"]));
        who.run(&["compare", "host", "utz"]).ends_with(2).complains(&["did you mean `uts`?"]);
    });
}

#[test]
fn the_sides_stand_beside_each_other_from_100_columns_and_never_run_over() {
    as_user("compare widths", |who| {
        for columns in [80, 100, 160] {
            for command in [
                &[][..],
                &["--", "echo", "进程和文件系统，命名空间，控制组，进程和文件系统，命名空间"],
            ] {
                let args = [&["compare", "host", "namespaces"], command].concat();
                let mut sandbox = who.sandbox(&args);
                let ran = Ran::of(sandbox.env("COLUMNS", columns.to_string()), args.join(" "));
                let text = ran.ends_with(0).stdout;
                for line in text.lines() {
                    assert!(line.width() <= columns, "{} of {columns}: {line}", line.width());
                }
                let heading = text.lines().next().unwrap();
                let beside = heading.contains("host") && heading.contains("namespaces");
                assert_eq!(beside, columns >= 100, "{text}");
            }
        }
    });
}

#[test]
fn the_matrix_says_of_each_stage_what_it_hides_and_nothing_else() {
    everybody("matrix", |who| {
        let matrix = json(who, &["matrix"]);
        let hides = |stage: &str| {
            let rows = matrix["stages"].as_array().unwrap();
            let row = rows.iter().find(|row| row["stage"] == stage).unwrap();
            let all = row["isolates"].as_object().unwrap();
            assert!(all.len() > 7, "{stage}: {row}");
            all.iter()
                .filter(|(_, yes)| **yes == true)
                .map(|(name, _)| name.clone())
                .collect::<Vec<_>>()
        };
        for (stage, what) in [
            ("user", "users"),
            ("cgroup-ns", "cgroup"),
            ("mnt", "mounts"),
            ("uts", "hostname"),
            ("ipc", "ipc"),
            ("net", "network"),
            ("time", "uptime"),
            ("pid", "processes"),
            ("chroot", "files"),
            ("pivot-root", "files"),
        ] {
            assert_eq!(hides(stage), [what], "{}: {stage}", who.name);
        }
        let text = who.run(&["matrix"]).succeeds();
        assert!(text.lines().all(|line| line.width() <= 80), "{text}");
        let markdown = who.run(&["matrix", "--format", "markdown"]).succeeds();
        assert!(markdown.contains("| uts |  |  | isolated |  |"), "{markdown}");
    });
}

#[test]
fn a_running_sandbox_is_listed_inspected_and_joined() {
    everybody("ps, inspect, exec", |who| {
        let name = format!("joined-{}", who.name);
        let args = ["run", "--name", &name, "--hostname", "inside", "--", "sleep", "987"];
        let mut sandbox = who.sandbox(&args);
        sandbox.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let mut sandbox = sandbox.spawn().unwrap();
        while !who.run(&["ps", "--format", "json"]).succeeds().contains(&name) {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let again = who.run(&["run", "--name", &name, "--", "true"]).ends_with(2);
        again.complains(&["runs already", "sandbox ps"]);
        let exec =
            |command: &[&str]| who.run(&[&["exec", &name, "--"], command].concat()).succeeds();
        assert_eq!(exec(&["hostname"]), "inside\n");
        assert_eq!(exec(&["id", "-u"]), "0\n");
        assert!(exec(&["ps", "-o", "pid,args"]).contains("    1 sleep 987"));
        assert_eq!(exec(&["cat", "/etc/hosts"]), "127.0.0.1 localhost\n::1 localhost\n");
        who.run(&["exec", &name, "--", "sh", "-c", "exit 9"]).ends_with(9);
        let found = json(who, &["inspect", &name]);
        assert_eq!(found["pids"][1], 1);
        assert_eq!(found["command"], "sleep 987");
        let own = |kind: &str| {
            let all = found["namespaces"].as_array().unwrap();
            !all.iter().find(|ns| ns["kind"] == kind).unwrap()["shared"].as_bool().unwrap()
        };
        assert!(["user", "mnt", "uts", "ipc", "net", "pid", "cgroup"].iter().all(|kind| own(kind)));
        assert!(!own("time"));
        let text = who.run(&["inspect", &name]).succeeds();
        assert!(text.contains("1 inside") && text.contains("its own"), "{text}");
        sandbox.kill().unwrap();
        sandbox.wait().unwrap();
        who.run(&["clean"]).succeeds();
        who.assert_gone(&name);
    });
}

#[test]
fn a_process_that_is_not_there_is_said_to_be_so() {
    as_user("inspect nobody", |who| {
        who.run(&["inspect", "999999999"]).ends_with(125).complains(&["process 999999999"]);
        who.run(&["inspect", "nobody"]).ends_with(2).complains(&["no sandbox `nobody`"]);
    });
}

#[test]
fn doctor_tries_every_stage_and_gives_a_verdict_for_every_lesson() {
    everybody("doctor", |who| {
        let lacks = |name: &Value| name == "cgroups" && !who.may_make_cgroups();
        let status = i32::from(!who.may_make_cgroups());
        let found = who.run(&["doctor", "--format", "json"]).ends_with(status);
        let found: Value = serde_json::from_str(&found.stdout).unwrap();
        for stage in found["stages"].as_array().unwrap() {
            assert_eq!(stage["works"], !lacks(&stage["stage"]), "{found:#}");
            assert_eq!(stage["reason"].is_null(), stage["works"] == true, "{found:#}");
        }
        for lesson in found["lessons"].as_array().unwrap() {
            assert_eq!(lesson["runnable"], !lacks(&lesson["slug"]), "{found:#}");
        }
        assert!(who.run(&["doctor"]).ends_with(status).stdout.contains("✔ pivot-root"));
    });
}

#[test]
fn every_stage_is_explained_and_every_command_completed_and_in_the_manual() {
    as_user("explain, completions, man", |who| {
        let all = json(who, &["explain"]);
        for stage in all["stages"].as_array().unwrap() {
            let name = stage["stage"].as_str().unwrap();
            let text = who.run(&["explain", name]).succeeds();
            for part in ["isolates", "leaks", "since", "read", "source"] {
                assert!(text.contains(part), "{name}: no {part} in {text}");
            }
            assert!(std::path::Path::new(stage["source"].as_str().unwrap()).exists(), "{stage}");
        }
        for shell in ["bash", "zsh", "fish"] {
            let script = who.run(&["completions", shell]).succeeds();
            assert!(script.contains("lesson") && script.contains("matrix"), "{shell}");
        }
        assert!(who.run(&["man"]).succeeds().contains(".TH sandbox 1"));
    });
}

#[test]
fn the_help_of_a_command_begins_with_what_the_list_of_commands_says_of_it() {
    as_user("help", |who| {
        let unwrapped = |args: &[&str]| {
            let help = who.run(args).succeeds();
            help.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        let list = unwrapped(&["--help"]);
        for command in sandbox::cli::command().get_subcommands() {
            let about = command.get_about().unwrap().to_string();
            assert!(list.contains(&about), "{about:?} is not in {list}");
            let help = unwrapped(&[command.get_name(), "--help"]);
            assert!(help.starts_with(&about), "{help} does not begin with {about:?}");
        }
    });
}

#[test]
fn a_rootfs_is_made_once_listed_verified_and_removed() {
    everybody("rootfs commands", |who| {
        who.run(&["run", "--", "true"]).succeeds();
        assert!(who.run(&["rootfs", "list"]).succeeds().contains("busybox"));
        who.run(&["rootfs", "verify"]).succeeds();
        let bundle = who.home().join("bundle.tar.gz");
        who.run(&["rootfs", "bundle", bundle.to_str().unwrap()]).succeeds();
        who.run(&["rootfs", "import", bundle.to_str().unwrap(), "copy"]).succeeds();
        let shown = who.run(&["run", "--rootfs", "copy", "--", "ls", "/"]).succeeds();
        assert_eq!(shown, who.run(&["run", "--", "ls", "/"]).succeeds());
        who.run(&["rootfs", "remove", "copy"]).succeeds();
        assert!(!who.run(&["rootfs", "list"]).succeeds().contains("copy"));
    });
}
