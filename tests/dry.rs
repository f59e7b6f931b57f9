//! What only plans or explains changes nothing: strace(1) sees no call that could.

#![allow(clippy::unwrap_used)] // a test may panic

mod common;

use std::fs;

use common::{Ran, Who, everybody, has};
use sandbox::stages::STAGES;
use sandbox::stages::levels::LEVELS;

/// Calls that make, change or start something.
const CHANGES: &str = "mkdir,mkdirat,mknod,mknodat,rmdir,unlink,unlinkat,rename,renameat,renameat2,link,\
    linkat,symlink,symlinkat,chmod,fchmod,fchmodat,chown,fchown,lchown,fchownat,truncate,ftruncate,\
    setxattr,lsetxattr,fsetxattr,mount,umount2,move_mount,fsopen,open_tree,pivot_root,chroot,unshare,\
    setns,clone,clone3,fork,vfork,kill,tgkill,pidfd_send_signal,sethostname,setrlimit,prctl";

/// What these calls would be for, and that is seen for other reasons.
const WRITES: &str =
    "write,pwrite64,writev,sendto,sendmsg,open,openat,openat2,creat,execve,prlimit64";

/// The calls of a run of `sandbox` that are not among those that look, or speak.
fn changes(who: &Who, args: &[&str]) -> Vec<String> {
    let file = who.home().join("trace");
    let sandbox = who.sandbox(args);
    let mut strace = who.command("/usr/bin/strace");
    strace.args(["-f", "-e", &format!("trace={CHANGES},{WRITES}"), "-o"]).arg(&file);
    strace.arg(sandbox.get_program()).args(args);
    let ran = Ran::of(&mut strace, format!("{}: {}", who.name, args.join(" ")));
    assert!([0, 2, 125].contains(&ran.status), "{}\n{}", ran.what, ran.stderr);
    let trace = fs::read_to_string(&file).unwrap();
    let calls = trace.lines().filter_map(|line| line.split_once(' ')).map(|(_, call)| call.trim());
    let calls: Vec<&str> = calls.filter(|call| !call.starts_with(['+', '-'])).collect();
    assert!(calls.iter().any(|call| call.starts_with("openat(")), "nothing was seen: {trace}");
    let started = calls.iter().filter(|call| call.starts_with("execve(")).count();
    assert_eq!(started, 1, "{}: a program was started: {trace}", ran.what);
    let looks = |call: &&&str| {
        let reads = call.starts_with("open")
            && !["O_WRONLY", "O_RDWR", "O_CREAT"].iter().any(|flag| call.contains(flag));
        let speaks = ["write(1,", "write(2,", "execve("].iter().any(|say| call.starts_with(say));
        // The stack of the program's first thread is asked for by its runtime.
        let asks = ["prlimit64(0, RLIMIT_STACK, NULL", "prctl(PR_CAPBSET_READ"]
            .iter()
            .any(|ask| call.starts_with(ask));
        // glibc asks the cache of names whose home this is, and is told where there is one.
        let names = call.starts_with("sendto(") && call.contains("nscd");
        reads || speaks || asks || names
    };
    calls.iter().filter(|call| !looks(call)).map(|call| (*call).to_owned()).collect()
}

fn assert_only_looks(who: &Who, args: &[&str]) {
    let changes = changes(who, args);
    assert!(changes.is_empty(), "{}: {}\n{}", who.name, args.join(" "), changes.join("\n"));
}

#[test]
fn to_plan_to_run_dry_and_to_explain_makes_mounts_and_starts_nothing() {
    if !has("dry runs", "strace") {
        return;
    }
    everybody("dry runs", |who| {
        for rootfs in ["not there yet", "there"] {
            if rootfs == "there" {
                who.run(&["rootfs", "fetch"]).succeeds();
                who.run(&["run", "--level", "union", "--keep", "kept", "--", "true"]).succeeds();
            }
            for level in LEVELS.iter().map(|level| level.name) {
                assert_only_looks(who, &["plan", "--level", level]);
                assert_only_looks(who, &["run", "--dry-run", "--level", level, "--", "true"]);
            }
            assert_only_looks(who, &["plan", "--level", "union", "--as", "sh"]);
            assert_only_looks(
                who,
                &["plan", "--level", "union", "--storage", "vfs", "--as", "json"],
            );
            for name in ["kept", "new"] {
                assert_only_looks(who, &["plan", "--level", "union", "--keep", name]);
                let run = ["run", "--dry-run", "--level", "union", "--keep", name, "--", "true"];
                assert_only_looks(who, &run);
            }
            assert_only_looks(who, &["shell", "--dry-run"]);
            assert_only_looks(who, &["lesson", "--dry-run", "1.2"]);
        }
        for stage in STAGES.iter() {
            assert_only_looks(who, &["explain", stage.name()]);
        }
        assert_only_looks(who, &["explain"]);
        assert_only_looks(who, &["explain", "--format", "json"]);
    });
}

#[test]
fn a_dry_run_says_what_a_run_would_find_out_by_trying() {
    everybody("told by a dry run", |who| {
        let told = |args: &[&str]| who.run(args).ends_with(0).said();
        let fresh = told(&["plan", "--level", "chroot"]);
        assert!(fresh.contains("no rootfs `busybox` yet"), "{fresh}");
        who.run(&["rootfs", "fetch"]).succeeds();
        let union = told(&["run", "--dry-run", "--level", "union", "--", "true"]);
        assert!(union.contains("not tried in a dry run: whether the disk"), "{union}");
        assert!(!told(&["plan", "--level", "chroot"]).contains("dry run"));
    });
}
