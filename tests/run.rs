//! `sandbox run`: what the stages change for a command, and what they leave alone.

#![allow(clippy::unwrap_used)] // a test may panic

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::{Ran, Who, as_root, as_user, everybody, wait_for};

/// The stages that make a namespace, and their links in /proc/self/ns.
const NAMESPACES: [(&str, &str); 8] = [
    ("user", "user"),
    ("cgroup-ns", "cgroup"),
    ("mnt", "mnt"),
    ("uts", "uts"),
    ("ipc", "ipc"),
    ("net", "net"),
    ("time", "time"),
    ("pid", "pid"),
];

const LINKS: &str = "cd /proc/self/ns; for n in user cgroup mnt uts ipc net time pid; \
                     do readlink $n; done";

#[test]
fn chroot_alone_shows_what_chroot_shows() {
    as_root("chroot", |who| {
        let shown = who.run(&["run", "--only", "chroot", "--", "ls", "/"]).succeeds();
        let rootfs = who.home().join(".local/share/sandbox/rootfs/busybox/rootfs");
        let mut chroot = who.command("/usr/sbin/chroot");
        chroot.arg(&rootfs).args(["/bin/busybox", "ls", "/"]);
        assert_eq!(shown, Ran::of(&mut chroot, "chroot".to_owned()).succeeds());
        assert!(shown.contains("bin\ndev\netc\n"), "{shown}");
    });
}

#[test]
fn each_set_of_namespace_stages_changes_its_own_links_and_no_other() {
    everybody("all subsets of namespaces", |who| {
        let host = Ran::of(who.command("/bin/sh").args(["-c", LINKS]), "host".to_owned());
        let host: Vec<String> = host.succeeds().lines().map(str::to_owned).collect();
        assert_eq!(host.len(), 8);
        let mut tried = 0;
        for bits in 1..1_u32 << NAMESPACES.len() {
            let chosen: BTreeSet<&str> = (NAMESPACES.iter().enumerate())
                .filter(|(i, _)| bits & (1 << i) != 0)
                .map(|(_, (stage, _))| *stage)
                .collect();
            let refused = chosen.contains("pid") && !chosen.contains("mnt");
            // Not root? `user` joins by itself.
            if refused || (!who.is_root() && !chosen.contains("user")) {
                continue;
            }
            let only = chosen.iter().copied().collect::<Vec<_>>().join(",");
            let inside = who.run(&["run", "--only", &only, "--", "sh", "-c", LINKS]).succeeds();
            let inside: Vec<&str> = inside.lines().collect();
            for (i, (stage, link)) in NAMESPACES.iter().enumerate() {
                let own = inside[i] != host[i];
                assert_eq!(own, chosen.contains(stage), "{}: {only}: {link}", who.name);
            }
            tried += 1;
        }
        assert!(tried > 90, "{tried}");
    });
}

#[test]
fn the_settings_do_what_they_say() {
    everybody("settings", |who| {
        let run = |args: &[&str]| who.run(&[&["run"], args].concat()).succeeds();
        assert_eq!(run(&["--hostname", "box", "--", "hostname"]), "box\n");
        assert_eq!(run(&["--env", "A=b c", "--", "sh", "-c", "echo $A"]), "b c\n");
        assert_eq!(run(&["--workdir", "/etc", "--", "pwd"]), "/etc\n");
        let uptime = run(&["--only", "time", "--boottime", "8640000", "--", "cat", "/proc/uptime"]);
        assert!(uptime.split('.').next().unwrap().parse::<u64>().unwrap() > 8_640_000, "{uptime}");
        let processes = run(&["--init", "--", "ps", "-o", "pid,comm"]);
        assert!(processes.contains("    2 ps"), "{processes}");
        let tags = |kind: &str| {
            let tag = "grep -m 1 ' / ' /proc/self/mountinfo | grep -o -E 'shared|master' | sort";
            run(&["--only", "user,mnt", "--propagation", kind, "--", "sh", "-c", tag])
        };
        assert_eq!(tags("private"), "");
        assert!(tags("shared").contains("shared"));
    });
}

#[test]
fn subordinate_ids_are_mapped_for_who_has_some_and_others_are_told_how_to_get_them() {
    as_user("subordinate ids", |who| {
        let ran = who.run(&["run", "--map-auto", "--", "cat", "/proc/self/uid_map"]);
        let name = nix::unistd::User::from_uid(who.uid.into()).unwrap().map(|user| user.name);
        let given = fs::read_to_string("/etc/subuid").unwrap_or_default();
        let mine = |line: &str| {
            let owner = line.split(':').next().map(str::to_owned);
            owner == name || owner == Some(who.uid.to_string())
        };
        if given.lines().any(mine) {
            assert_eq!(ran.succeeds().lines().count(), 2);
        } else {
            let ran = ran.ends_with(125);
            ran.complains(&["no subordinate ids", "--add-subuids", "uidmap"]);
        }
    });
}

#[test]
fn a_sandbox_has_the_devices_and_the_proc_that_programs_expect() {
    everybody("devices", |who| {
        let run = |command: &str| who.run(&["run", "--", "sh", "-c", command]);
        let devices = "full mqueue null ptmx pts random shm tty urandom zero";
        assert_eq!(
            run(&format!("cd /dev; echo {devices} | xargs ls -d | xargs")).succeeds().trim(),
            devices
        );
        assert_eq!(run("echo lost > /dev/null; head -c 3 /dev/zero | wc -c").succeeds(), "3\n");
        assert_eq!(run("echo kept > /dev/shm/x; cat /dev/shm/x").succeeds(), "kept\n");
        let refused = run("echo 1 > /proc/sys/kernel/panic").ends_with(1);
        assert!(refused.stderr.contains("Read-only"), "{}", refused.stderr);
        assert_eq!(run("cat /proc/timer_list 2>/dev/null | wc -c").succeeds(), "0\n");
        assert!(run("ls /sys/class/net").succeeds().starts_with("lo"));
    });
}

#[test]
fn root_in_a_sandbox_has_given_up_what_no_namespace_holds() {
    as_root("guard", |who| {
        // There is no /proc after a bare chroot: ask for one of them.
        let args = ["run", "--only", "chroot", "--", "mknod", "/tmp/x", "c", "1", "3"];
        who.run(&args).ends_with(1).complains(&["mknod: /tmp/x: Operation not permitted"]);
        for args in [&["--level", "chroot"][..], &["--only", "uts"], &["--without", "user"]] {
            let show = ["--", "grep", "CapBnd", "/proc/self/status"];
            let args = [&["run"], args, &show].concat();
            let shown = who.run(&args).succeeds();
            let mask = u64::from_str_radix(shown.split_whitespace().last().unwrap(), 16).unwrap();
            let given_up = [
                ("time", 25),
                ("module", 16),
                ("rawio", 17),
                ("boot", 22),
                ("mknod", 27),
                ("dac_read_search", 2),
            ];
            for (cap, bit) in given_up {
                assert_eq!(mask & (1 << bit), 0, "{args:?}: {cap} is still there");
            }
        }
    });
}

#[test]
fn nice_is_inherited_and_the_kernel_lets_nobody_but_root_take_it_back() {
    let nice = |who: &Who, args: &[&str]| {
        who.run(&[&["run", "--only"], args, &["--", "sh", "-c", "nice; (nice)"]].concat())
    };
    everybody("nice", |who| {
        assert_eq!(nice(who, &["nice", "--nice", "5"]).succeeds(), "5\n5\n");
        assert_eq!(nice(who, &["nice"]).succeeds(), "19\n19\n");
        assert_eq!(nice(who, &["uts", "--nice", "7"]).succeeds(), "7\n7\n");
        let away = nice(who, &["uts", "--without", "nice", "--nice", "7"]).ends_with(2);
        away.complains(&["`--nice` is for the stage `nice`, which is not chosen"]);
        let less = nice(who, &["nice,user", "--nice", "-5"]);
        if who.is_root() {
            assert_eq!(less.succeeds(), "-5\n-5\n");
        } else {
            less.ends_with(125).complains(&["EACCES", "only the machine's root less"]);
        }
    });
}

#[test]
fn sigpipe_is_as_the_caller_had_it() {
    everybody("sigpipe", |who| {
        for args in [&["run"][..], &["run", "--init"], &["run", "--level", "union"]] {
            let args = [args, &["--", "grep", "SigIgn", "/proc/self/status"]].concat();
            for (option, bit) in [("--default-signal=PIPE", 0), ("--ignore-signal=PIPE", 1)] {
                let sandbox = who.sandbox(&args);
                let mut command = who.command("/usr/bin/env");
                command.arg(option).arg(sandbox.get_program()).args(sandbox.get_args());
                let printed = Ran::of(&mut command, format!("{option} {args:?}")).succeeds();
                let mask = printed.strip_prefix("SigIgn:\t").unwrap().trim_end();
                let mask = u64::from_str_radix(mask, 16).unwrap();
                assert_eq!(mask >> 12 & 1, bit, "{option} {args:?}: {printed}");
            }
        }
        let piped = who.run(&["run", "--", "sh", "-c", "yes | head -n 1"]);
        assert_eq!((piped.stdout.as_str(), piped.stderr.as_str()), ("y\n", ""));
    });
}

#[test]
fn input_output_and_fifty_megabytes_pass_through() {
    everybody("pipes", |who| {
        let args = ["run", "--", "sh", "-c", "wc -c; head -c 50000000 /dev/zero; echo >&2 said"];
        let mut sandbox = who
            .sandbox(&args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        sandbox.stdin.take().unwrap().write_all(b"12345").unwrap();
        let output = sandbox.wait_with_output().unwrap();
        assert!(output.stdout.starts_with(b"5\n"));
        assert_eq!(output.stdout.len(), 50_000_002);
        assert!(String::from_utf8_lossy(&output.stderr).ends_with("said\n"));
    });
}

/// Starts a sandbox and waits until its command runs.
fn started(who: &Who, name: &str, args: &[&str]) -> std::process::Child {
    let args = [&["run", "--name", name], args, &["--", "sleep", "6123"]].concat();
    let sandbox = who.sandbox(&args);
    // Who starts the tests in the background has these ignored, and so would the command.
    let mut command = who.command("/usr/bin/env");
    command.arg("--default-signal=INT,HUP").arg(sandbox.get_program()).args(sandbox.get_args());
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_for("the sandbox to run", || {
        who.run(&["ps", "--format", "json"]).succeeds().contains(&format!("\"{name}\""))
    });
    child
}

fn pid_of(who: &Who, name: &str) -> String {
    let found = who.run(&["inspect", name, "--format", "json"]).succeeds();
    let found: serde_json::Value = serde_json::from_str(&found).unwrap();
    found["pid"].to_string()
}

#[test]
fn a_signal_to_sandbox_ends_the_command_and_undoes() {
    everybody("signals", |who| {
        for (signal, init) in [("TERM", false), ("TERM", true), ("INT", false), ("HUP", false)] {
            let name = format!("signal-{}", who.name);
            let args: &[&str] = if init { &["--init"] } else { &[] };
            let mut child = started(who, &name, args);
            let command = pid_of(who, &name);
            let mut kill = who.command("/bin/kill");
            Ran::of(kill.args([&format!("-{signal}"), &child.id().to_string()]), "kill".into())
                .succeeds();
            let status = ends(&mut child, signal);
            assert!(status.code().unwrap_or(0) > 128, "{signal}: {status}");
            wait_for("the command to end", || !is_running(&command));
            who.assert_gone(&name);
        }
    });
}

fn ends(child: &mut std::process::Child, signal: &str) -> std::process::ExitStatus {
    let begin = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if begin.elapsed() > Duration::from_secs(20) {
            child.kill().unwrap();
            panic!("{signal} did not end it");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn is_running(pid: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.contains("6123"))
}

#[test]
fn when_sandbox_is_killed_its_command_dies_and_the_next_run_takes_the_rest_away() {
    everybody("parent killed", |who| {
        for next in [&["clean"][..], &["run", "--", "true"]] {
            let name = format!("orphan-{}", who.name);
            let mut child = started(who, &name, &[]);
            let command = pid_of(who, &name);
            child.kill().unwrap();
            child.wait().unwrap();
            wait_for("the command to die", || !is_running(&command));
            // As root another test may have swept it by now; a user's state is its own.
            let left = who.state().join(&name).exists();
            assert!(left || who.is_root(), "a kill leaves the state");
            who.run(next).succeeds();
            who.assert_gone(&name);
        }
    });
}

#[test]
fn a_dry_run_does_nothing_and_a_trace_shows_each_call() {
    everybody("dry run and trace", |who| {
        let dry = who.run(&["run", "--dry-run", "--name", "dry", "--", "touch", "/tmp/dry"]);
        let dry = dry.succeeds();
        assert!(dry.contains("pivot_root(\".\", \".\")"), "{dry}");
        assert!(dry.contains("execve(\"/bin/touch\""), "{dry}");
        who.assert_gone("dry");
        let traced = who.run(&["run", "--only", "user,uts", "--trace", "--", "true"]).ends_with(0);
        for call in [
            "fork() = 0",
            "unshare(CLONE_NEWUTS) = 0",
            "sethostname(\"sandbox\", 7) = 0",
            "execve(",
        ] {
            assert!(traced.stderr.contains(call), "no {call} in {}", traced.stderr);
        }
    });
}

#[test]
fn a_full_disk_under_the_state_is_an_error_that_leaves_nothing() {
    as_root("full disk", |who| {
        let program = who.sandbox(&[]);
        let script = "mkdir -p /run/sandbox && mount -t tmpfs -o size=4k,nr_inodes=4,mode=711 none /run/sandbox \
            && touch /run/sandbox/a /run/sandbox/b; \"$0\" run -- true; echo $?; ls /run/sandbox";
        let mut unshare = who.command("/usr/bin/unshare");
        unshare.args(["--mount", "sh", "-c", script]).arg(program.get_program());
        let ran = Ran::of(&mut unshare, "full".to_owned()).ends_with(0);
        assert_eq!(ran.stdout, "125\na\nb\n", "{}", ran.stderr);
        assert!(ran.stderr.contains("No space left on device"), "{}", ran.stderr);
    });
}
