//! In virtual machines: cgroup version 1, hybrid, version 2 and none, as root and as a user.

#![allow(clippy::unwrap_used)] // a test may panic

#[path = "../common/mod.rs"]
mod common;
mod machine;
mod recorded;

use common::Ran;
use machine::{Case, Failure, Job, Who};

const LOOK: &str = "id -u; grep cgroup /proc/mounts | cut -d ' ' -f 2; cat /proc/self/cgroup";

/// What no run may leave.
const LEFT: &str = "find /run/sandbox /tmp/sandbox-* /run/user/1000/sandbox -mindepth 1 2> /dev/null; \
    find /sys/fs/cgroup -name 'sandbox-*'; true";

/// The tests of cgroups, told where the program and their records are on the machine.
const TESTS: &str = "RUST_BACKTRACE=0 CARGO_BIN_EXE_sandbox=/usr/bin/sandbox \
    CARGO_TARGET_TMPDIR=/tmp cgroups-tests --test-threads 1 --skip leave_a_machine";

/// The limits of a plan that is carried out by hand.
const BY_HAND: &str = "cat > /tmp/look <<'end'
line=$(grep 0:: /proc/self/cgroup); echo $line
cd /sys/fs/cgroup/${line#0::}; cat pids.max memory.max
end
    sandbox plan --only cgroups --pids-limit 9 --memory 32m --as sh -- sh /tmp/look > /tmp/by-hand &&
    grep -q '^mkdir' /tmp/by-hand && sh -eu /tmp/by-hand";

/// Runs jobs in a machine, and sees that they leave nothing.
fn jobs(case: Case, jobs: Vec<Job>) -> Option<Vec<Ran>> {
    let test = format!("a virtual machine, {case:?}");
    let mut jobs = jobs;
    jobs.push(Job::new(Who::Root, LEFT));
    match machine::run(case, &jobs) {
        Ok(mut ran) => {
            assert_eq!(ran.pop().unwrap().succeeds(), "", "{case:?}: something is left");
            common::ran(&test);
            Some(ran)
        }
        Err(Failure::Broken(what)) => panic!("{case:?}: {what}"),
        Err(Failure::Missing(reason)) => {
            common::skip(&test, &reason);
            None
        }
    }
}

fn lesson(who: Who, number: u32) -> Job {
    Job { timeout: 600, ..Job::new(who, &format!("sandbox lesson {number} --format json")) }
}

/// Each lesson was gone through, with no claim failed or skipped. Tells of all at once: another look
/// takes minutes.
#[track_caller]
fn assert_whole(lessons: &[Ran]) {
    let wrong = lessons.iter().filter_map(|ran| {
        let lesson = read(ran);
        let claims = &lesson["claims"];
        let whole = ran.status == 0 && claims["skipped"] == 0 && claims["held"].as_u64() > Some(20);
        (!whole).then(|| format!("{}: {claims}\n{}{}", ran.what, failed(&lesson), ran.stderr))
    });
    let wrong: Vec<String> = wrong.collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[track_caller]
fn read(ran: &Ran) -> serde_json::Value {
    let read = serde_json::from_str(&ran.stdout);
    read.unwrap_or_else(|_| panic!("{}: {}\n{}", ran.what, ran.stdout, ran.stderr))
}

/// The parts in which a claim failed.
fn failed(lesson: &serde_json::Value) -> String {
    let parts = lesson["parts"].as_array().unwrap().iter();
    let failed = parts.filter(|part| {
        let holds = part["claims"].as_array().unwrap().iter().all(|claim| claim["holds"] == true);
        !holds || !part["skipped"].is_null()
    });
    failed.map(|part| format!("{part:#}\n")).collect()
}

#[test]
fn version_2_serves_root_and_a_login_and_tells_a_stranger_why_not() {
    let unable = "sandbox run --only cgroups --memory 64m -- true";
    let wanted = vec![
        lesson(Who::Root, 3),
        lesson(Who::Login, 3),
        lesson(Who::Root, 2),
        Job::new(Who::Stranger, unable),
        Job { timeout: 600, ..Job::new(Who::Login, TESTS) },
    ];
    let Some(ran) = jobs(Case::V2, wanted) else { return };
    assert_whole(&ran[0..3]);
    assert_eq!(ran[3].status, 125);
    assert!(ran[3].said().contains("only root may make a cgroup in"), "{}", ran[3].stderr);
    assert!(ran[3].said().contains("let root give you a cgroup"), "{}", ran[3].stderr);
    assert_eq!(ran[4].status, 0, "{}\n{}", ran[4].stdout, ran[4].stderr);
}

#[test]
fn version_2_serves_a_user_with_a_cgroup_what_the_book_shows() {
    let wanted = vec![
        Job::new(Who::Student, LOOK),
        lesson(Who::Student, 1),
        lesson(Who::Student, 2),
        lesson(Who::Student, 3),
        lesson(Who::Student, 4),
        Job::new(Who::Student, BY_HAND),
    ];
    let Some(ran) = jobs(Case::V2, wanted) else { return };
    assert_eq!(ran[0].stdout, "1000\n/sys/fs/cgroup\n0::/users/student/shell\n");
    assert_whole(&ran[1..4]);
    let older_tmpfs = read(&ran[4]);
    assert_eq!(older_tmpfs["claims"]["failed"], 0, "{}", failed(&older_tmpfs));
    assert_eq!(older_tmpfs["claims"]["skipped"], 4, "{}", failed(&older_tmpfs));
    let by_hand = ran[5].stdout.lines().collect::<Vec<_>>();
    assert!(by_hand[0].contains("/sandbox-by-hand-"), "{}{}", ran[5].stdout, ran[5].stderr);
    assert_eq!(by_hand[1..], ["9", "33554432"], "{}", ran[5].stderr);
    for lesson in &ran[1..5] {
        recorded::compare(&serde_json::from_value(read(lesson)).unwrap());
    }
}

/// What a lesson about cgroups is where none can be had: one part, and reasons.
#[track_caller]
fn assert_only_rlimits(ran: &Ran, reason: &str) {
    let lesson = read(ran);
    assert_eq!((ran.status, &lesson["claims"]["failed"]), (0, &0.into()), "{}", failed(&lesson));
    for part in lesson["parts"].as_array().unwrap() {
        if part["id"] == "rlimits" {
            assert!(part["skipped"].is_null(), "{part:#}");
        } else {
            let told = part["skipped"]["reason"].as_str().unwrap_or_default();
            assert!(told.contains(reason), "{part:#}");
            assert!(part["skipped"]["fix"].is_string(), "{part:#}");
        }
    }
}

fn older(case: Case) {
    let wanted = vec![
        Job::new(Who::Stranger, LOOK),
        lesson(Who::Root, 3),
        lesson(Who::Stranger, 3),
        Job { timeout: 600, ..Job::new(Who::Root, TESTS) },
    ];
    let Some(ran) = jobs(case, wanted) else { return };
    assert!(ran[0].stdout.starts_with("1000\n"), "{}", ran[0].stdout);
    assert!(ran[0].stdout.contains("/sys/fs/cgroup/cpu,cpuacct\n"), "{}", ran[0].stdout);
    assert_eq!(ran[0].stdout.contains("/unified\n"), case == Case::Hybrid, "{}", ran[0].stdout);
    assert_whole(&ran[1..2]);
    assert_only_rlimits(&ran[2], "only root may make a cgroup in");
    assert_eq!(ran[3].status, 0, "{}\n{}", ran[3].stdout, ran[3].stderr);
}

#[test]
fn version_1_serves_root_and_tells_a_user_why_not() {
    older(Case::V1);
}

#[test]
fn hybrid_serves_root_and_tells_a_user_why_not() {
    older(Case::Hybrid);
}

#[test]
fn where_no_hierarchy_is_mounted_everybody_is_told_so() {
    let by_name = "sandbox run --only cgroups --memory 64m -- true";
    let by_level = "sandbox run --level cgroups --memory 64m -- sh -c 'ulimit -v'";
    let mut wanted = vec![lesson(Who::Student, 1)];
    for who in [Who::Root, Who::Stranger] {
        wanted.extend([lesson(who, 3), Job::new(who, by_name), Job::new(who, by_level)]);
    }
    let Some(ran) = jobs(Case::None, wanted) else { return };
    let without_libraries = read(&ran[0]);
    assert_eq!(without_libraries["claims"]["failed"], 0, "{}", failed(&without_libraries));
    assert_eq!(without_libraries["claims"]["skipped"], 4, "{}", failed(&without_libraries));
    for ran in ran[1..].chunks(3) {
        assert_only_rlimits(&ran[0], "no cgroup hierarchy is mounted");
        assert_eq!(ran[1].status, 125);
        assert!(ran[1].said().contains("mount -t cgroup2"), "{}", ran[1].stderr);
        assert_eq!(ran[2].stdout, "65536\n", "{}", ran[2].stderr);
        assert!(ran[2].said().contains("`rlimits` takes the place"), "{}", ran[2].stderr);
    }
}
