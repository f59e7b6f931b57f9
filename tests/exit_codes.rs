//! `sandbox run` ends as its command ends, and says what went wrong when it is its own fault.

#![allow(clippy::unwrap_used)] // a test may panic

mod common;

use common::{as_root, as_user, everybody};

const LEVELS: [&str; 2] = ["chroot", "namespaces"];

#[test]
fn the_exit_code_is_the_commands_own() {
    everybody("exit codes", |who| {
        for level in LEVELS {
            let code = |command: &[&str]| {
                let args = [&["run", "--level", level, "--"], command].concat();
                who.run(&args).status
            };
            assert_eq!(code(&["true"]), 0, "{level}");
            assert_eq!(code(&["sh", "-c", "exit 7"]), 7, "{level}");
        }
    });
}

#[test]
fn a_command_that_is_killed_gives_128_and_the_signal() {
    everybody("killed command", |who| {
        let args = ["run", "--only", "chroot", "--", "sh", "-c", "kill -9 $$"];
        assert_eq!(who.run(&args).status, 137);
        let args = ["run", "--level", "namespaces", "--init", "--", "sh", "-c", "kill -9 $$"];
        assert_eq!(who.run(&args).status, 137);
    });
}

#[test]
fn what_is_not_there_is_127_and_what_cannot_be_executed_126() {
    everybody("127 and 126", |who| {
        for level in LEVELS {
            who.run(&["run", "--level", level, "--", "/nope"]).ends_with(127).complains(&[
                "execve(\"/nope\"",
                "ENOENT",
                "no such file",
                "hint:",
            ]);
            who.run(&["run", "--level", level, "--", "nope"]).ends_with(127);
            who.run(&["run", "--level", level, "--", "/etc/passwd"]).ends_with(126).complains(&[
                "execve(\"/etc/passwd\"",
                "EACCES",
                "hint:",
            ]);
            who.run(&["run", "--level", level, "--", "/etc"]).ends_with(126);
        }
    });
}

#[test]
fn a_plan_that_cannot_be_is_125_and_names_the_flag_that_is_missing() {
    everybody("impossible plans", |who| {
        who.run(&["run", "--only", "rootfs", "--", "true"])
            .ends_with(125)
            .complains(&["the stage `rootfs` needs `mnt`", "--with mnt"]);
        who.run(&["run", "--only", "mnt,rootfs,chroot,pivot-root", "--", "true"])
            .ends_with(125)
            .complains(&["do the same", "--without"]);
        who.run(&["run", "--forget", "mount", "--", "true"])
            .ends_with(125)
            .complains(&["`mount` cannot be left out", "close_range"]);
    });
}

#[test]
fn wrong_usage_is_2_and_names_what_was_probably_meant() {
    as_user("wrong usage", |who| {
        who.run(&["run", "--only", "utz", "--", "true"]).ends_with(2).complains(&["`uts`?"]);
        who.run(&["run", "--levl", "chroot", "--", "true"]).ends_with(2).complains(&["--level"]);
        who.run(&["run"]).ends_with(2).complains(&["Usage"]);
        who.run(&["run", "--level", "moon", "--", "true"])
            .ends_with(2)
            .complains(&["`moon`", "the levels are host, chroot, namespaces"]);
        who.run(&["run", "--env", "novalue", "--", "true"]).ends_with(2).complains(&["NAME=VALUE"]);
        who.run(&["run", "--hostname", "", "--", "true"]).ends_with(2).complains(&["hostname"]);
        who.run(&["run", "--rootfs", "none", "--", "true"])
            .ends_with(2)
            .complains(&["no rootfs `none`", "sandbox rootfs list"]);
        who.run(&["lesson", "99"]).ends_with(2).complains(&["no lesson `99`", "1 (chroot)"]);
        who.run(&["lesson", "1.99"]).ends_with(2).complains(&["no part `99`", "break-out"]);
        who.run(&["exec", "nobody", "--", "true"]).ends_with(2).complains(&["sandbox ps"]);
    });
}

#[test]
fn root_may_not_let_its_mounts_out_to_the_machine() {
    as_root("shared propagation refused", |who| {
        let args = ["run", "--only", "mnt", "--propagation", "shared", "--", "true"];
        who.run(&args).ends_with(2).complains(&["would appear on this machine", "--with user"]);
    });
}

#[test]
fn without_the_stage_user_an_ordinary_user_is_told_why() {
    as_user("no privilege", |who| {
        who.run(&["run", "--only", "uts", "--without", "user", "--", "true"])
            .ends_with(125)
            .complains(&["unshare(CLONE_NEWUTS)", "EPERM", "stage uts", "--with user"]);
    });
}
