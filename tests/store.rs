//! The store of root filesystems, when it was changed by hand, by several at once, or not to the end.

#![allow(clippy::unwrap_used)] // a test may panic

mod common;

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::{Who, everybody};

fn store(who: &Who) -> PathBuf {
    who.run(&["run", "--", "true"]).succeeds();
    who.home().join(".local/share/sandbox/rootfs")
}

fn keep(who: &Who, name: &str, script: &str) {
    let run = ["run", "--level", "union", "--keep", name, "--", "sh", "-c", script];
    who.run(&run).succeeds();
}

#[test]
fn a_layer_whose_base_is_gone_is_listed_as_broken_and_can_be_removed() {
    everybody("broken", |who| {
        let store = store(who);
        keep(who, "work", "echo x > /new");
        who.run(&["commit", "work", "image"]).succeeds();
        fs::rename(store.join("busybox"), who.home().join("aside")).unwrap();
        fs::create_dir(store.join("nothing")).unwrap();
        let listed = who.run(&["rootfs", "list"]).succeeds();
        let listed = listed.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(listed.contains("image broken: `image` is a layer over `busybox`"), "{listed}");
        assert!(listed.contains("nothing broken: `nothing` has neither"), "{listed}");
        let json = who.run(&["rootfs", "list", "--format", "json"]).succeeds();
        assert!(json.contains("\"broken\": \"`image` is a layer over"), "{json}");
        who.run(&["rootfs", "verify", "image"]).ends_with(125).complains(&["not there any more"]);
        who.run(&["rootfs", "remove", "nothing", "image"]).succeeds();
        fs::rename(who.home().join("aside"), store.join("busybox")).unwrap();
        let listed = who.run(&["rootfs", "list"]).succeeds();
        assert_eq!(listed.lines().count(), 1, "{listed}");
        // One that lies on itself.
        who.run(&["commit", "work", "image"]).succeeds();
        let about = r#"{"source":"by hand","base":"image"}"#;
        fs::write(store.join("image/about.json"), about).unwrap();
        assert!(who.run(&["rootfs", "list"]).succeeds().contains("without end"));
    });
}

#[test]
fn of_several_commits_to_one_name_one_wins_and_the_others_are_told() {
    everybody("commits", |who| {
        store(who);
        for name in ["one", "two", "three"] {
            keep(
                who,
                name,
                &format!("echo {name} > /who; dd if=/dev/urandom of=/big bs=1M count=8"),
            );
        }
        let begin = |name: &&str| {
            let mut commit = who.sandbox(&["commit", name, "image"]);
            commit.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
        };
        let running: Vec<_> = ["one", "two", "three"].iter().map(begin).collect();
        let ended = running.into_iter().map(|one| one.wait_with_output().unwrap());
        let (won, told): (Vec<_>, Vec<_>) = ended.partition(|output| output.status.success());
        assert_eq!(won.len(), 1);
        for output in told {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(2), "{said}");
            assert!(said.contains("there is a rootfs `image` already"), "{said}");
        }
    });
}

#[test]
fn what_a_killed_commit_left_in_the_store_is_taken_away_by_clean_and_what_lives_is_not() {
    everybody("unfinished", |who| {
        let store = store(who);
        keep(who, "big", "dd if=/dev/urandom of=/big bs=1M count=200");
        let unfinished = store.join(".new-image");
        let begin = || {
            let mut commit = who.sandbox(&["commit", "big", "image"]);
            let commit = commit.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            let start = Instant::now();
            while !unfinished.join("layer").exists() {
                assert!(start.elapsed() < Duration::from_secs(20), "it does not begin");
                std::thread::sleep(Duration::from_millis(1));
            }
            commit
        };
        let mut commit = begin();
        for dry in [&["clean", "--dry-run"][..], &["clean"]] {
            assert_eq!(who.run(dry).succeeds(), "nothing was left behind\n");
        }
        assert!(commit.wait().unwrap().success());
        who.run(&["rootfs", "remove", "image"]).succeeds();

        let mut commit = begin();
        commit.kill().unwrap();
        commit.wait().unwrap();
        assert!(unfinished.exists(), "it was quicker");
        let would = who.run(&["clean", "--dry-run"]).succeeds();
        let expected = format!("taken away: {}, which is unfinished\n", unfinished.display());
        assert_eq!(would, format!("would be {expected}"));
        assert!(unfinished.exists());
        assert_eq!(who.run(&["clean"]).succeeds(), expected);
        assert!(!unfinished.exists());
        assert_eq!(who.run(&["clean"]).succeeds(), "nothing was left behind\n");
    });
}

#[test]
fn a_name_that_no_rootfs_can_have_is_wrong_usage() {
    everybody("names", |who| {
        store(who);
        keep(who, "work", "true");
        for args in [
            &["rootfs", "import", "/bin/sh", "../x"][..],
            &["rootfs", "import", "--dry-run", "/bin/sh", "../x"],
            &["rootfs", "remove", "a/b"],
            &["rootfs", "verify", ""],
            &["rootfs", "fetch", "--name", ".hidden"],
            &["commit", "work", "x y"],
            &["run", "--rootfs", "a b", "--", "true"],
        ] {
            who.run(args).ends_with(2).complains(&["cannot be the name of a rootfs"]);
        }
        who.run(&["rootfs", "fetch", "--from", "registry", "A//b", "--name", "x"])
            .ends_with(2)
            .complains(&["cannot be the name of an image"]);
        who.run(&["commit", "work", "busybox"]).ends_with(2).complains(&["already"]);
        // What is in a file is another matter.
        who.run(&["rootfs", "import", "/bin/sh", "x"]).ends_with(125);
    });
}

#[test]
fn more_layers_than_overlayfs_can_be_told_are_refused_before_anything_is_mounted() {
    everybody("stack", |who| {
        let store = store(who);
        keep(who, "work", "true");
        who.run(&["commit", "work", "layer-0"]).succeeds();
        for number in 1..100 {
            let dir = store.join(format!("layer-{number}"));
            fs::create_dir_all(dir.join("layer")).unwrap();
            let base = number - 1;
            let about = format!(r#"{{"source":"by hand","base":"layer-{base}"}}"#);
            fs::write(dir.join("about.json"), about).unwrap();
        }
        let run =
            |name: &str| who.run(&["run", "--level", "union", "--rootfs", name, "--", "true"]);
        run("layer-20").succeeds();
        run("layer-99").ends_with(2).complains(&["100 layers are more than overlayfs can be told"]);
    });
}
