//! `sandbox exec`: a command beside those that run in a sandbox, and as they do.

#![allow(clippy::unwrap_used)] // a test may panic

mod common;

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Child, Stdio};
use std::time::Duration;

use common::{Ran, Who, as_root, everybody, wait_for};

/// Does something while a sandbox of this name runs.
fn while_it_runs(who: &Who, name: &str, args: &[&str], act: impl FnOnce()) {
    let args = [&["run", "--name", name], args, &["--", "sleep", "6127"]].concat();
    let mut sandbox = who.sandbox(&args);
    let mut child = sandbox.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_for("the sandbox to run", || {
        who.run(&["ps", "--format", "json"]).succeeds().contains(&format!("\"{name}\""))
    });
    act();
    who.run(&["kill", name]).succeeds();
    child.wait().unwrap();
}

#[test]
fn the_limits_of_a_sandbox_hold_for_who_joins_it() {
    as_root("exec and limits", |who| {
        let name = "exec-limits";
        while_it_runs(who, name, &["--level", "cgroups", "--pids-limit", "8"], || {
            let forks = "for i in 1 2 3 4 5 6 7 8; do sleep 9 & done; echo all";
            let ran = who.run(&["exec", name, "sh", "-c", forks]);
            assert!(!ran.stdout.contains("all") && ran.stderr.contains("fork"), "{}", ran.stderr);
            let places =
                |command: &[&str]| who.run(&[command, &["cat", "/proc/self/cgroup"]].concat());
            let joined = places(&["exec", name]).succeeds();
            assert!(
                joined.lines().any(|line| line.contains("pids") && line.ends_with(":/")),
                "{joined}"
            );
        });
    });
}

#[test]
fn where_limits_are_a_processs_own_who_joins_gets_them_too() {
    everybody("exec and rlimits", |who| {
        let name = format!("exec-rlimits-{}", who.name);
        let args = ["--with", "rlimits", "--memory", "300m", "--pids-limit", "900"];
        while_it_runs(who, &name, &args, || {
            let look = ["exec", &name, "grep", "-E", "address|processes", "/proc/self/limits"];
            let limits = who.run(&look).succeeds();
            let second = |line: &str| line.split_whitespace().rev().nth(1).unwrap().to_owned();
            let hard: Vec<String> = limits.lines().map(second).collect();
            assert_eq!(hard, ["900", "314572800"], "{limits}");
        });
    });
}

#[test]
fn the_keys_of_who_joins_a_sandbox_stay_outside() {
    everybody("exec and keys", |who| {
        let name = format!("exec-keys-{}", who.name);
        while_it_runs(who, &name, &[], || {
            let calls = who.run(&["exec", "--trace", &name, "true"]).ends_with(0).stderr;
            assert!(calls.contains("keyctl(KEYCTL_JOIN_SESSION_KEYRING, NULL) = 0"), "{calls}");
        });
    });
}

#[test]
fn who_joins_a_paused_sandbox_waits_until_it_goes_on() {
    as_root("exec and pause", |who| {
        let name = "exec-pause";
        while_it_runs(who, name, &["--level", "cgroups"], || {
            who.run(&["pause", name]).succeeds();
            let mut joins: Child = who.sandbox(&["exec", name, "true"]).spawn().unwrap();
            std::thread::sleep(Duration::from_millis(700));
            let early = joins.try_wait().unwrap();
            who.run(&["resume", name]).succeeds();
            assert_eq!(early, None, "it ran in a paused sandbox");
            assert!(joins.wait().unwrap().success());
        });
    });
}

#[test]
fn what_the_caller_has_open_stays_outside_of_the_sandbox() {
    everybody("exec and descriptors", |who| {
        let name = format!("exec-open-{}", who.name);
        while_it_runs(who, &name, &[], || {
            let sandbox = who.sandbox(&["exec", &name, "ls", "/proc/self/fd"]);
            let mut shell = who.command("/bin/bash");
            shell.args(["-c", "exec 7</ 63</etc; exec \"$0\" \"$@\""]);
            shell.arg(sandbox.get_program()).args(sandbox.get_args());
            let open = Ran::of(&mut shell, "exec with descriptors".to_owned()).succeeds();
            // The fourth is the directory that ls reads.
            assert_eq!(open.split_whitespace().collect::<Vec<_>>(), ["0", "1", "2", "3"]);
        });
    });
}

#[test]
fn who_joins_a_sandbox_leaves_the_groups_of_the_callers_behind() {
    as_root("exec and groups", |who| {
        let name = "exec-groups";
        while_it_runs(who, name, &[], || {
            let mut sandbox = who.sandbox(&["exec", name, "grep", "^Groups", "/proc/self/status"]);
            // SAFETY: setgroups(2) is one system call.
            #[expect(unsafe_code)]
            unsafe {
                sandbox.pre_exec(|| {
                    let groups = [4, 27, 42].map(nix::unistd::Gid::from_raw);
                    nix::unistd::setgroups(&groups).map_err(Into::into)
                });
            }
            let groups = Ran::of(&mut sandbox, "groups".to_owned()).succeeds();
            assert_eq!(groups.trim_end(), "Groups:");
        });
    });
}

#[test]
fn a_command_joins_with_the_directory_and_the_environment_of_the_sandbox() {
    everybody("exec, directory and environment", |who| {
        let name = format!("exec-env-{}", who.name);
        for args in [&[][..], &["--init"]] {
            let args = [args, &["--workdir", "/etc", "--env", "COLOUR=deep blue"]].concat();
            while_it_runs(who, &name, &args, || {
                let exec = |command: &[&str]| {
                    let mut sandbox = who.sandbox(&[&["exec", &name], command].concat());
                    Ran::of(sandbox.env("SECRET", "x").env("TERM", "dumb"), name.clone()).succeeds()
                };
                assert_eq!(exec(&["pwd"]), "/etc\n");
                let variables = exec(&["env"]);
                assert!(variables.contains("COLOUR=deep blue\n"), "{variables}");
                assert!(variables.contains("TERM=dumb\n"), "{variables}");
                assert!(
                    !variables.contains("SECRET") && !variables.contains("SANDBOX"),
                    "{variables}"
                );
            });
        }
    });
}

#[test]
fn what_a_process_says_about_itself_is_read_up_to_a_limit() {
    everybody("exec, large", |who| {
        let mut command = who.command("/bin/sh");
        let large = "x".repeat(100_000);
        // With the usual stack no process starts with this much.
        command.args(["-c", "ulimit -s 65536; exec env $(seq -f v%g=$large 40) sleep 6128"]);
        let mut sleep = command.env("large", &large).spawn().unwrap();
        let pid = sleep.id().to_string();
        wait_for("the command", || {
            fs::read(format!("/proc/{pid}/comm")).is_ok_and(|name| name == b"sleep\n")
        });
        let exec = who.run(&["exec", "--dry-run", &pid, "true"]);
        exec.ends_with(125).complains(&["an environment of more than 2048 KiB"]);
        sleep.kill().unwrap();
        sleep.wait().unwrap();
        let mut command = who.command("/bin/sh");
        command.args(["-c", "sleep 6128; :", &large, &large, &large]).process_group(0);
        let mut sh = command.spawn().unwrap();
        let inspected = who.run(&["inspect", &sh.id().to_string()]).succeeds();
        let group = nix::unistd::Pid::from_raw(sh.id().try_into().unwrap());
        nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL).unwrap();
        sh.wait().unwrap();
        assert!(inspected.contains("… (longer than 128 KiB)") && inspected.len() < 200_000);
    });
}

#[test]
fn who_joins_a_sandbox_runs_from_a_copy_that_nobody_can_write_to() {
    everybody("exec, sealed", |who| {
        let name = format!("exec-seal-{}", who.name);
        while_it_runs(who, &name, &[], || {
            let mut joins = who.sandbox(&["exec", &name, "sleep", "6128"]).spawn().unwrap();
            let file = || fs::read_link(format!("/proc/{}/exe", joins.id())).unwrap();
            wait_for("a sealed copy", || file().to_string_lossy().contains("memfd:sandbox"));
            joins.kill().unwrap();
            joins.wait().unwrap();
        });
    });
}
