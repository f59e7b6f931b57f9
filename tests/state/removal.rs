//! What is hard to take away, and what becomes of the living meanwhile.

use std::fs;
use std::os::unix::fs::chown;
use std::process::Stdio;
use std::time::Duration;

use crate::common::{Ran, Who, as_root, has};
use crate::{everybody, layers, leave, make_dir, names, started, wait_for};

/// Runs a command of the shell, as this one, with `$0` as `sandbox`.
fn shell(who: &Who, script: &str) -> Ran {
    let sandbox = who.sandbox(&[]);
    let mut sh = who.command("/bin/sh");
    sh.args(["-c", script]).arg(sandbox.get_program());
    Ran::of(&mut sh, script.to_owned())
}

#[test]
fn deep_nests_and_closed_directories_go_with_their_sandbox() {
    everybody("deep nests", |who| {
        who.run(&["rootfs", "fetch"]).succeeds();
        let deep = "i=0; while [ $i -lt 1500 ]; do mkdir d && cd d || exit 1; i=$((i+1)); done";
        for storage in ["overlay", "vfs"] {
            let closed = "mkdir -p /tmp/c/d && touch /tmp/c/d/f && chmod 000 /tmp/c/d /tmp/c";
            let run = format!(
                "ulimit -n 1024; \"$0\" run --level union --storage {storage} -- \
                 sh -c 'cd /tmp && {deep}; {closed}'"
            );
            shell(who, &run).ends_with(0);
            assert_eq!(names(&layers(who)), Vec::<String>::new(), "{storage}");
        }
        let keep = format!("\"$0\" run --level union --keep deep -- sh -c 'cd /tmp && {deep}'");
        shell(who, &format!("ulimit -n 1024; {keep} && \"$0\" layers deep --remove")).ends_with(0);
        assert_eq!(names(&layers(who)), Vec::<String>::new());
    });
}

#[test]
fn what_a_dead_sandbox_left_and_cannot_be_taken_away_is_in_nobodys_way() {
    as_root("what will not go", |_| {
        everybody("what will not go", |who| {
            who.run(&["rootfs", "fetch"]).succeeds();
            let mut child = started(who, "stuck", &["--level", "chroot"], &["sleep", "6130"]);
            child.kill().unwrap();
            child.wait().unwrap();
            // On the place for its root lies what no removal goes through.
            let sandbox = who.sandbox(&[]);
            let script = "mount -t tmpfs none $2/stuck/root && touch $2/stuck/root/file && \
                exec setpriv --reuid $1 --regid $1 --clear-groups sh -c '\
                \"$0\" run --only uts -- echo living 2>&1; \
                \"$0\" lesson chroot.break-out --no-pause > /dev/null 2>&1; echo lesson $?; \
                \"$0\" clean > /dev/null 2>&1; echo clean $?' \"$0\"";
            let mut unshare = std::process::Command::new("/usr/bin/unshare");
            unshare.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").current_dir("/");
            unshare.env("HOME", who.home()).env("XDG_RUNTIME_DIR", who.home().join("run"));
            unshare.args(["--mount", "sh", "-c", script]).arg(sandbox.get_program());
            unshare.arg(who.uid.to_string()).arg(who.state()).stdin(Stdio::null());
            let ran = Ran::of(&mut unshare, "stuck".to_owned()).ends_with(0).stdout;
            assert_eq!(ran.matches("note: what is left of stuck could not be").count(), 1, "{ran}");
            assert!(ran.ends_with("living\nlesson 0\nclean 125\n"), "{ran}");
            assert_eq!(who.run(&["clean"]).succeeds().matches("stuck").count(), 1);
        });
    });
}

#[test]
fn one_that_stays_keeps_no_other_dead_one_from_going() {
    as_root("one stays", |_| {
        everybody("one stays", |who| {
            for dir in [".local", ".local/share", ".local/share/sandbox"] {
                make_dir(who, &who.home().join(dir));
            }
            make_dir(who, &layers(who));
            let (run, gone) = (layers(who).join("run-b-stays"), who.state().join("b-stays/root"));
            make_dir(who, &run);
            make_dir(who, &run.join("upper"));
            let journal = format!(
                "{{\"rmdir\":\"{}\"}}\n{{\"tree\":\"{}\"}}\n",
                gone.display(),
                run.display()
            );
            ["a-goes", "c-goes"].iter().for_each(|name| leave(who, name, ""));
            leave(who, "b-stays", &journal);
            make_dir(who, &gone);
            // A mount for root, whom no owner stops; for the user a file of somebody else's.
            fs::write(run.join("upper/file"), "").unwrap();
            chown(run.join("upper"), Some(0), Some(0)).unwrap();
            let busy = who.is_root().then(|| {
                let mount = ["-t", "tmpfs", "none", run.to_str().unwrap()];
                assert!(
                    std::process::Command::new("mount").args(mount).status().unwrap().success()
                );
            });
            let clean = who.run(&["clean", "--format", "json"]).ends_with(125);
            let clean: serde_json::Value = serde_json::from_str(&clean.stdout).unwrap();
            assert_eq!(clean["removed"], serde_json::json!(["a-goes", "c-goes"]));
            assert_eq!(clean["stayed"][0]["name"], "b-stays", "{clean}");
            assert!(!gone.exists(), "what came after it in the journal stays too");
            if busy.is_some() {
                std::process::Command::new("umount").arg(&run).status().unwrap();
            }
            chown(run.join("upper"), Some(who.uid), None).unwrap();
            assert!(who.run(&["clean"]).succeeds().contains("b-stays"));
            assert!(!run.exists());
        });
    });
}

#[test]
fn however_little_room_there_is_for_the_state_it_runs_or_says_so_and_leaves_nothing() {
    as_root("little room", |_| {
        everybody("little room", |who| {
            who.run(&["rootfs", "fetch"]).succeeds();
            let sandbox = who.sandbox(&[]);
            make_dir(who, &who.state());
            let script = "for room in 1:1k 2:4k 3:4k 4:4k 5:4k 6:4k 7:4k 5:8k 6:8k 7:8k 8:64k; do \
                mount -t tmpfs -o size=${room#*:},nr_inodes=${room%:*},mode=700,uid=$1,gid=$1 none $2; \
                setpriv --reuid $1 --regid $1 --clear-groups sh -c \
                '\"$0\" run --level chroot -- true 2>$2/../said; rc=$?; \
                if [ $rc = 125 ]; then grep -q \"No space left\\|ENOSPC\" $2/../said || cat $2/../said; fi; \
                echo $rc; ls -A $2' \"$0\" $1 $2; umount $2; done";
            let mut unshare = std::process::Command::new("/usr/bin/unshare");
            unshare.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").current_dir("/");
            unshare.env("HOME", who.home()).env("XDG_RUNTIME_DIR", who.home().join("run"));
            unshare.args(["--mount", "sh", "-c", script]).arg(sandbox.get_program());
            unshare.arg(who.uid.to_string()).arg(who.state()).stdin(Stdio::null());
            let ran = Ran::of(&mut unshare, "little room".to_owned()).ends_with(0);
            let lines: Vec<&str> = ran.stdout.lines().collect();
            assert_eq!(lines.len(), 11, "{}", ran.stdout);
            assert!(lines.iter().all(|line| ["0", "125"].contains(line)), "{}", ran.stdout);
            assert_eq!((lines[0], lines[10]), ("125", "0"), "{}", ran.stdout);
        });
    });
}

/// Forgets that it is to die with its parent, and ends by no signal that can be ignored.
const STAYS: &str =
    "syscall(157, 1, 0); $SIG{$_} = 'IGNORE' for qw(INT TERM HUP QUIT); sleep 61291";

/// How many processes it is.
fn staying() -> usize {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let is_one = |entry: &fs::DirEntry| {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        line.starts_with(b"perl\0") && line.windows(5).any(|part| part == b"61291")
    };
    entries.filter(is_one).count()
}

#[test]
fn a_command_that_forgets_its_parent_ends_with_its_sandbox() {
    let test = "forgetting the parent";
    if !cfg!(target_arch = "x86_64") || !has(test, "perl") {
        return;
    }
    everybody(test, |who| {
        for init in [&[][..], &["--with", "init"]] {
            let stages = [&["--only", "user,mnt,pid"][..], init].concat();
            let mut child = started(who, "stays", &stages, &["perl", "-e", STAYS]);
            wait_for("the command runs", || staying() > 0);
            std::thread::sleep(Duration::from_millis(300)); // it has forgotten by now
            child.kill().unwrap();
            child.wait().unwrap();
            who.run(&["clean"]).succeeds();
            wait_for("the command has ended", || staying() == 0);
        }
        let compared = format!("perl -e '{}'", STAYS.replace('\'', "\""));
        let _ = who.run(&[
            "compare",
            "host+user+mnt",
            "host+user+mnt+pid",
            "--",
            "sh",
            "-c",
            &compared,
        ]);
        wait_for("what took too long has ended", || staying() == 0);
    });
}
