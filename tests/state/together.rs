//! Several at once, and one that has only just been killed.

use std::process::{Child, Stdio};

use crate::common::Ran;
use crate::{everybody, layers, leave, names, runs, started};

#[test]
fn of_many_runs_of_one_name_one_wins_and_the_others_are_told() {
    everybody("one name", |who| {
        who.run(&["rootfs", "fetch"]).succeeds();
        let name = format!("one-{}", who.name);
        // It stays until its input ends, which is when the others have ended.
        let args = ["run", "--name", &name, "--", "cat"];
        let mut all: Vec<Child> = (0..100)
            .map(|_| {
                let mut sandbox = who.sandbox(&args);
                sandbox.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
                sandbox.spawn().unwrap()
            })
            .collect();
        crate::wait_for("all but one have ended", || {
            all.iter_mut().filter_map(|one| one.try_wait().unwrap()).count() == 99
        });
        assert!(runs(who, &name), "the one that won does not run");
        all.iter_mut().for_each(|one| drop(one.stdin.take()));
        let ended: Vec<_> = all.into_iter().map(|one| one.wait_with_output().unwrap()).collect();
        let of = |status| ended.iter().filter(move |one| one.status.code() == Some(status));
        assert_eq!((of(0).count(), of(2).count()), (1, 99));
        for told in of(2) {
            let said = String::from_utf8_lossy(&told.stderr);
            assert!(said.contains("runs already") && said.contains("hint:"), "{said}");
        }
        who.assert_gone(&name);
    });
}

#[test]
fn a_new_layer_is_kept_by_one_who_holds_it_from_its_first_moment() {
    everybody("a new layer", |who| {
        who.run(&["rootfs", "fetch"]).succeeds();
        let keep = ["--level", "union", "--keep", "new"];
        let mut first = started(who, "first", &keep, &["sleep", "6127"]);
        let run = [&["run"], &keep[..], &["--", "true"]].concat();
        for others in [&run[..], &["commit", "new", "image"], &["layers", "new", "--remove"]] {
            who.run(others).ends_with(2).complains(&["is writing `new`"]);
        }
        who.run(&["kill", "first"]).succeeds();
        first.wait().unwrap();
        who.run(&run).succeeds();
        assert_eq!(names(&layers(who)), ["kept-new"]);
    });
}

#[test]
fn a_layer_of_the_same_name_that_is_another_sandboxes_stays() {
    everybody("another's layer", |who| {
        who.run(&["rootfs", "fetch"]).succeeds();
        let union = ["--level", "union"];
        let mut first = started(who, "same", &union, &["sleep", "6128"]);
        // Another state directory, and the same data directory.
        let other = who.home().join("run/other");
        crate::make_dir(who, &other);
        let mut second = who.sandbox(&["run", "--level", "union", "--name", "same", "--", "true"]);
        Ran::of(second.env("XDG_RUNTIME_DIR", &other), "second".into());
        if !who.is_root() {
            assert_eq!(names(&layers(who)), ["run-same"]);
            assert_eq!(names(&other.join("sandbox")), Vec::<String>::new());
        }
        who.run(&["exec", "same", "--", "touch", "/it-is-there"]).succeeds();
        who.run(&["kill", "same"]).succeeds();
        first.wait().unwrap();
        // Nor does a name make a run's layers kept ones.
        who.run(&["run", "--level", "union", "--keep", "mine", "--", "touch", "/mine"]).succeeds();
        who.run(&["run", "--level", "union", "--name", "kept-mine", "--", "true"]).succeeds();
        assert!(who.run(&["diff", "mine"]).succeeds().contains("A /mine"));
    });
}

#[test]
fn a_clean_right_after_the_kill_leaves_nothing() {
    everybody("killed and cleaned", |who| {
        who.run(&["rootfs", "fetch"]).succeeds();
        let write = "i=0; while :; do i=$((i+1)); echo $i > /tmp/$i; done";
        let keep = format!("kept-by-{}", who.name);
        for round in 0..10 {
            let sets = [&["--level", "union", "--keep", &keep][..], &["--level", "union"]];
            for (at, stages) in sets.into_iter().enumerate() {
                let name = format!("killed-{}-{round}-{at}", who.name);
                let mut child = started(who, &name, stages, &["sh", "-c", write]);
                child.kill().unwrap();
                // Not waited for yet: it may not even know that it was killed.
                let cleaned = who.run(&["clean"]).succeeds();
                assert!(cleaned.contains(&name), "{cleaned}");
                who.assert_gone(&name);
                child.wait().unwrap();
            }
        }
        assert_eq!(names(&layers(who)), [format!("kept-{keep}")]);
    });
}

#[test]
fn two_cleans_at_once_take_everything_once_and_never_what_lives() {
    everybody("cleans at once", |who| {
        let mut living = started(who, "living", &["--only", "uts"], &["sleep", "6129"]);
        (0..20).for_each(|n| leave(who, &format!("dead-{n}"), ""));
        let cleans: Vec<Child> = (0..8)
            .map(|_| who.sandbox(&["clean"]).stdout(Stdio::piped()).spawn().unwrap())
            .collect();
        let mut taken = 0;
        for clean in cleans {
            let ended = clean.wait_with_output().unwrap();
            assert!(ended.status.success());
            taken += String::from_utf8_lossy(&ended.stdout).matches("taken away").count();
        }
        assert_eq!(taken, 20);
        assert!(runs(who, "living"));
        living.kill().unwrap();
        living.wait().unwrap();
        who.run(&["clean"]).succeeds();
    });
}
