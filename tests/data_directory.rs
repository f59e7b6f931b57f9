//! The user's data directory: no sandbox changes a rootfs of the store, and nobody else looks in.

#![allow(clippy::unwrap_used)] // a test may panic

mod common;

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use common::{Ran, Who, as_root, everybody};

fn data(who: &Who) -> PathBuf {
    who.home().join(".local/share/sandbox")
}

fn rootfs(who: &Who) -> PathBuf {
    data(who).join("rootfs/busybox/rootfs")
}

/// Every name in a tree.
fn names(tree: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(tree).unwrap() {
        let path = entry.unwrap().path();
        if path.symlink_metadata().unwrap().is_dir() {
            all.extend(names(&path));
        }
        all.push(path);
    }
    all.sort();
    all
}

#[test]
fn a_command_that_removes_everything_breaks_no_later_run() {
    everybody("a rootfs that all share", |who| {
        who.run(&["rootfs", "fetch"]).succeeds();
        let before = names(&rootfs(who));
        let script = "rm -rf /bin/* /etc /usr; touch /x; chmod 4755 /bin/busybox; \
            mkdir /tmp/d && echo written > /tmp/d/f && cat /tmp/d/f";
        for level in ["chroot", "namespaces", "union"] {
            for user in [&[][..], &["--without", "user"]] {
                if level == "namespaces" || who.is_root() || user.is_empty() {
                    let args =
                        [&["run", "--level", level], user, &["--", "sh", "-c", script]].concat();
                    let ran = who.run(&args);
                    let may = who.is_root() || user.is_empty();
                    assert!(
                        !may || level == "union" || ran.stdout == "written\n",
                        "{level}: {}",
                        ran.stderr
                    );
                }
            }
            assert_eq!(names(&rootfs(who)), before, "{level}");
            who.run(&["run", "--", "true"]).succeeds();
        }
        let volume = format!("{}:/tmp/made/here", who.home().display());
        who.run(&["run", "-v", &volume, "--", "ls", "/tmp/made/here"]).succeeds();
        let told = ["run", "--read-only", "--", "touch", "/tmp/x"];
        assert!(who.run(&told).ends_with(1).stderr.contains("Read-only file system"));
    });
}

#[test]
fn what_is_compared_and_what_is_typed_in_a_lesson_changes_no_rootfs_of_the_store() {
    everybody("the store, compared", |who| {
        who.run(&["rootfs", "fetch"]).succeeds();
        let before = names(&rootfs(who));
        let _ = who.run(&["compare", "chroot", "namespaces", "--", "touch", "/bin/of-compare"]);
        let lesson = ["lesson", "namespaces.all", "--shell", "--no-pause"];
        let mut typed = who.sandbox(&lesson).stdin(Stdio::piped()).spawn().unwrap();
        typed.stdin.take().unwrap().write_all(b"touch /bin/of-a-shell\nexit\n").unwrap();
        typed.wait().unwrap();
        assert_eq!(names(&rootfs(who)), before, "{}", who.name);
    });
}

#[test]
fn a_directory_that_is_named_is_written() {
    everybody("a directory as a rootfs", |who| {
        who.run(&["rootfs", "fetch"]).succeeds();
        let own = who.home().join("own");
        let mut cp = who.command("/bin/cp");
        Ran::of(cp.arg("-a").arg(rootfs(who)).arg(&own), "cp".to_owned()).succeeds();
        let args =
            ["run", "--level", "chroot", "--rootfs", own.to_str().unwrap(), "--", "touch", "/x"];
        who.run(&args).succeeds();
        assert!(own.join("x").exists());
    });
}

#[test]
fn the_data_directory_is_for_its_owner_alone_and_one_of_before_becomes_so() {
    everybody("a private data directory", |who| {
        let mode = |dir: &Path| fs::metadata(dir).unwrap().permissions().mode() & 0o7777;
        who.run(&["run", "--level", "union", "--", "true"]).succeeds();
        for dir in [data(who), data(who).join("rootfs"), data(who).join("layers")] {
            assert_eq!(mode(&dir), 0o700, "{}", dir.display());
        }
        for dir in [data(who), data(who).join("rootfs")] {
            fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
        }
        who.run(&["run", "--dry-run", "--", "true"]).succeeds();
        assert_eq!(mode(&data(who)), 0o755, "a dry run changed it");
        for level in ["chroot", "namespaces", "union"] {
            who.run(&["run", "--level", level, "--", "true"]).succeeds();
            assert_eq!(mode(&data(who)), 0o700, "{level}");
        }
        assert_eq!(mode(&data(who).join("rootfs")), 0o700);
        // Root's sandbox that becomes somebody else finds its rootfs all the same.
        who.run(&["run", "--only", "user,chroot", "--", "true"]).succeeds();
        let root = rootfs(who);
        for more in [
            &["--level", "namespaces"][..],
            &["--level", "union"],
            &["--rootfs", root.to_str().unwrap()],
        ] {
            let args = [&["run"], more, &["--", "sh", "-c", "grep ' / ' /proc/mounts"]].concat();
            let mounted = who.run(&args).succeeds();
            assert_eq!(mounted.contains("nosuid"), !who.is_root(), "{more:?}: {mounted}");
        }
    });
}

#[test]
fn a_chosen_data_directory_keeps_its_mode() {
    everybody("SANDBOX_HOME", |who| {
        let home = who.home().join("chosen");
        let mut run = who.sandbox(&["run", "--", "true"]);
        let made = format!("mkdir -m 755 {0} && chown {1} {0}", home.display(), who.uid);
        Ran::of(who.command("/bin/sh").args(["-c", &made]), made.clone()).succeeds();
        Ran::of(run.env("SANDBOX_HOME", &home), "run".to_owned()).succeeds();
        let mode = |dir: &Path| fs::metadata(dir).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode(&home), mode(&home.join("rootfs"))), (0o755, 0o700));
    });
}

#[test]
fn doctor_looks_at_the_rootfs_first_and_says_how_it_is_made_anew() {
    everybody("a broken rootfs", |who| {
        who.run(&["rootfs", "fetch"]).succeeds();
        fs::remove_file(rootfs(who).join("bin/hostname")).unwrap();
        let found = who.run(&["doctor"]).ends_with(1).stdout;
        assert!(found.contains("it has no `hostname`: `sandbox rootfs fetch`"), "{found}");
        for name in fs::read_dir(rootfs(who).join("bin")).unwrap() {
            fs::remove_file(name.unwrap().path()).unwrap();
        }
        who.run(&["doctor"]).ends_with(125).complains(&["is broken", "`sandbox rootfs fetch`"]);
        who.run(&["rootfs", "fetch"]).succeeds();
        who.run(&["run", "--", "true"]).succeeds();
    });
}

#[test]
fn where_the_data_directory_cannot_be_written_a_layer_is_in_memory() {
    everybody("a read-only home", |who| {
        who.run(&["rootfs", "fetch"]).succeeds();
        let frozen = "mount --bind .local .local && mount -o remount,bind,ro .local";
        for made in [false, true] {
            let union = ["run", "--level", "union", "--", "sh", "-c", "echo x > /x; cat /x"];
            let ran = who.after_mounts(frozen, &union).ends_with(0);
            assert_eq!(ran.stdout, "x\n");
            assert!(ran.said().contains("it is in memory"), "{}", ran.stderr);
            let keep = ["run", "--level", "union", "--keep", "it", "--", "true"];
            who.after_mounts(frozen, &keep).ends_with(2).complains(&["cannot hold an upper layer"]);
            who.after_mounts(frozen, &["run", "--", "true"]).succeeds();
            if !made {
                who.run(&["run", "--level", "union", "--", "true"]).succeeds();
            }
        }
        let left = fs::read_dir(who.state()).map_or(0, Iterator::count);
        assert!(who.is_root() || left == 0, "something is left in the state directory");
    });
}

#[test]
fn a_user_namespace_that_is_refused_is_explained() {
    everybody("ids without a mapping", |who| {
        who.run(&["rootfs", "fetch"]).succeeds();
        let mut unshare = who.command("/usr/bin/unshare");
        unshare.arg("--user").arg(who.sandbox(&[]).get_program());
        let ran = Ran::of(
            unshare.args(["run", "--only", "user,uts", "--", "true"]),
            "unshare".to_owned(),
        );
        assert!(ran.said().contains("hint: your ids have no mapping"), "{}", ran.stderr);
    });
    as_root("in a chroot", |who| {
        let script = "mkdir cr && mount --rbind / cr && set -- chroot cr \"$@\"";
        let ran =
            who.after_mounts(script, &["run", "--only", "user,uts", "--", "true"]).ends_with(125);
        assert!(ran.said().contains("chroot"), "{}", ran.stderr);
    });
}
