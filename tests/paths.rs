//! Links that somebody plants in a rootfs: nothing outside of it is made, written or mounted on.

#![allow(clippy::unwrap_used)] // a test may panic

mod common;

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use common::{Ran, Who, everybody};
use rustix::fs::{CWD, RenameFlags, renameat_with};

/// A rootfs in a directory of this one's own.
fn own_rootfs(who: &Who) -> PathBuf {
    who.run(&["rootfs", "fetch"]).succeeds();
    let stored = who.home().join(".local/share/sandbox/rootfs/busybox/rootfs");
    let own = who.home().join("own");
    let mut cp = who.command("/bin/cp");
    Ran::of(cp.arg("-a").arg(stored).arg(&own), "cp".to_owned()).succeeds();
    own
}

/// A directory of this one's with a file in it, which no sandbox has to do with.
fn outside(who: &Who) -> PathBuf {
    let outside = who.home().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("precious"), "my thesis").unwrap();
    for path in [outside.join("precious"), outside.clone()] {
        // Root's sandboxes become nobody.
        chown(path, Some(if who.is_root() { 65534 } else { who.uid }), None).unwrap();
    }
    outside
}

fn assert_untouched(outside: &Path, what: &str) {
    let names = fs::read_dir(outside).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(names.collect::<Vec<_>>(), ["precious"], "{what}");
    assert_eq!(fs::read_to_string(outside.join("precious")).unwrap(), "my thesis", "{what}");
}

/// Puts a link in the place of whatever is there.
fn plant(root: &Path, name: &str, to: &Path) {
    let link = root.join(name);
    let _ = fs::remove_dir_all(&link).or_else(|_| fs::remove_file(&link));
    symlink(to, link).unwrap();
}

#[test]
fn a_lesson_over_a_rootfs_with_planted_links_writes_nothing_outside() {
    everybody("planted links", |who| {
        for (name, to) in [
            ("usr/bin/host-ls", "precious"),
            ("etc/secret", "precious"),
            ("etc", ""),
            ("usr/sbin", ""),
            ("usr", ""),
            ("rootfs", ""),
        ] {
            let outside = outside(who);
            let root = own_rootfs(who);
            plant(&root, name, &outside.join(to));
            let args = ["lesson", "chroot.break-out", "--no-pause", "--rootfs"];
            let ran = who.run(&[&args[..], &[root.to_str().unwrap()]].concat());
            assert!([0, 125].contains(&ran.status), "{name}: {}", ran.stderr);
            assert!(name != "usr/bin/host-ls" || ran.status == 0, "{}", ran.stderr);
            assert_untouched(&outside, name);
            fs::remove_dir_all(&outside).unwrap();
            fs::remove_dir_all(&root).unwrap();
        }
    });
}

#[test]
fn a_link_in_place_of_proc_dev_or_sys_leads_within_the_root() {
    everybody("links to directories of the host", |who| {
        let (root, outside) = (own_rootfs(who), outside(who));
        let inside = root.join(outside.strip_prefix("/").unwrap());
        fs::create_dir_all(&inside).unwrap();
        for (name, shows) in [("proc", "self"), ("dev", "null"), ("sys", "class")] {
            for level in ["chroot", "namespaces"] {
                if level == "chroot" && name == "sys" {
                    continue;
                }
                plant(&root, name, &outside);
                let there = format!("/{name}/{shows}");
                let args = ["run", "--level", level, "--rootfs", root.to_str().unwrap(), "--"];
                who.run(&[&args[..], &["test", "-e", &there]].concat()).succeeds();
                assert_untouched(&outside, name);
            }
            fs::remove_file(root.join(name)).unwrap();
            fs::create_dir(root.join(name)).unwrap();
        }
        plant(&root, "proc", Path::new("/nowhere"));
        let ran = who.run(&["run", "--rootfs", root.to_str().unwrap(), "--", "true"]);
        assert!(ran.ends_with(125).said().contains("a link"));
    });
}

#[test]
fn a_directory_that_becomes_a_link_while_a_volume_is_mounted_leads_nowhere_outside() {
    everybody("a directory exchanged for a link", |who| {
        let (root, outside) = (own_rootfs(who), outside(who));
        let (data, link) = (root.join("data"), root.join("link"));
        fs::create_dir(&data).unwrap();
        symlink(&outside, &link).unwrap();
        let file = who.home().join("x.conf");
        fs::write(&file, "x").unwrap();
        let places = ["/data/x.conf", "/data/d/e"];
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    renameat_with(CWD, &data, CWD, &link, RenameFlags::EXCHANGE).unwrap();
                }
            });
            for turn in 0..40 {
                let source = [file.as_path(), who.home()][turn % 2];
                let volume = format!("{}:{}", source.display(), places[turn % 2]);
                let root = root.to_str().unwrap();
                // It may fail: somebody is playing with its root.
                who.run(&[
                    "run", "--level", "union", "--rootfs", root, "-v", &volume, "--", "true",
                ]);
            }
            done.store(true, Ordering::Relaxed);
        });
        assert_untouched(&outside, "while it was exchanged");
    });
}

#[test]
fn no_command_is_a_door_to_the_program_that_starts_it() {
    everybody("the program as an interpreter", |who| {
        let own = own_rootfs(who);
        let script = own.join("bin/script");
        fs::write(&script, "#! /proc/self/exe\n").unwrap();
        fs::write(own.join("bin/second"), "#!/bin/script x\n").unwrap();
        symlink("/proc/self/exe", own.join("bin/door")).unwrap();
        for name in ["script", "second"] {
            let executable = fs::Permissions::from_mode(0o755);
            fs::set_permissions(own.join("bin").join(name), executable).unwrap();
        }
        for level in ["namespaces", "union"] {
            for command in ["script", "second", "door", "/proc/self/exe"] {
                let args = ["run", "--level", level, "--rootfs", own.to_str().unwrap()];
                let ran = who.run(&[&args[..], &["--", command]].concat());
                ran.ends_with(126).complains(&["ELOOP", "a program of the host's"]);
            }
        }
    });
}
