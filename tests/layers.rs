//! Layers: what is written, kept, listed and committed, and that nothing below ever changes.

#![allow(clippy::unwrap_used)] // a test may panic

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::{Ran, Who, as_root, everybody};

fn rootfs(who: &Who) -> PathBuf {
    who.run(&["run", "--", "true"]).succeeds();
    who.home().join(".local/share/sandbox/rootfs/busybox/rootfs")
}

/// Every file of a tree with mode, owner, content and target, in order.
fn checksum(tree: &Path) -> String {
    let script = "find . -printf '%p %M %U %G %s %l\\n' | sort; find . -type f | sort | xargs -d '\\n' cat | sha256sum";
    let mut sh = Command::new("/bin/sh");
    Ran::of(sh.args(["-c", script]).current_dir(tree), "checksum".to_owned()).succeeds()
}

fn union<'a>(more: &[&'a str], script: &'a str) -> Vec<&'a str> {
    [&["run", "--level", "union"], more, &["--", "sh", "-c", script]].concat()
}

fn layers(who: &Who) -> PathBuf {
    who.home().join(".local/share/sandbox/layers")
}

#[test]
fn what_is_written_is_gone_or_kept_and_the_rootfs_is_as_before() {
    everybody("kept", |who| {
        let rootfs = rootfs(who);
        let before = checksum(&rootfs);
        let change = "echo hi > /etc/motd; rm /bin/vi; rm -r /var; mkdir /var; touch /var/x";
        who.run(&union(&[], change)).succeeds();
        assert_eq!(fs::read_dir(layers(who)).unwrap().count(), 0);
        who.run(&union(&["--keep", "mine"], change)).succeeds();
        let look = "cat /etc/motd; ls /var; [ -e /bin/vi ] || echo no vi";
        assert_eq!(who.run(&union(&["--keep", "mine"], look)).succeeds(), "hi\nx\nno vi\n");
        assert_eq!(who.run(&union(&[], "ls -d /bin/vi")).succeeds(), "/bin/vi\n");
        assert_eq!(
            who.run(&["diff", "mine"]).succeeds(),
            "C /bin\nD /bin/vi\nC /etc\nA /etc/motd\nC /var\nA /var/x\n"
        );
        let drawn = who.run(&["layers", "mine"]).succeeds();
        for line in ["whiteout   /bin/vi", "opaque     /var", "new        /etc/motd"] {
            assert!(drawn.contains(line), "{drawn}");
        }
        assert_eq!(checksum(&rootfs), before);
        assert_eq!(who.run(&["layers"]).succeeds(), "mine\n");
        who.run(&["layers", "mine", "--remove"]).succeeds();
        assert_eq!(fs::read_dir(layers(who)).unwrap().count(), 0);
        who.run(&["diff", "nothing"]).ends_with(2).complains(&["nothing was kept"]);
    });
}

#[test]
fn a_kept_layer_is_written_by_one_at_a_time() {
    everybody("one writer", |who| {
        rootfs(who);
        who.run(&union(&["--keep", "busy"], "true")).succeeds();
        let args = union(&["--keep", "busy", "--name", "writer"], "exec sleep 30");
        let mut writer = who.sandbox(&args).stderr(Stdio::null()).spawn().unwrap();
        while !who.run(&["ps"]).stdout.contains("writer") {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        who.run(&union(&["--keep", "busy"], "true")).ends_with(2).complains(&["is writing `busy`"]);
        who.run(&["commit", "busy", "image"]).ends_with(2).complains(&["is writing `busy`"]);
        who.run(&["kill", "writer"]).succeeds();
        writer.wait().unwrap();
        who.run(&union(&["--keep", "busy"], "true")).succeeds();
    });
}

/// A number generator that gives the same numbers every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// A script of random changes to a few names that begin as files, directories and links.
fn changes(dice: &mut Dice) -> String {
    let names = ["a", "b", "d", "d/e", "d/f", "etc/passwd", "etc/group", "home", "var", "usr"];
    let mut script = String::from("cd /; ");
    for step in 0..40 {
        let (one, other) = (names[dice.roll(10) as usize], names[dice.roll(10) as usize]);
        let change = match dice.roll(10) {
            0 => format!("echo {step} > {one}"),
            1 => format!("echo {step} >> {one}"),
            2 => format!("rm -rf {one}"),
            3 => format!("mkdir {one}"),
            4 => format!("mv {one} {other}"),
            5 => format!("ln -s {other} {one}"),
            6 => format!("ln {one} {other}"),
            7 => format!("chmod {}00 {one}", 4 + dice.roll(4)),
            8 => format!("rm -rf {one}; mkdir {one}; echo {step} > {one}/new"),
            _ => format!("cp -a {one} {other}"),
        };
        script.push_str(&change);
        script.push_str(" 2> /dev/null; ");
    }
    // Sizes of directories are the filesystem's business.
    script.push_str(
        "find a b d etc/passwd etc/group home var usr 2> /dev/null | sort | while read -r f; do \
         stat -c '%N %A %F' \"$f\"; [ -f \"$f\" ] && [ ! -L \"$f\" ] && md5sum < \"$f\"; done",
    );
    script
}

#[test]
fn whatever_is_done_an_overlay_shows_what_a_plain_directory_shows() {
    everybody("random changes", |who| {
        let rootfs = rootfs(who);
        let before = checksum(&rootfs);
        let mut dice = Dice(20_261_121);
        for round in 0..25 {
            let script = changes(&mut dice);
            let overlay = who.run(&union(&[], &script));
            let plain = who.run(&union(&["--storage", "vfs"], &script));
            assert_eq!(overlay.stdout, plain.stdout, "{} round {round}: {script}", who.name);
            assert!(overlay.stdout.lines().count() > 2, "{}", overlay.stderr);
        }
        assert_eq!(checksum(&rootfs), before, "the lower layer was written");
        assert_eq!(fs::read_dir(layers(who)).unwrap().count(), 0);
    });
}

#[test]
fn what_a_link_in_an_image_leads_to_on_the_host_is_no_change() {
    everybody("a link in an image", |who| {
        let out = who.home().join("out");
        fs::create_dir(&out).unwrap();
        fs::write(out.join("secret"), "").unwrap();
        std::os::unix::fs::symlink(&out, rootfs(who).join("x")).unwrap();
        who.run(&union(&["--keep", "linked"], "rm /x; mkdir /x; touch /x/mine")).succeeds();
        assert_eq!(who.run(&["diff", "linked"]).succeeds(), "C /x\nA /x/mine\n");
        let drawn = who.run(&["layers", "linked"]).succeeds();
        assert!(drawn.contains("new        /x/mine") && !drawn.contains("secret"), "{drawn}");
    });
}

#[test]
fn odd_paths_serve_as_well() {
    everybody("odd paths", |who| {
        let home = who.home().join("a:b,c d\\e");
        fs::create_dir(&home).unwrap();
        std::os::unix::fs::chown(&home, Some(who.uid), Some(who.uid)).unwrap();
        let script = "echo x > /etc/x; cat /etc/x";
        let mut sandbox = who.sandbox(&union(&["--keep", "odd"], script));
        let ran = Ran::of(sandbox.env("SANDBOX_HOME", &home), "odd".to_owned());
        assert_eq!(ran.succeeds(), "x\n");
        let mut sandbox = who.sandbox(&["diff", "odd"]);
        let ran = Ran::of(sandbox.env("SANDBOX_HOME", &home), "odd".to_owned());
        assert_eq!(ran.succeeds(), "C /etc\nA /etc/x\n");
    });
}

/// Runs `sandbox` where `prepare` has mounted something on `$HOME/disk`, which keeps the layers.
fn on_a_disk(who: &Who, prepare: &str, args: &[&str]) -> Ran {
    let disk = who.home().join("disk");
    fs::create_dir_all(&disk).unwrap();
    let mut sandbox = who.sandbox(args);
    sandbox.env("SANDBOX_HOME", disk.join("home"));
    let mut unshare = who.command("/usr/bin/unshare");
    let user: &[&str] = if who.is_root() { &[] } else { &["--user", "--map-root-user"] };
    let script = format!("cd {} && {prepare} && exec \"$@\"", who.home().display());
    unshare.args(user).args(["--mount", "sh", "-c", &script, "sh"]);
    unshare.arg(sandbox.get_program()).args(args).env("SANDBOX_HOME", disk.join("home"));
    Ran::of(&mut unshare, format!("{}: {prepare}", who.name))
}

const NESTED: &str = "mkdir -p l && mount -t tmpfs t l && mkdir l/l l/u l/w && \
    mount -t overlay -o lowerdir=l/l,upperdir=l/u,workdir=l/w,userxattr o disk";

#[test]
fn layers_are_in_memory_where_the_disk_cannot_hold_them() {
    everybody("nested", |who| {
        let ran = on_a_disk(who, "mount -t tmpfs t disk", &union(&[], "echo x > /x; cat /x"));
        assert_eq!(ran.stdout, "x\n", "{}", ran.stderr);
        assert!(!ran.said().contains("in memory"), "{}", ran.stderr);
        let ran = on_a_disk(who, NESTED, &union(&[], "echo x > /x; cat /x"));
        assert_eq!(ran.stdout, "x\n", "{}", ran.stderr);
        assert!(
            ran.said().contains("cannot hold an upper layer: it is in memory"),
            "{}",
            ran.stderr
        );
        on_a_disk(who, NESTED, &union(&["--keep", "it"], "true"))
            .ends_with(2)
            .complains(&["cannot hold an upper layer", "SANDBOX_HOME"]);
        let in_memory = on_a_disk(who, "mount -t tmpfs t disk", &["lesson", "4"]).succeeds();
        assert!(in_memory.ends_with("claims held, 0 failed\n"), "{in_memory}");
        let nested = on_a_disk(who, NESTED, &["lesson", "4"]).succeeds();
        assert!(nested.ends_with(" 0 failed, 3 skipped\n"), "{nested}");
        assert!(nested.contains("set SANDBOX_HOME to a directory on ext4"), "{nested}");
    });
}

#[test]
fn a_full_disk_a_missing_base_and_a_read_only_layer_are_errors_that_leave_nothing() {
    as_root("layer errors", |who| {
        rootfs(who);
        let fill = "echo x > /x; dd if=/dev/zero of=/big bs=1M count=3 2> /dev/null; true";
        who.run(&union(&["--keep", "big"], fill)).succeeds();
        let data = who.home().join(".local/share/sandbox");
        let full = format!(
            "mount -t tmpfs -o size=7m t disk && mkdir disk/home && cp -a {0}/rootfs {0}/layers disk/home",
            data.display()
        );
        let moved =
            "printf '%s\\n' $PWD/disk/home/rootfs/busybox/rootfs > disk/home/layers/kept-big/below";
        let full = format!("{full} && {moved}");
        let ran = on_a_disk(who, &full, &["commit", "big", "image"]).ends_with(125);
        assert!(
            ran.stderr.contains("copy the layer") || ran.stderr.contains("No space"),
            "{}",
            ran.stderr
        );

        let stack = data.join("layers/kept-big/below");
        let was = fs::read_to_string(&stack).unwrap();
        fs::write(&stack, "/nowhere\n").unwrap();
        who.run(&union(&["--keep", "big"], "true"))
            .ends_with(2)
            .complains(&["lies on another rootfs"]);
        fs::write(&stack, was).unwrap();
        let frozen = format!(
            "mount -t tmpfs t disk && mkdir disk/home && cp -a {0}/rootfs {0}/layers disk/home && mount -o remount,ro disk",
            data.display()
        );
        let ran = on_a_disk(who, &frozen, &union(&["--keep", "big"], "true"));
        assert_ne!(ran.status, 0, "{}", ran.stderr);
        assert!(ran.stderr.contains("error:"), "{}", ran.stderr);
        assert_eq!(
            who.run(&union(&["--keep", "big"], "cat /x")).succeeds(),
            "x\n",
            "something was lost"
        );
    });
}

#[test]
fn volumes_memory_and_a_read_only_root() {
    everybody("volumes", |who| {
        let share = who.home().join("share");
        fs::create_dir(&share).unwrap();
        std::os::unix::fs::chown(&share, Some(who.uid), Some(who.uid)).unwrap();
        let volume = |options: &str| format!("{}:/data{options}", share.display());
        let (plain, read_only) = (volume(""), volume(":ro"));
        who.run(&union(&["--volume", &plain], "echo kept > /data/file")).succeeds();
        assert_eq!(fs::read_to_string(share.join("file")).unwrap(), "kept\n");
        let script = "cat /data/file; touch /data/x /etc/x; echo m > /scratch/m && cat /scratch/m";
        let ran = who
            .run(&union(&["--volume", &read_only, "--read-only", "--tmpfs", "/scratch"], script));
        assert_eq!(ran.stdout, "kept\nm\n", "{}", ran.stderr);
        assert_eq!(ran.stderr.matches("Read-only file system").count(), 2, "{}", ran.stderr);
        for (wrong, told) in [
            ("x:y", "begins with `/`"),
            ("/nope:/mnt", "ENOENT, no such file"),
            (":/x", "write `SOURCE"),
        ] {
            let ran = who.run(&union(&["--volume", wrong], "true")).ends_with(2);
            assert!(ran.said().contains(told), "{}", ran.stderr);
        }
        let ran = who.run(&["run", "--volume", &plain, "--", "true"]).ends_with(2);
        assert!(ran.said().contains("has no `/data` to mount on"), "{}", ran.stderr);
    });
}

#[test]
fn a_rootfs_that_disappeared_is_an_error_and_what_was_kept_stays() {
    everybody("lower gone", |who| {
        let base = rootfs(who);
        let copy = who.home().join("copy");
        let mut cp = who.command("/bin/cp");
        Ran::of(cp.arg("-a").arg(&base).arg(&copy), "cp".to_owned()).succeeds();
        let named = copy.to_str().unwrap();
        let with = ["--keep", "mine", "--rootfs", named];
        who.run(&union(&with, "echo kept > /x")).succeeds();
        fs::rename(&copy, who.home().join("elsewhere")).unwrap();
        who.run(&union(&with, "true")).ends_with(125).complains(&["No such file or directory"]);
        fs::rename(who.home().join("elsewhere"), &copy).unwrap();
        assert_eq!(who.run(&union(&with, "cat /x")).succeeds(), "kept\n");
    });
}
