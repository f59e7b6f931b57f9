//! The lessons themselves: on this kernel, as root and as an ordinary user, and the host after it.

#![allow(clippy::unwrap_used)] // a test may panic

mod common;

use std::fs;

use common::{Ran, Who, as_user, everybody};
use serde_json::Value;

fn json(who: &Who, args: &[&str]) -> Value {
    let args = [args, &["--format", "json"]].concat();
    serde_json::from_str(&who.run(&args).succeeds()).unwrap()
}

fn numbers(who: &Who) -> Vec<String> {
    let lessons = json(who, &["lesson"]);
    let all = lessons["lessons"].as_array().unwrap();
    for lesson in all {
        let lacks_cgroups = lesson["slug"] == "cgroups" && !who.may_make_cgroups();
        assert_eq!(lesson["runnable"], !lacks_cgroups, "{}: {lessons:#}", who.name);
    }
    all.iter().map(|lesson| lesson["lesson"].to_string()).collect()
}

#[test]
fn every_claim_of_every_lesson_holds_and_none_is_skipped() {
    everybody("lessons", |who| {
        for number in numbers(who) {
            let lesson = json(who, &["lesson", &number]);
            let claims = &lesson["claims"];
            let wrong: Vec<&Value> = (lesson["parts"].as_array().unwrap().iter())
                .filter(|part| {
                    !part["skipped"].is_null()
                        || part["claims"].as_array().unwrap().iter().any(|c| c["holds"] != true)
                })
                .collect();
            assert_eq!(claims["failed"], 0, "{}: lesson {number}: {wrong:#?}", who.name);
            assert_eq!(lesson["left_behind"], serde_json::json!([]));
            if lesson["slug"] == "cgroups" && !who.may_make_cgroups() {
                assert_only_cgroups_are_skipped(&lesson);
                continue;
            }
            assert_eq!(claims["skipped"], 0, "{}: lesson {number}: {wrong:#?}", who.name);
            assert!(claims["held"].as_u64().unwrap() > 20, "{claims}");
        }
    });
}

/// What an ordinary user cannot have is skipped with reason and remedy; the rest runs.
fn assert_only_cgroups_are_skipped(lesson: &Value) {
    let parts = lesson["parts"].as_array().unwrap();
    let skipped = parts.iter().filter(|part| !part["skipped"].is_null());
    for part in skipped.clone() {
        let reason = part["skipped"]["reason"].as_str().unwrap();
        assert!(reason.contains("only root may make a cgroup in"), "{reason}");
        assert!(part["skipped"]["fix"].as_str().unwrap().contains("rlimits"), "{part:#}");
    }
    assert_eq!(parts[0]["id"], "rlimits");
    assert_eq!(parts[0]["skipped"], Value::Null);
    assert_eq!(skipped.count(), parts.len() - 1);
}

#[test]
fn the_json_of_a_lesson_has_the_documented_shape() {
    as_user("JSON shape", |who| {
        let lesson = json(who, &["lesson", "1"]);
        let keys = |value: &Value| {
            value.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(keys(&lesson), "lesson slug title parts claims left_behind");
        let part = &lesson["parts"][1];
        assert_eq!(
            keys(part),
            "id title adds stages skipped predict calls probes experiments claims"
        );
        assert_eq!(keys(&part["predict"]), "ask options");
        assert_eq!(keys(&part["predict"]["options"][0]), "says right because");
        assert_eq!(part["adds"], serde_json::json!(["chroot"]));
        assert_eq!(keys(&part["stages"]), "without with");
        assert_eq!(keys(&part["probes"][0]), "command without with changed");
        assert_eq!(keys(&part["probes"][0]["with"]), "stdout stderr status");
        assert_eq!(keys(&part["claims"][0]), "says holds");
        assert_eq!(keys(&lesson["claims"]), "held failed skipped");
        let step = &lesson["parts"][3]["experiments"][0]["steps"][0];
        assert_eq!(keys(step), "command without with changed in id attack");
    });
}

/// What a lesson must not change.
fn host_facts() -> Vec<(String, String)> {
    let shell = |what: &str, command: &str| {
        let mut sh = std::process::Command::new("/bin/sh");
        (what.to_owned(), Ran::of(sh.args(["-c", command]), what.to_owned()).stdout)
    };
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    vec![
        shell("hostname", "hostname"),
        shell("links", "ip -o link | cut -d: -f2"),
        shell("routes", "ip route"),
        shell("namespaces", "readlink /proc/1/ns/* /proc/self/ns/*"),
        ("mounts".to_owned(), mounts.lines().filter(|line| !line.contains("test")).collect()),
        shell("queues", "cat /proc/sysvipc/shm /proc/sysvipc/msg | wc -l"),
    ]
}

#[test]
fn the_host_is_the_same_after_every_lesson() {
    everybody("host unchanged", |who| {
        numbers(who); // the rootfs is there from now on
        let (before, clock) = (host_facts(), std::time::SystemTime::now());
        let steady = std::time::Instant::now();
        for number in numbers(who) {
            who.run(&["lesson", &number]).succeeds();
        }
        assert_eq!(host_facts(), before, "{}", who.name);
        let wall = clock.elapsed().unwrap();
        let drift = wall.abs_diff(steady.elapsed());
        assert!(drift < std::time::Duration::from_secs(5), "the clock was set by {drift:?}");
    });
}

#[test]
fn no_line_is_wider_than_the_terminal_and_a_pipe_gets_no_colour() {
    use unicode_width::UnicodeWidthStr;
    as_user("widths", |who| {
        for number in numbers(who) {
            for columns in ["80", "100", "120"] {
                let mut sandbox = who.sandbox(&["lesson", &number]);
                let ran = Ran::of(sandbox.env("COLUMNS", columns), format!("lesson {number}"));
                let text = ran.ends_with(0).stdout;
                assert!(!text.contains('\x1b'), "escape sequences in a pipe");
                let limit: usize = columns.parse().unwrap();
                for line in text.lines() {
                    assert!(line.width() <= limit, "{} columns of {columns}: {line}", line.width());
                }
            }
        }
    });
}

#[test]
fn colour_is_there_when_asked_for_and_never_with_no_color() {
    as_user("colour", |who| {
        let with = |args: &[&str], no_color: bool| {
            let mut sandbox = who.sandbox(args);
            if no_color {
                sandbox.env("NO_COLOR", "1");
            }
            Ran::of(&mut sandbox, args.join(" ")).ends_with(0).stdout
        };
        assert!(with(&["--color", "always", "lesson", "1.2"], false).contains("\x1b["));
        assert!(!with(&["--color", "never", "lesson", "1.2"], false).contains('\x1b'));
        assert!(!with(&["lesson", "1.2"], true).contains('\x1b'));
    });
}

#[test]
fn a_part_is_found_by_number_and_by_name() {
    as_user("parts", |who| {
        let by_number = who.run(&["lesson", "1.6"]).succeeds();
        let by_name = who.run(&["lesson", "chroot.break-out"]).succeeds();
        for text in [&by_number, &by_name] {
            assert!(text.contains("1.6  Breaking out"), "{text}");
            assert!(!text.contains("1.7"), "{text}");
            assert!(text.ends_with("4 claims held, 0 failed\n"), "{text}");
        }
    });
}

#[test]
fn an_instructor_takes_a_layer_away_and_sees_which_claims_no_longer_hold() {
    as_user("without a layer", |who| {
        let ran = who.run(&["lesson", "2.uts", "--without", "uts"]).ends_with(1);
        let failed = "✘ the UTS namespace is another one: this does not hold here";
        assert!(ran.stdout.contains(failed), "{}", ran.stdout);
        assert!(ran.stdout.contains("✔ inside, the rename works"), "{}", ran.stdout);
    });
}

#[test]
fn a_wrong_lesson_file_is_an_error_with_the_place_and_the_nearest_name() {
    as_user("wrong lessons", |who| {
        let good = fs::read_to_string("lessons/01-chroot.yaml").unwrap();
        let dir = who.home().join("lessons");
        fs::create_dir(&dir).unwrap();
        let check = |wrong: &str, with: &str, words: &[&str]| {
            assert!(good.contains(wrong), "{wrong}");
            fs::write(dir.join("1.yaml"), good.replacen(wrong, with, 1)).unwrap();
            let args = ["lesson", "--lessons", dir.to_str().unwrap(), "--dry-run"];
            who.run(&args).ends_with(125).complains(words);
        };
        check(
            "stages: [mnt, rootfs]",
            "stages: [mnt, rotfs]",
            &["1.yaml:", "did you mean `rootfs`?"],
        );
        check("    learned:", "    lerned:", &["1.yaml:", "`lerned`", "did you mean `learned`?"]);
        check("lesson: 1", "lesson: one", &["1.yaml:2:9:", "invalid type"]);
        check("format: 2", "format: 3", &["1.yaml:1:", "format 3 is not known"]);
        check("about: pwd", "about: pvd", &["1.yaml:", "runs no `pvd`"]);
        check("attack: proc-root", "attack: proc-rot", &["did you mean `proc-root`?"]);
    });
}

#[test]
fn a_lesson_is_read_from_a_plain_file_of_some_size_and_from_nothing_else() {
    as_user("no lesson files", |who| {
        let dir = who.home().join("lessons");
        fs::create_dir(&dir).unwrap();
        let file = dir.join("x.yaml");
        let is_refused = |words: &str| {
            let sandbox = who.sandbox(&["lesson", "--lessons", dir.to_str().unwrap(), "--dry-run"]);
            let mut limited = who.command("timeout");
            limited.arg("5").arg(sandbox.get_program()).args(sandbox.get_args());
            Ran::of(&mut limited, words.to_owned()).ends_with(125).complains(&["x.yaml", words]);
            fs::remove_file(&file).unwrap();
        };
        nix::unistd::mkfifo(&file, nix::sys::stat::Mode::from_bits_truncate(0o644)).unwrap();
        is_refused("it is no plain file");
        std::os::unix::fs::symlink("/dev/zero", &file).unwrap();
        is_refused("it is no plain file");
        fs::write(&file, vec![b' '; (1 << 20) + 1]).unwrap();
        is_refused("it is larger than 1024 KiB");
        fs::write(&file, [0xff]).unwrap();
        is_refused("it is not in UTF-8");
    });
}

#[test]
fn where_user_namespaces_are_forbidden_the_reason_and_the_remedy_are_said() {
    as_user("forbidden", |who| {
        // In a user namespace of its own the limit can be set for those below it.
        let forbid = "echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv \
            --bounding-set -all --inh-caps -all \"$@\"";
        let within = |args: &[&str]| {
            let mut unshare = who.command("/usr/bin/unshare");
            unshare.args(["--user", "--map-root-user", "sh", "-c", forbid, "sh"]);
            let sandbox = who.sandbox(args);
            unshare.arg(sandbox.get_program()).args(args);
            Ran::of(&mut unshare, format!("forbidden: {}", args.join(" ")))
        };
        within(&["run", "--", "true"]).ends_with(125).complains(&[
            "unshare(CLONE_NEWUSER)",
            "ENOSPC",
            "allows no user namespaces",
            "sysctl user.max_user_namespaces",
        ]);
        let doctor = within(&["doctor"]).ends_with(1);
        assert!(doctor.stdout.contains("sysctl user.max_user_namespaces"), "{}", doctor.stdout);
        let lesson = within(&["lesson", "2.uts"]).ends_with(0);
        assert!(lesson.stdout.contains("skipped: "), "{}", lesson.stdout);
        assert!(lesson.stdout.contains("what would allow it: "), "{}", lesson.stdout);
    });
}

#[test]
fn where_proc_is_masked_as_in_a_container_the_rest_of_a_lesson_still_runs() {
    as_user("masked /proc", |who| {
        let mask = "mount --bind /dev/null /proc/timer_list && exec \"$@\"";
        let mut unshare = who.command("/usr/bin/unshare");
        unshare.args(["--user", "--map-root-user", "--mount", "--pid", "--fork", "--mount-proc"]);
        unshare.args(["sh", "-c", mask, "sh"]).arg(who.sandbox(&[]).get_program());
        unshare.args(["lesson", "1"]);
        let text = Ran::of(&mut unshare, "masked: lesson 1".to_owned()).ends_with(0).stdout;
        assert!(text.contains("✔ it is the rootfs"), "{text}");
        assert!(text.contains("skipped: mount(\"proc\""), "{text}");
        assert!(text.contains("a complete one"), "{text}");
        assert!(text.contains("0 failed, 17 skipped"), "{text}");
    });
}

#[test]
fn what_was_done_is_remembered_and_all_lessons_run_in_a_row() {
    as_user("progress", |who| {
        let list = || who.run(&["lesson"]).succeeds();
        assert!(!list().contains("done"));
        who.run(&["lesson", "chroot.1"]).succeeds();
        assert!(list().contains("(8 parts, 1 done)"), "{}", list());
        let all = who.run(&["lesson", "all"]).succeeds();
        for heading in ["Lesson 1 ", "Lesson 2 ", "Lesson 3 ", "Lesson 4 "] {
            assert!(all.contains(heading), "{heading} is not in:\n{all}");
        }
        assert_eq!(all.matches("claims held, 0 failed").count(), 4, "{all}");
        assert!(list().contains("(8 parts, all done)"), "{}", list());
    });
}

#[test]
fn what_happens_in_a_lesson_is_told_a_line_each_as_it_happens() {
    as_user("JSON lines", |who| {
        let told = who.run(&["lesson", "2.uts", "--format", "jsonl"]).succeeds();
        let events: Vec<Value> = told.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        let kinds: Vec<&str> = events.iter().map(|one| one["event"].as_str().unwrap()).collect();
        assert_eq!(kinds[..2], ["lesson", "part"]);
        assert_eq!(kinds[kinds.len() - 2..], ["part-end", "lesson-end"]);
        let count = |kind: &str| kinds.iter().filter(|one| **one == kind).count();
        let part = &events[events.len() - 2];
        assert_eq!(part["claims"].as_array().unwrap().len(), count("claim"));
        assert_eq!(part["probes"].as_array().unwrap().len(), count("probe"));
        assert_eq!(part["experiments"].as_array().unwrap().len(), count("experiment"));
        assert!(count("probe") > 0 && count("claim") > 0 && count("call") == 0, "{kinds:?}");
        let whole = json(who, &["lesson", "2.uts"]);
        assert_eq!(whole["claims"], events[events.len() - 1]["claims"]);
        assert_eq!(whole["parts"][0]["calls"], part["calls"]);
        let told = who.run(&["lesson", "2.uts", "--format", "jsonl", "--trace"]).succeeds();
        assert!(told.lines().any(|line| line.contains("\"event\":\"call\"")), "{told}");
        who.run(&["ps", "--format", "jsonl"]).ends_with(2).complains(&["as it happens"]);
    });
}

#[test]
fn who_breaks_out_is_told_each_thing_once_though_the_program_begins_again() {
    as_user("notes of a break-out", |who| {
        let ran = who.run(&["lesson", "2.uts", "--break-out"]).ends_with(0);
        let mut notes: Vec<&str> = ran.stderr.split("note: ").skip(1).collect();
        let all = notes.len();
        notes.sort_unstable();
        notes.dedup();
        assert!(all > 0 && notes.len() == all, "{}", ran.stderr);
    });
}
