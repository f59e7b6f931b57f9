//! State that was prepared by somebody else.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::Command;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::common::{Ran, Who, as_root, as_user};
use crate::{everybody, give, layers, leave, make_dir, names};

/// Every way in that looks at the state of others.
const DOORS: &[&[&str]] = &[
    &["ps"],
    &["stats", "--no-stream"],
    &["stats", "--no-stream", "web"],
    &["inspect", "web"],
    &["exec", "web", "--", "true"],
    &["pause", "web"],
    &["resume", "web"],
    &["update", "web", "--memory", "64m"],
    &["kill", "web"],
    &["kill", "--signal", "TERM", "web"],
    &["clean"],
    &["clean", "--dry-run"],
    &["run", "--only", "uts", "--", "true"],
    &["shell", "--only", "uts"],
    &["lesson", "chroot.break-out", "--no-pause"],
];

/// A directory that says of itself what the state of a sandbox says, of this process.
fn prepare(dir: &Path, pid: u32) -> File {
    let (web, cgroup) = (dir.join("web"), dir.join("cgroup"));
    fs::create_dir_all(&web).unwrap();
    fs::create_dir_all(&cgroup).unwrap();
    let started = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let started = started.rsplit_once(") ").unwrap().1.split(' ').nth(19).unwrap().to_owned();
    let label = format!(
        "{{\"stages\":[],\"command\":[\"x\"],\"pid\":{pid},\"started\":{started},\"cgroups\":[\"{}\"]}}",
        cgroup.display()
    );
    fs::write(web.join("label.json"), label).unwrap();
    for file in ["cgroup.kill", "freezer.state", "cgroup.freeze", "memory.limit_in_bytes"] {
        fs::write(cgroup.join(file), "precious").unwrap();
        fs::set_permissions(cgroup.join(file), Permissions::from_mode(0o666)).unwrap();
    }
    fs::write(cgroup.join("cgroup.procs"), format!("{pid}\n")).unwrap();
    let lock = File::create(web.join("lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    lock
}

#[track_caller]
fn assert_precious(dir: &Path, what: &str) {
    for file in ["cgroup.kill", "freezer.state", "cgroup.freeze", "memory.limit_in_bytes"] {
        let text = fs::read_to_string(dir.join("cgroup").join(file)).unwrap();
        assert_eq!(text, "precious", "{what}: {file}");
    }
}

#[test]
fn a_state_directory_that_somebody_else_prepared_is_believed_at_no_door() {
    as_root("the state of others", |_| {
        as_user("the state of others", |who| {
            who.run(&["rootfs", "fetch"]).succeeds();
            let base = who.home().join("shared/sandbox");
            fs::create_dir_all(&base).unwrap();
            let mut victim = who.command("/bin/sleep").arg("6126").spawn().unwrap();
            let _lock = prepare(&base, victim.id());
            let hers = who.uid + 1;
            for path in [base.clone(), base.join("web"), base.join("cgroup")] {
                chown(&path, Some(hers), Some(hers)).unwrap();
                fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
            }
            chown(base.parent().unwrap(), Some(who.uid), Some(who.uid)).unwrap();
            let via_link = who.home().join("linked");
            fs::create_dir(&via_link).unwrap();
            chown(&via_link, Some(who.uid), Some(who.uid)).unwrap();
            symlink(&base, via_link.join("sandbox")).unwrap();
            for (runtime, words) in
                [(base.parent().unwrap(), "belongs to"), (&via_link, "is no directory")]
            {
                for door in DOORS {
                    let mut sandbox = who.sandbox(door);
                    let ran = Ran::of(sandbox.env("XDG_RUNTIME_DIR", runtime), door.join(" "));
                    let ran = ran.ends_with(2);
                    ran.complains(&[
                        "is not a private directory",
                        words,
                        "hint:",
                        "XDG_RUNTIME_DIR",
                    ]);
                    assert_precious(&base, &door.join(" "));
                    assert_eq!(victim.try_wait().unwrap(), None, "{door:?}");
                }
            }
            victim.kill().unwrap();
            victim.wait().unwrap();
        });
    });
}

#[test]
fn of_a_label_only_cgroups_that_are_some_and_are_the_sandboxes_are_believed() {
    everybody("the cgroups of a label", |who| {
        make_dir(who, &who.state());
        let mut victim = Command::new("/bin/sleep").arg("6126").spawn().unwrap();
        let lock = prepare(&who.state(), victim.id());
        // As if it had come from within: all of it belongs to the right one.
        let chown = |path: &Path| give(who, path);
        let cgroup = who.state().join("cgroup");
        [who.state().join("web"), cgroup.clone()].iter().for_each(|dir| {
            chown(dir);
            names(dir).iter().for_each(|name| chown(&dir.join(name)));
            fs::set_permissions(dir, Permissions::from_mode(0o755)).unwrap();
        });
        for door in [&["pause", "web"][..], &["update", "web", "--memory", "64m"]] {
            who.run(door).ends_with(125).complains(&["without a cgroup of its own"]);
        }
        assert_precious(&who.state(), "a label");
        drop(lock);
        victim.kill().unwrap();
        victim.wait().unwrap();
        fs::remove_dir_all(cgroup).unwrap();
        fs::remove_dir_all(who.state().join("web")).unwrap();
    });
}

#[test]
fn what_is_no_plain_file_and_no_directory_of_ones_own_is_nobodys_sandbox_and_said_to_stay() {
    everybody("strange kinds", |who| {
        who.run(&["rootfs", "fetch"]).succeeds();
        for file in ["lock", "journal"] {
            leave(who, "fifo", "");
            let path = who.state().join("fifo").join(file);
            fs::remove_file(&path).unwrap();
            mkfifo(&path, Mode::S_IRWXU).unwrap();
            give(who, &path);
            who.run(&["ps"]).succeeds();
            let run = who.run(&["run", "--only", "uts", "--", "echo", "ran"]);
            assert!(run.said().contains("note: what is left of fifo"), "{}", run.stderr);
            assert_eq!(run.ends_with(0).stdout, "ran\n");
            who.run(&["clean"]).ends_with(125).complains(&["fifo", "no plain file of yours"]);
            fs::remove_file(&path).unwrap();
            fs::write(&path, "").unwrap();
            give(who, &path);
            who.run(&["clean"]).succeeds();
        }
        leave(who, "linked", "");
        let (journal, others) = (who.state().join("linked/journal"), who.home().join("others"));
        fs::write(&others, format!("{{\"unlink\":\"{}\"}}\n", others.display())).unwrap();
        fs::remove_file(&journal).unwrap();
        symlink(&others, &journal).unwrap();
        who.run(&["clean"]).ends_with(125).complains(&["linked", "no plain file of yours"]);
        assert!(others.exists());
        fs::remove_dir_all(who.state().join("linked")).unwrap();
        if nix::unistd::geteuid().is_root() {
            leave(who, "theirs", "");
            chown(who.state().join("theirs"), Some(who.uid + 1), None).unwrap();
            let clean = who.run(&["clean", "--format", "json"]).ends_with(125);
            let clean: serde_json::Value = serde_json::from_str(&clean.stdout).unwrap();
            assert_eq!(clean["stayed"][0]["name"], "theirs", "{clean}");
            fs::remove_dir_all(who.state().join("theirs")).unwrap();
        }
        // Of others altogether, and so not ours to speak of.
        fs::write(who.state().join("a file"), "").unwrap();
        symlink(who.home(), who.state().join("link")).unwrap();
        assert_eq!(who.run(&["clean"]).succeeds(), "nothing was left behind\n");
        fs::remove_file(who.state().join("a file")).unwrap();
        fs::remove_file(who.state().join("link")).unwrap();
    });
}

/// Journals that no sandbox writes, with `{}` for a directory that is not a sandbox's.
const FORGED: &[&str] = &[
    r#"{"tree":"{}/tree"}"#,
    r#"{"tree":"{}/run-forged"}"#,
    r#"{"tree":"{}/run-forged/../tree"}"#,
    r#"{"tree":"{layers}/kept-precious"}"#,
    r#"{"tree":"{layers}/run-other"}"#,
    r#"{"tree":"/"}"#,
    r#"{"rmdir":"{}/empty"}"#,
    r#"{"rmdir":"{state}/forged/../other"}"#,
    r#"{"unlink":"{}/file"}"#,
    r#"{"unlink":"{}/.disk-other"}"#,
    r#"{"cgroup":"{}/sandbox-forged"}"#,
    r#"{"cgroup":"/sys/fs/cgroup"}"#,
    r#"{"burn":"{}/file"}"#,
    "nothing at all",
    "nothing\u{1b}[2J at all",
];

fn precious(who: &Who, dir: &Path) {
    for path in ["tree", "run-forged", "sandbox-forged", "empty"] {
        fs::create_dir_all(dir.join(path)).unwrap();
    }
    for path in
        ["tree/file", "run-forged/file", "sandbox-forged/cgroup.kill", "file", ".disk-other"]
    {
        fs::write(dir.join(path), "precious").unwrap();
        give(who, &dir.join(path));
    }
    for path in ["tree", "run-forged", "sandbox-forged", "empty", ""] {
        give(who, &dir.join(path));
    }
    for path in [".local", ".local/share", ".local/share/sandbox"] {
        make_dir(who, &who.home().join(path));
    }
    make_dir(who, &layers(who));
    for path in ["kept-precious", "run-other"] {
        make_dir(who, &layers(who).join(path));
        make_dir(who, &layers(who).join(path).join("upper"));
    }
}

fn all_below(dir: &Path) -> String {
    let script = "find \"$0\" -printf '%p ' -type f -exec cat {} \\; | sort";
    let found = Command::new("sh").args(["-c", script]).arg(dir).output().unwrap();
    String::from_utf8(found.stdout).unwrap()
}

#[test]
fn a_journal_that_names_what_no_sandbox_makes_is_told_once_and_never_obeyed() {
    everybody("forged journals", |who| {
        let dir = who.home().join("precious");
        precious(who, &dir);
        let (before, kept) = (all_below(&dir), all_below(&layers(who)));
        for forged in FORGED {
            let line = forged.replace("{}", dir.to_str().unwrap());
            let line = line.replace("{layers}", layers(who).to_str().unwrap());
            let line = line.replace("{state}", who.state().to_str().unwrap());
            for sweeps in [&["clean"][..], &["run", "--only", "uts", "--", "true"]] {
                leave(who, "forged", &format!("{line}\n"));
                let ran = who.run(sweeps);
                assert!(ran.said().contains("is not obeyed"), "{line}: {}", ran.stderr);
                assert!(!ran.stderr.contains('\u{1b}'), "it reaches the terminal");
                ran.ends_with(if sweeps.len() == 1 { 125 } else { 0 });
                assert_eq!(all_below(&dir), before, "{line}");
                assert_eq!(all_below(&layers(who)), kept, "{line}");
                assert_eq!(who.run(&["clean"]).succeeds(), "nothing was left behind\n", "{line}");
            }
        }
    });
}

#[test]
fn what_a_killed_sandbox_wrote_is_obeyed() {
    everybody("true journals", |who| {
        precious(who, &who.home().join("precious"));
        let run = layers(who).join("run-true");
        for dir in ["", "upper", "work", "init", ".removed-3"] {
            make_dir(who, &run.join(dir));
        }
        let disk = who.home().join(".disk-true");
        fs::write(&disk, "").unwrap();
        let root = who.state().join("true/root");
        let [run_, disk_, root_] = [&run, &disk, &root].map(|path| path.display().to_string());
        let journal = format!(
            "{{\"rmdir\":\"{root_}\"}}\n{{\"unlink\":\"{disk_}\"}}\n{{\"tree\":\"{run_}\"}}\n{{\"rm"
        );
        leave(who, "true", &journal);
        make_dir(who, &root);
        who.run(&["clean"]).succeeds();
        assert!(!run.exists() && !disk.exists() && !who.state().join("true").exists());
    });
}
