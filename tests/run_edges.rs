//! `sandbox run` at its edges: who else is there, what is passed on, what must not be.

#![allow(clippy::unwrap_used)] // a test may panic

mod common;

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use common::{Ran, Who, as_root, as_user, everybody, wait_for};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Starts a sandbox in a process group of its own, and waits until its command runs.
fn started(who: &Who, name: &str, stages: &[&str]) -> Child {
    let args = [&["run", "--name", name], stages, &["--", "sleep", "6124"]].concat();
    let sandbox = who.sandbox(&args);
    // Who started the tests may have told everybody to ignore Ctrl-C.
    let mut env = who.command("/usr/bin/env");
    env.arg("--default-signal=INT,QUIT").arg(sandbox.get_program()).args(&args);
    env.process_group(0).stdout(Stdio::null()).stderr(Stdio::null());
    let child = env.spawn().unwrap();
    wait_for("the sandbox to run", || {
        who.run(&["ps", "--format", "json"]).succeeds().contains(&format!("\"{name}\""))
    });
    child
}

#[test]
fn an_interrupt_of_the_whole_group_ends_the_command_and_undoes() {
    everybody("interrupted group", |who| {
        for stages in [&["--level", "chroot"][..], &["--level", "namespaces"]] {
            for (signal, status) in [(Signal::SIGINT, 130), (Signal::SIGQUIT, 131)] {
                let name = format!("group-{}", who.name);
                let mut child = started(who, &name, stages);
                kill(Pid::from_raw(-i32::try_from(child.id()).unwrap()), signal).unwrap();
                let ended = child.wait().unwrap();
                assert_eq!(ended.code(), Some(status), "{} {stages:?} {signal}", who.name);
                who.assert_gone(&name);
            }
        }
    });
}

#[test]
fn a_command_in_a_file_that_is_no_directory_is_127_and_one_that_is_no_program_126() {
    everybody("ENOTDIR and ENOEXEC", |who| {
        let run = |program: &str| who.run(&["run", "--only", "uts", "--", program]);
        run("/etc/passwd/x").ends_with(127).complains(&["execve(", "ENOTDIR"]);
        let file = who.home().join("no-program");
        fs::write(&file, "\u{1}\u{2}\u{3}").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o755)).unwrap();
        let wrong = run(file.to_str().unwrap()).ends_with(126);
        wrong.complains(&["execve(", "ENOEXEC", "hint:", "not a program for this machine"]);
    });
}

#[test]
fn two_ways_to_change_the_root_are_refused_with_a_choice() {
    as_user("conflict", |who| {
        let args = ["run", "--only", "mnt,rootfs,chroot,pivot-root", "--", "true"];
        who.run(&args).ends_with(125).complains(&["hint: choose one", "--without chroot"]);
    });
}

#[test]
fn another_root_begins_with_a_fresh_environment_and_the_hosts_keeps_its_own() {
    everybody("environment", |who| {
        let shown = |stages: &[&str]| {
            let args = [&["run"], stages, &["--", "env"]].concat();
            let mut sandbox = who.sandbox(&args);
            Ran::of(sandbox.env("A_SECRET", "of the host"), args.join(" ")).succeeds()
        };
        assert!(shown(&["--only", "uts"]).contains("A_SECRET=of the host"));
        for level in ["chroot", "namespaces"] {
            assert!(!shown(&["--level", level]).contains("A_SECRET"), "{level}");
        }
    });
}

#[test]
fn a_network_of_ones_own_has_no_route_and_a_loopback_that_answers() {
    everybody("own network", |who| {
        let run = |command: &str| who.run(&["run", "--", "sh", "-c", command]).succeeds();
        assert_eq!(run("ip route"), "");
        assert!(run("ip -o link").contains("lo: <LOOPBACK,UP"));
        assert_eq!(run("ping -c 1 -W 5 127.0.0.1 > /dev/null && echo answers"), "answers\n");
    });
}

#[test]
fn no_descriptor_of_the_caller_reaches_a_pivoted_root() {
    everybody("descriptors", |who| {
        let listed = |stages: &str| {
            let sandbox = who.sandbox(&[]);
            let script = "exec 7</ 8</etc; exec \"$0\" run --level $1 -- ls -l /proc/self/fd";
            let mut sh = who.command("/bin/sh");
            sh.args(["-c", script]).arg(sandbox.get_program()).arg(stages);
            Ran::of(&mut sh, format!("descriptors: {stages}")).succeeds()
        };
        let is_open = |text: &str, fd: &str| text.contains(&format!(" {fd} -> "));
        assert!(is_open(&listed("chroot"), "7"), "chroot does not close what leads outside");
        let inside = listed("namespaces");
        assert!(!is_open(&inside, "7") && !is_open(&inside, "8"), "{inside}");
    });
}

#[test]
fn root_that_becomes_an_ordinary_user_leaves_its_groups_behind() {
    as_root("groups", |who| {
        let sandbox = who.sandbox(&[]);
        let mut setpriv = who.command("/usr/bin/setpriv");
        setpriv.args(["--groups", "4,6"]).arg(sandbox.get_program());
        setpriv.args(["run", "--only", "user", "--", "grep", "Groups", "/proc/self/status"]);
        let shown = Ran::of(&mut setpriv, "groups".to_owned()).succeeds();
        assert_eq!(shown.trim(), "Groups:");
    });
}

#[test]
fn who_joins_a_sandbox_of_root_has_given_up_as_much_as_those_in_it() {
    as_root("guard of exec", |who| {
        let name = "guarded-root";
        let mut child = started(who, name, &["--only", "uts"]);
        let shown = who.run(&["exec", name, "--", "grep", "CapBnd", "/proc/self/status"]);
        kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGTERM).unwrap();
        child.wait().unwrap();
        let shown = shown.succeeds();
        let mask = u64::from_str_radix(shown.split_whitespace().last().unwrap(), 16).unwrap();
        for (cap, bit) in [("time", 25), ("module", 16), ("rawio", 17), ("boot", 22), ("mknod", 27)]
        {
            assert_eq!(mask & (1 << bit), 0, "{cap} is still there");
        }
    });
}

/// Runs with `--step`, makes `steps` calls, and hands over what was asked last.
fn stepped<T>(who: &Who, name: &str, steps: usize, look: impl Fn(&str, &mut Child) -> T) -> T {
    let args = ["run", "--step", "--level", "chroot", "--name", name, "--", "echo", "ran"];
    let mut sandbox = who.sandbox(&args);
    sandbox.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = sandbox.spawn().unwrap();
    let mut errors = child.stderr.take().unwrap();
    let (mut seen, mut made) = (String::new(), 0);
    loop {
        let mut byte = [0];
        assert_eq!(errors.read(&mut byte).unwrap(), 1, "it ended early:\n{seen}");
        seen.push(char::from(byte[0]));
        if seen.ends_with("q stops: ") {
            if made == steps {
                break;
            }
            made += 1;
            child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
        }
    }
    let answer = look(&seen, &mut child);
    drop(child.stdin.take());
    child.wait().unwrap();
    answer
}

#[test]
fn the_journal_tells_of_a_directory_before_it_is_made() {
    everybody("journal first", |who| {
        let name = format!("journal-{}", who.name);
        let dir = who.state().join(&name);
        stepped(who, &name, 0, |asked, _| {
            assert!(asked.contains("mkdir("), "{asked}");
            let journal = fs::read_to_string(dir.join("journal")).unwrap();
            let root = dir.join("root");
            assert!(journal.contains(root.to_str().unwrap()), "not in the journal: {journal}");
            assert!(!root.exists(), "made before it was asked for");
        });
        who.assert_gone(&name);
    });
}

#[test]
fn the_child_holds_nothing_of_the_state() {
    everybody("descriptors of the state", |who| {
        let name = format!("closed-{}", who.name);
        stepped(who, &name, 5, |_, child| {
            let open = |pid: u32| {
                let entries = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
                let files = entries.filter_map(|entry| fs::read_link(entry.path()).ok());
                files.filter(|file| file.starts_with(who.state())).count()
            };
            let children = format!("/proc/{0}/task/{0}/children", child.id());
            let children = fs::read_to_string(children).unwrap();
            assert!(open(child.id()) >= 2, "the journal and the lock");
            assert_eq!(open(children.trim().parse().unwrap()), 0, "{}", who.name);
        });
    });
}

#[test]
fn stepping_stops_at_q_and_takes_everything_away() {
    everybody("q stops", |who| {
        for steps in [0, 1, 5] {
            let name = format!("stop-{}-{steps}", who.name);
            let (status, shown) = stepped(who, &name, steps, |_, child| {
                child.stdin.as_mut().unwrap().write_all(b"q\n").unwrap();
                let mut shown = String::new();
                child.stdout.take().unwrap().read_to_string(&mut shown).unwrap();
                (child.wait().unwrap().code(), shown)
            });
            assert_eq!((status, shown.as_str()), (Some(130), ""), "{} after {steps}", who.name);
            who.assert_gone(&name);
        }
    });
}

#[test]
fn a_state_directory_that_others_may_write_to_or_own_is_refused() {
    as_user("state of others", |who| {
        who.run(&["run", "--", "true"]).succeeds();
        let base = who.state();
        let refused = || {
            let run = who.run(&["run", "--", "true"]).ends_with(2);
            run.complains(&["is not a private directory", "hint:", "XDG_RUNTIME_DIR"]);
        };
        let mode = |mode| fs::set_permissions(&base, Permissions::from_mode(mode)).unwrap();
        mode(0o777);
        refused();
        mode(0o700);
        who.run(&["run", "--", "true"]).succeeds();
        if nix::unistd::geteuid().is_root() {
            mode(0o755);
            chown(&base, Some(0), Some(0)).unwrap();
            refused();
        }
    });
}

#[test]
fn the_state_of_a_user_is_nobody_elses_business() {
    as_user("modes of the state", |who| {
        let name = "private-user";
        let mut child = started(who, name, &[]);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        let modes = [who.state(), who.state().join(name)].map(|path| mode(&path));
        kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGTERM).unwrap();
        child.wait().unwrap();
        assert_eq!(modes, [0o700, 0o700]);
        who.assert_gone(name);
    });
}

#[test]
fn a_users_full_disk_is_an_error_that_leaves_nothing() {
    as_root("a user's full disk", |_| {
        as_user("full disk", |who| {
            let sandbox = who.sandbox(&[]);
            let script = "mount -t tmpfs -o size=4k,nr_inodes=2,mode=700,uid=$1,gid=$1 none $2 && \
                exec setpriv --reuid $1 --regid $1 --clear-groups --inh-caps=-all \
                sh -c 'touch $1/a; \"$0\" run -- true; echo $?; ls $1' \"$0\" \"$2\"";
            let mut unshare = unshare_of(who);
            unshare.args(["--mount", "sh", "-c", script]).arg(sandbox.get_program());
            unshare.arg(who.uid.to_string()).arg(who.home().join("run"));
            let ran = Ran::of(&mut unshare, "full".to_owned()).ends_with(0);
            assert_eq!(ran.stdout, "125\na\n", "{}", ran.stderr);
            assert!(ran.stderr.contains("No space left on device"), "{}", ran.stderr);
        });
    });
}

/// unshare(1) as the one who runs the tests, with the environment of `who`.
fn unshare_of(who: &Who) -> std::process::Command {
    let mut command = std::process::Command::new("/usr/bin/unshare");
    let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    command.env_clear().env("PATH", path).current_dir("/").stdin(Stdio::null());
    command.env("HOME", who.home()).env("XDG_RUNTIME_DIR", who.home().join("run"));
    command
}

#[test]
fn a_mount_point_that_is_no_text_is_in_nobodys_way() {
    as_root("a mount that is no text", |_| {
        everybody("a mount that is no text", |who| {
            who.run(&["rootfs", "fetch"]).succeeds();
            let sandbox = who.sandbox(&[]);
            // As a stick with a label in Latin-1.
            let script = "stick=$(printf '%s/stick-\\351' $2) && mkdir \"$stick\" && \
                mount -t tmpfs none \"$stick\" && exec setpriv --reuid $1 --regid $1 --clear-groups \
                sh -c '\"$0\" run --level union -- echo ran && \"$0\" run --level cgroups \
                --pids-limit 50 -- echo limited && \"$0\" doctor > /dev/null; \"$0\" clean' \"$0\"";
            let dir = who.home().join("run");
            let mut unshare = unshare_of(who);
            unshare.args(["--mount", "sh", "-c", script]).arg(sandbox.get_program());
            unshare.arg(who.uid.to_string()).arg(&dir);
            let ran = Ran::of(&mut unshare, "a stick".to_owned()).ends_with(0);
            assert_eq!(ran.stdout, "ran\nlimited\nnothing was left behind\n", "{}", ran.stderr);
        });
    });
}

#[test]
fn a_process_that_only_has_the_number_of_a_sandbox_is_not_killed() {
    everybody("a number that is another's by now", |who| {
        let name = format!("number-{}", who.name);
        let mut child = started(who, &name, &["--only", "uts"]);
        // The kernel tells in hundredths of a second when a process began.
        std::thread::sleep(Duration::from_millis(20));
        let mut other = who.command("/bin/sleep").arg("6125").spawn().unwrap();
        // As if the sandbox's process had ended, and this one had got its number.
        let label = who.state().join(&name).join("label.json");
        let text = fs::read_to_string(&label).unwrap();
        let pid = text.split("\"pid\":").nth(1).unwrap().split(',').next().unwrap().to_owned();
        fs::write(&label, text.replace(&pid, &other.id().to_string())).unwrap();
        who.run(&["kill", &name]).succeeds();
        assert_eq!(other.try_wait().unwrap(), None, "somebody else was killed");
        fs::write(&label, text).unwrap();
        who.run(&["kill", &name]).succeeds();
        assert_eq!(child.wait().unwrap().code(), Some(137));
        other.kill().unwrap();
        other.wait().unwrap();
    });
}

#[test]
fn a_directory_to_start_in_that_is_not_there_is_told_as_such() {
    everybody("no such directory", |who| {
        let ran = who.run(&["run", "--workdir", "/nowhere", "--", "true"]).ends_with(125);
        ran.complains(&["chdir(\"/nowhere\")", "stage command", "`--workdir DIR`"]);
    });
}
