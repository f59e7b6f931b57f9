//! Signals, and processes that end before others: the command hears of it, and nobody is left.

#![allow(clippy::unwrap_used)] // a test may panic

mod common;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::{Ran, Who, everybody, has, wait_for};

/// All but those that nobody can catch, that tell a process of its own faults, and that a shell keeps.
const SIGNALS: &[i32] =
    &[1, 2, 3, 6, 10, 12, 14, 15, 16, 18, 23, 24, 26, 27, 28, 29, 30, 34, 35, 50, 64];

const WAYS: &[&[&str]] = &[&[], &["--init"], &["--only", "uts"], &["--level", "union", "--init"]];

fn send(pid: u32, signal: i32) {
    let kill = Command::new("/bin/kill").args([format!("-{signal}"), pid.to_string()]).status();
    assert!(kill.unwrap().success());
}

/// The same command, with env(1) in front, which changes what it inherits.
fn with(who: &Who, options: &[&str], args: &[&str]) -> Command {
    let sandbox = who.sandbox(args);
    let mut command = who.command("/usr/bin/env");
    command.args(options).arg(sandbox.get_program()).args(sandbox.get_args());
    command
}

#[test]
fn every_signal_that_is_sent_reaches_the_command_and_its_answer_counts() {
    everybody("every signal", |who| {
        for args in WAYS {
            let all = SIGNALS.iter().map(i32::to_string).collect::<Vec<_>>().join(" ");
            let script = format!(
                "for s in {all}; do trap \"echo got $s\" $s; done; trap 'exit 7' USR2; \
                 echo ready; while :; do sleep 0.02; done"
            );
            let args = [&["run"], *args, &["--", "sh", "-c", &script]].concat();
            let mut command = with(who, &["--default-signal"], &args);
            let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
            let mut next = || lines.next().unwrap_or_else(|| panic!("{args:?} ended")).unwrap();
            assert_eq!(next(), "ready");
            for signal in SIGNALS.iter().filter(|signal| **signal != 12) {
                send(child.id(), *signal);
                assert_eq!(next(), format!("got {signal}"), "{}: {args:?}", who.name);
            }
            send(child.id(), 12);
            assert_eq!(child.wait().unwrap().code(), Some(7), "{}: {args:?}", who.name);
        }
    });
}

#[test]
fn a_signal_that_the_command_does_not_expect_ends_it_as_elsewhere_and_nothing_is_left() {
    everybody("unexpected signals", |who| {
        for (args, signal) in WAYS.iter().zip([10, 14, 15, 40]) {
            let name = format!("unexpected-{}-{signal}", who.name);
            let args = [&["run", "--name", &name], *args, &["--", "sleep", "6129"]].concat();
            let mut command = with(who, &["--default-signal"], &args);
            let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            wait_for("the sandbox to run", || {
                who.run(&["ps", "--format", "json"]).succeeds().contains(&format!("\"{name}\""))
            });
            send(child.id(), signal);
            assert_eq!(child.wait().unwrap().code(), Some(128 + signal), "{args:?}");
            who.assert_gone(&name);
        }
    });
}

#[test]
fn a_stopped_sandbox_goes_on_when_it_is_told_to() {
    everybody("stop and go on", |who| {
        let args = ["run", "--only", "uts", "--", "sleep", "1"];
        // In a group of its own, with us in another one: where nobody minds a job, none stops.
        let mut sandbox = with(who, &["--default-signal"], &args);
        let mut child = sandbox.process_group(0).spawn().unwrap();
        let state = |child: &Child| {
            let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
            stat.rsplit_once(") ").unwrap().1.chars().next()
        };
        std::thread::sleep(Duration::from_millis(300));
        send(child.id(), 20);
        wait_for("the stop", || state(&child) == Some('T'));
        std::thread::sleep(Duration::from_secs(1));
        assert_eq!(child.try_wait().unwrap(), None);
        send(child.id(), 18);
        assert_eq!(child.wait().unwrap().code(), Some(0));
    });
}

#[test]
fn what_the_caller_ignores_and_blocks_the_command_does_too() {
    everybody("dispositions", |who| {
        for args in WAYS {
            let show = ["--", "grep", "-E", "SigIgn|SigBlk", "/proc/self/status"];
            let args = [&["run"], *args, &show].concat();
            for options in [
                &["--default-signal"][..],
                &["--default-signal", "--ignore-signal=HUP,INT,TERM,USR1,CHLD,PIPE,XFSZ"],
                &["--default-signal", "--ignore-signal=CHLD", "--block-signal=USR2,TERM"],
            ] {
                let mut outside = who.command("/usr/bin/env");
                let outside = outside.args(options).args(["grep", "-E", "SigIgn|SigBlk"]);
                let outside =
                    Ran::of(outside.arg("/proc/self/status"), "outside".into()).succeeds();
                let inside = Ran::of(&mut with(who, options, &args), "inside".into()).succeeds();
                assert_eq!(inside, outside, "{}: {options:?} {args:?}", who.name);
            }
        }
    });
}

#[test]
fn the_status_arrives_where_the_caller_ignores_the_end_of_children() {
    everybody("SIGCHLD is ignored", |who| {
        for args in WAYS {
            let args = [&["run"], *args, &["--", "sh", "-c", "exit 3"]].concat();
            let mut command = with(who, &["--ignore-signal=CHLD"], &args);
            Ran::of(&mut command, format!("{args:?}")).ends_with(3);
        }
    });
}

/// The processes with this word in their command line.
fn with_word(word: &str) -> Vec<u32> {
    let pids = fs::read_dir("/proc").unwrap().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let has = |pid: &u32| {
        let words = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        !words.contains("strace") && words.split('\0').any(|other| other == word)
    };
    pids.filter(has).collect()
}

/// strace(1) makes the time between a fork and its prctl(2) long enough to kill somebody in it.
#[test]
fn whoever_dies_before_a_child_has_asked_to_be_told_leaves_no_orphan() {
    if !has("orphans", "strace") {
        return;
    }
    everybody("orphans", |who| {
        who.run(&["rootfs", "fetch"]).succeeds();
        // How many processes there are by then, which prctl(2) of each is slow, and who is killed.
        for (processes, when, victim) in [(2, 1, 0), (3, 1, 0), (3, 1, 1), (2, 3, 0)] {
            let word = format!(
                "{}",
                7_000_000 + u32::from(!who.is_root()) * 100 + processes * 10 + when * 3 + victim
            );
            let args = ["run", "--only", "mnt,user,pid", "--", "sleep", &word];
            let sandbox = who.sandbox(&args);
            let mut strace = who.command("/usr/bin/strace");
            strace.args(["-f", "-o", "/dev/null", "-e", "trace=prctl", "-e"]);
            strace.arg(format!("inject=prctl:delay_enter=1000000:when={when}"));
            strace.arg(sandbox.get_program()).args(args);
            let mut strace = strace.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            let enough = || with_word(&word).len() as u32 >= processes;
            wait_for(&format!("process {processes}"), enough);
            let mut all = with_word(&word);
            all.sort_unstable();
            std::thread::sleep(Duration::from_millis(if when == 3 { 400 } else { 100 }));
            send(all[victim as usize], 9);
            std::thread::sleep(Duration::from_millis(2500));
            let left = with_word(&word);
            left.iter().for_each(|pid| send(*pid, 9));
            assert_eq!(left, [0; 0], "{}: {processes} processes, {when}", who.name);
            strace.wait().unwrap();
            who.run(&["clean"]).succeeds();
        }
    });
}
