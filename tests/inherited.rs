//! What a sandbox inherits, and what it does not: umask, limits, and who process 1 is.

#![allow(clippy::unwrap_used)] // a test may panic

mod common;

use common::{Ran, Who, everybody};

/// `sandbox` with these arguments, started by a shell that has done something first.
fn after(who: &Who, first: &str, args: &[&str]) -> Ran {
    let sandbox = who.sandbox(args);
    let mut shell = who.command("/bin/bash");
    shell.args(["-c", &format!("{first}; exec \"$0\" \"$@\"")]);
    shell.arg(sandbox.get_program()).args(args).env("SECRET", "of the caller");
    Ran::of(&mut shell, format!("{}: {first}; sandbox {}", who.name, args.join(" ")))
}

#[test]
fn what_is_made_has_its_mode_whatever_the_umask_is_and_the_command_has_the_callers() {
    everybody("umask", |who| {
        let volume = format!("{}:/a/new/file", who.home().join("file").display());
        std::fs::write(who.home().join("file"), "").unwrap();
        let look = "stat -c %a / /etc /etc/hosts /dev /dev/pts /dev/shm /new /new/place /a /a/new \
                    | xargs; umask; touch /tmp/x; stat -c %a /tmp/x";
        for (mask, file) in [("0000", "666"), ("0022", "644"), ("0027", "640"), ("0077", "600")] {
            let args = ["run", "--level", "union", "--tmpfs", "/new/place", "--volume", &volume];
            let ran = after(
                who,
                &format!("umask {mask}"),
                &[&args[..], &["--", "sh", "-c", look]].concat(),
            );
            let modes = "755 755 644 755 755 1777 755 1777 755 755";
            let expected = format!("{modes}\n{mask}\n{file}\n");
            assert_eq!(ran.succeeds(), expected, "{}: {mask}", who.name);
            for level in ["chroot", "namespaces", "cgroups"] {
                let args =
                    ["run", "--level", level, "--", "sh", "-c", "umask; stat -c %a /dev /dev/pts"];
                let ran = after(who, &format!("umask {mask}"), &args);
                assert_eq!(ran.succeeds(), format!("{mask}\n755\n755\n"), "{}: {level}", who.name);
            }
        }
    });
}

#[test]
fn process_1_has_nothing_of_the_caller_and_no_power() {
    everybody("process 1", |who| {
        let look = "cat /proc/1/environ; tr '\\0' ' ' < /proc/1/cmdline; readlink /proc/1/exe; \
                    grep CapEff /proc/1/status; ls /proc/1/fd | wc -l; : > /proc/1/exe";
        for stages in [&["--level", "namespaces"][..], &["--level", "union"]] {
            let args = [&["run", "--init"], stages, &["--", "sh", "-c", look]].concat();
            let ran = after(who, "exec 7</ 8</etc", &args);
            let lines = "init 2 /memfd:init (deleted)\nCapEff:\t0000000000000020\n1\n";
            assert_eq!(ran.stdout, lines, "{}: {stages:?}: {}", who.name, ran.stderr);
            assert_ne!(ran.status, 0, "its program can be written");
        }
    });
}

#[test]
fn process_1_waits_for_whom_others_leave() {
    everybody("zombies", |who| {
        let script = "for i in 1 2 3; do (sleep 0.1 &); done; sleep 0.5; \
                      grep -l '^State:.Z' /proc/[0-9]*/status | wc -l; exit 4";
        let ran = who.run(&["run", "--init", "--", "sh", "-c", script]).ends_with(4);
        assert_eq!(ran.stdout, "0\n");
        let killed = who.run(&["run", "--init", "--", "sh", "-c", "kill -9 $$"]).ends_with(137);
        assert_eq!(killed.stderr.lines().filter(|line| line.contains("error")).count(), 0);
    });
}

#[test]
fn few_descriptors_are_enough_or_it_is_said_that_they_are_not() {
    everybody("few descriptors", |who| {
        who.run(&["rootfs", "fetch"]).succeeds();
        for level in ["chroot", "namespaces", "union"] {
            for limit in 4..=20 {
                let args = ["run", "--level", level, "--init", "--", "echo", "ran"];
                let args: Vec<&str> =
                    args.into_iter().filter(|arg| level != "chroot" || *arg != "--init").collect();
                let ran = after(who, &format!("ulimit -n {limit}"), &args);
                let said = ran.said().contains("error") || ran.said().contains("open");
                assert!(ran.status == 0 || said, "{limit}: {} {}", ran.status, ran.stderr);
                // What cannot be taken away at the end is said too, and left to `clean`.
                assert!(ran.status != 0 || ran.stdout == "ran\n", "{limit}: {}", ran.stdout);
            }
        }
        who.run(&["clean"]).succeeds();
    });
}

#[test]
fn a_file_that_may_not_grow_is_an_error_that_leaves_nothing() {
    everybody("files of no size", |who| {
        who.run(&["rootfs", "fetch"]).succeeds();
        let name = format!("small-{}", who.name);
        let args = ["run", "--level", "union", "--name", &name, "--", "true"];
        let ran = after(who, "ulimit -f 0", &args).ends_with(125);
        ran.complains(&["File too large"]);
        who.assert_gone(&name);
        // It ends the command as elsewhere.
        let args = ["run", "--only", "uts", "--", "sh", "-c", "yes > \"$HOME/file\""];
        let ran = after(who, "ulimit -f 8", &args);
        assert_eq!(ran.status, 153, "{}", ran.stderr);
    });
}

/// Gives this process a session keyring with a key in it that only who has the keyring can see.
fn with_a_key() -> std::io::Result<()> {
    // SAFETY: they are system calls with numbers and addresses of texts.
    #[expect(unsafe_code)]
    let key = unsafe {
        libc::syscall(libc::SYS_keyctl, libc::KEYCTL_JOIN_SESSION_KEYRING, 0);
        let (kind, name) = (c"user".as_ptr(), c"sandbox-test-secret".as_ptr());
        let session = libc::KEY_SPEC_SESSION_KEYRING;
        let key = libc::syscall(libc::SYS_add_key, kind, name, c"ours".as_ptr(), 4, session);
        libc::syscall(libc::SYS_keyctl, libc::KEYCTL_SETPERM, key, 0x3f00_0000)
    };
    nix::errno::Errno::result(key).map(drop).map_err(Into::into)
}

#[test]
fn the_keys_of_the_callers_session_stay_with_the_caller() {
    everybody("keys", |who| {
        who.run(&["rootfs", "fetch"]).succeeds();
        let seen = |args: &[&str]| {
            let show = ["--", "grep", "-c", "sandbox-test-secret", "/proc/keys"];
            let mut sandbox = who.sandbox(&[&["run"], args, &show].concat());
            // SAFETY: `with_a_key` makes system calls only.
            #[expect(unsafe_code)]
            unsafe {
                std::os::unix::process::CommandExt::pre_exec(&mut sandbox, with_a_key);
            }
            let ran = Ran::of(&mut sandbox, format!("{}: keys, {args:?}", who.name));
            assert!(["0\n", "1\n"].contains(&ran.stdout.as_str()), "{}", ran.stderr);
            ran.stdout == "1\n"
        };
        assert!(seen(&["--level", "host"]) && seen(&["--level", "chroot"]));
        assert!(seen(&["--level", "union", "--without", "masks,keyring"]));
        for level in ["namespaces", "cgroups", "union"] {
            assert!(!seen(&["--level", level, "--without", "masks"]), "{}: {level}", who.name);
        }
        assert!(!seen(&["--only", "uts,keyring"]));
    });
}
