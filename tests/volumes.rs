//! Volumes, memory, and roots that are only read: where they are mounted, and what may be written.

#![allow(clippy::unwrap_used)] // a test may panic

mod common;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{chown, symlink};
use std::path::{Path, PathBuf};

use common::{Ran, Who, everybody};

/// A directory of this one's with a file `name` in it, which says the name.
fn source(who: &Who, name: &str) -> PathBuf {
    let dir = who.home().join(name);
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join(name), name).unwrap();
    chown(&dir, Some(who.uid), Some(who.uid)).unwrap();
    dir
}

fn union(who: &Who, more: &[&str], script: &str) -> Ran {
    who.run(&[&["run", "--level", "union"], more, &["--", "sh", "-c", script]].concat())
}

#[test]
fn volumes_lie_in_each_other_in_whatever_order_they_are_told() {
    everybody("nested volumes", |who| {
        let [a, b, c] = ["a", "b", "c"].map(|name| source(who, name));
        let a = format!("{}:/a", a.display());
        let b = format!("{}:/a/b", b.display());
        let c = format!("{}:/a/b/deep/er/c", c.display());
        for order in [[&a, &b, &c], [&c, &b, &a], [&b, &c, &a]] {
            let told = order.iter().flat_map(|volume| ["-v", volume.as_str()]);
            let ran = union(who, &told.collect::<Vec<_>>(), "cat /a/a /a/b/b /a/b/deep/er/c/c");
            assert_eq!(ran.succeeds(), "abc");
        }
        let shared = ["-v", &a, "--tmpfs", "/new/x", "-v", &c.replace("/a/b/", "/new/")];
        assert_eq!(union(who, &shared, "ls /new; ls /new/deep/er").succeeds(), "deep\nx\nc\n");
        let twice = ["-v", &a, "--tmpfs", "/a/../a"].map(|word| word.replace("/../a", ""));
        let twice: Vec<&str> = twice.iter().map(String::as_str).collect();
        union(who, &twice, "true").ends_with(2).complains(&["two things", "`/a`"]);
    });
}

#[test]
fn nothing_is_made_in_a_volume_that_is_only_read() {
    everybody("a place in a read-only volume", |who| {
        let [a, b] = ["a", "b"].map(|name| source(who, name));
        let outer = format!("{}:/a:ro", a.display());
        let inner = format!("{}:/a/b", b.display());
        let both = ["-v", inner.as_str(), "-v", outer.as_str()];
        union(who, &both, "true")
            .ends_with(2)
            .complains(&["`/a/b`", "nothing can be made in `/a`"]);
        assert!(!a.join("b").exists());
        fs::create_dir(a.join("b")).unwrap();
        let script = "touch /a/x; touch /a/b/x && cat /a/b/b";
        let ran = union(who, &both, script);
        assert!(ran.stdout == "b" && ran.stderr.contains("Read-only"), "{}", ran.stderr);
        assert!(b.join("x").exists());
    });
}

#[test]
fn what_is_mounted_below_a_read_only_volume_or_root_is_only_read_too() {
    everybody("mounts below", |who| {
        source(who, "v");
        let mounts = "mount -t tmpfs t v && mkdir v/sub && mount -t tmpfs t v/sub && \
            chmod 1777 v v/sub && mkdir -p r/mnt && cp -a .local/share/sandbox/rootfs/busybox/rootfs/. r && \
            mount -t tmpfs t r/mnt && chmod 1777 r/mnt";
        who.run(&["rootfs", "fetch"]).succeeds();
        let v = format!("{}/v:/mnt:ro", who.home().display());
        let r = format!("{}/r", who.home().display());
        for args in [
            &["run", "--level", "namespaces", "-v", &v, "--", "touch", "/mnt/x", "/mnt/sub/x"][..],
            &["run", "--rootfs", &r, "--read-only", "--", "touch", "/mnt/x", "/tmp/x"],
            &[
                "run",
                "--rootfs",
                &r,
                "--without",
                "user",
                "--read-only",
                "--",
                "touch",
                "/mnt/x",
                "/x",
            ],
        ] {
            let ran = who.after_mounts(mounts, args);
            let refused = ran.stderr.matches("Read-only file system").count();
            assert_eq!(refused, 2, "{}: {}", ran.what, ran.stderr);
            let _ = fs::remove_dir_all(who.home().join("r"));
        }
    });
}

#[test]
fn a_read_only_volume_or_root_keeps_what_its_disk_forbids() {
    everybody("flags of the disk", |who| {
        who.run(&["rootfs", "fetch"]).succeeds();
        fs::create_dir(who.home().join("disk")).unwrap();
        let disk = "mount -t tmpfs -o nosuid,nodev,mode=755 t disk && \
            cp -a .local/share/sandbox/rootfs/busybox/rootfs disk/r && set -- unshare --user --map-root-user --mount \"$@\"";
        let root = format!("{}/disk/r", who.home().display());
        let v = format!("{root}/etc:/mnt:ro");
        for (args, at) in [
            (vec!["run", "--rootfs", &root, "--read-only"], " / "),
            (vec!["run", "-v", &v], " /mnt "),
        ] {
            // In a second user namespace the flags of such a mount are locked.
            let command = format!("grep '{at}' /proc/mounts");
            let args = [args, vec!["--", "sh", "-c", &command]].concat();
            let ran = who.after_mounts(disk, &args);
            let flags = ran.stdout.split(' ').nth(3).unwrap_or_default().to_owned();
            for flag in ["ro", "nosuid", "nodev"] {
                assert!(
                    flags.split(',').any(|one| one == flag),
                    "{}: {flags} {}",
                    ran.what,
                    ran.stderr
                );
            }
        }
    });
}

#[test]
fn proc_is_refused_and_a_dev_that_is_brought_along_is_left_alone() {
    everybody("proc and dev", |who| {
        let dev = source(who, "d");
        let at = |place: &str| format!("{}:{place}", dev.display());
        for place in ["/proc", "/proc/x", "/proc/sys/kernel"] {
            union(who, &["-v", &at(place)], "true").ends_with(2).complains(&[place, "/proc"]);
        }
        for volume in [at("/dev"), at("/dev:ro")] {
            assert_eq!(union(who, &["-v", &volume], "ls /dev").succeeds(), "d\n");
        }
        let names: Vec<_> =
            fs::read_dir(&dev).unwrap().map(|name| name.unwrap().file_name()).collect();
        assert_eq!(names, ["d"], "something was made in the volume");
        let file = format!("{}/d:/dev/null", dev.display());
        let more = ["-v", &at("/dev/shm"), "-v", &file, "-v", &at("/dev/new/place")];
        let ran = union(who, &more, "cat /dev/shm/d /dev/null /dev/new/place/d; : > /dev/zero");
        assert_eq!(ran.succeeds(), "ddd");
        union(who, &["-v", &at("/dev/pts/x")], "true").ends_with(2).complains(&["/dev/pts"]);
    });
}

#[test]
fn a_link_on_the_way_to_a_volume_is_followed_within_the_root() {
    everybody("links to volumes", |who| {
        who.run(&["rootfs", "fetch"]).succeeds();
        let (root, v) = (who.home().join("r"), source(who, "v"));
        let mut cp = who.command("/bin/cp");
        cp.arg("-a").arg(who.home().join(".local/share/sandbox/rootfs/busybox/rootfs")).arg(&root);
        Ran::of(&mut cp, "cp".to_owned()).succeeds();
        let links: [(&str, &Path); 4] = [
            ("var/run", "../run".as_ref()),
            ("etc/localtime", "/nowhere/there".as_ref()),
            ("out", who.home()),
            ("round", "/round".as_ref()),
        ];
        for (at, to) in links {
            let _ = fs::remove_dir_all(root.join(at));
            symlink(to, root.join(at)).unwrap();
        }
        let root = root.to_str().unwrap();
        let mount = |source: &Path, target: &str, script: &str| {
            let volume = format!("{}:{target}", source.display());
            union(who, &["--rootfs", root, "-v", &volume], script)
        };
        assert_eq!(mount(&v, "/var/run/x", "cat /run/x/v").succeeds(), "v");
        assert_eq!(mount(&v.join("v"), "/etc/localtime", "cat /nowhere/there").succeeds(), "v");
        assert_eq!(mount(&v, "/out/made", "cat /out/made/v").succeeds(), "v");
        assert!(!who.home().join("made").exists());
        mount(&v, "/round/x", "true").ends_with(2).complains(&["a link that leads back"]);
        mount(&v, "/etc/passwd", "true").ends_with(2).complains(&["`/etc/passwd` is a file"]);
        mount(&v.join("v"), "/etc", "true").ends_with(2).complains(&["`/etc` is a directory"]);
    });
}

#[test]
fn any_bytes_are_a_name() {
    everybody("names of volumes", |who| {
        let names: [&[u8]; 6] = [b"a:b", b"a b", b"\xff\xe9", b":ro", b"x:/y", b"%s'\"\n"];
        for name in names {
            let dir = who.home().join("names").join(OsStr::from_bytes(name));
            fs::create_dir_all(&dir).unwrap();
            fs::write(dir.join("f"), "f").unwrap();
            for (place, suffix) in [(b"t".as_slice(), b"".as_slice()), (b"\xfft: s", b":ro")] {
                let target = [b"/mnt/", place].concat();
                let words = [dir.as_os_str().as_bytes(), b":", &target, suffix].concat();
                let file = [&target[..], b"/f"].concat();
                let mut run = who.sandbox(&["run", "--level", "union", "-v"]);
                run.arg(OsString::from(OsStr::from_bytes(&words))).args(["--", "cat"]);
                let ran = Ran::of(run.arg(OsStr::from_bytes(&file)), format!("{name:?}"));
                assert_eq!(ran.succeeds(), "f");
            }
        }
    });
}

#[test]
fn memory_has_a_size() {
    everybody("memory", |who| {
        let size = "for at in /a /b:c; do df -k $at | tail -1 | awk '{print $2}'; done";
        let told = ["--tmpfs", "/a", "--tmpfs", "/b:c:2m"];
        assert_eq!(union(who, &told, size).succeeds(), "65536\n2048\n");
        for wrong in ["/a:b", "/a:0", "/a:", "a:1m", "/:1m", "/a:-1"] {
            union(who, &["--tmpfs", wrong], "true").ends_with(2).complains(&["`PATH:SIZE`"]);
        }
    });
}
