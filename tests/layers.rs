//! Layers: what is written, kept, listed and committed, and that nothing below ever changes.

#![allow(clippy::unwrap_used)] // a test may panic

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::{Ran, Who, as_root, everybody, has};

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

#[track_caller]
fn assert_same(one: &str, other: &str, what: &str) {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let (one, other) = (lines(one), lines(other));
    let only = |some: &[String], others: &[String]| {
        some.iter().filter(|line| !others.contains(line)).cloned().collect::<Vec<_>>()
    };
    assert_eq!(only(&one, &other), only(&other, &one), "{what}");
    assert_eq!(one.len(), other.len(), "{what}");
}

/// What a tree holds as far as an archive keeps it, told from inside a sandbox.
const HOLDS: &str = "cd /; find etc home odd usr/bin bin -xdev 2> /dev/null | sort | \
    while read -r f; do stat -c '%N %A %F' \"$f\"; [ -f \"$f\" ] && [ ! -L \"$f\" ] && \
    { stat -c %h \"$f\"; md5sum < \"$f\"; }; done; true";

#[test]
fn a_committed_layer_is_an_image_for_us_and_an_archive_for_others() {
    everybody("commit", |who| {
        let base = rootfs(who);
        let change = "mkdir -p '/odd/with space' /odd/deep/er/and/deeper; echo x > '/odd/with space/ö,:'; \
            echo 1 > /odd/one; ln /odd/one /odd/two; ln -s /nowhere /odd/link; mkfifo /odd/fifo; \
            chmod 4755 /odd/one; dd if=/dev/zero of=/odd/sparse bs=1 count=1 seek=1000000 2> /dev/null; \
            rm /bin/vi; rm -r /home; mkdir /home; touch /home/new; echo changed >> /etc/passwd; true";
        who.run(&union(&["--keep", "work"], change)).succeeds();
        who.run(&["commit", "work", "image"]).succeeds();
        let seen = who.run(&union(&["--keep", "work"], HOLDS)).succeeds();
        assert!(seen.contains("with space") && !seen.contains("bin/vi'"), "{seen}");
        let image = who.run(&union(&["--rootfs", "image"], HOLDS)).succeeds();
        assert_same(&image, &seen, "the image is not what was committed");

        // GNU tar over a copy of the rootfs, and the whiteouts by hand.
        let archive = who.home().join(".local/share/sandbox/rootfs/image/layer.tar");
        let copy = who.home().join("copy");
        let script = format!(
            "cp -a {base} {copy} && cd {copy} && tar -tf {archive} | grep '/\\.wh\\.' | while read -r f; do \
             d=$(dirname \"$f\"); n=$(basename \"$f\"); \
             if [ \"$n\" = .wh..wh..opq ]; then rm -rf \"$d\"/* ; else rm -r \"$d/${{n#.wh.}}\"; fi; done; \
             tar --exclude='.wh.*' -xpf {archive}",
            base = base.display(),
            copy = copy.display(),
            archive = archive.display()
        );
        let mut sh = who.command("/bin/sh");
        Ran::of(sh.args(["-c", &script]), "tar".to_owned()).succeeds();
        let named = copy.to_str().unwrap();
        let by_tar = who.run(&union(&["--rootfs", named], HOLDS)).succeeds();
        assert_same(&by_tar, &seen, "the archive is not what was committed");
        who.run(&["run", "--rootfs", "image", "--", "true"]).ends_with(2).complains(&["of layers"]);
        let refused = who.run(&["rootfs", "remove", "busybox"]);
        assert!(
            refused.status != 0 && refused.stderr.contains("a layer over"),
            "{}",
            refused.stderr
        );
        who.run(&["rootfs", "remove", "image"]).succeeds();
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
    mount -t overlay -o lowerdir=l/l,upperdir=l/u,workdir=l/w o disk";

#[test]
fn layers_are_in_memory_where_the_disk_cannot_hold_them() {
    as_root("nested", |who| {
        let ran = on_a_disk(who, "mount -t tmpfs t disk", &union(&[], "echo x > /x; cat /x"));
        assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("x\n", ""));
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
        on_a_disk(who, NESTED, &["lesson", "4.shared"]).ends_with(0);
        on_a_disk(who, "mount -t tmpfs t disk", &["lesson", "4.shared"]).ends_with(0);
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
        for (wrong, told) in
            [("x:y", "begins with `/`"), ("/nope:/mnt", "No such file"), (":/x", "write `SOURCE")]
        {
            let ran = who.run(&union(&["--volume", wrong], "true")).ends_with(2);
            assert!(ran.said().contains(told), "{}", ran.stderr);
        }
        let ran = who.run(&["run", "--volume", &plain, "--", "true"]).ends_with(2);
        assert!(ran.said().contains("has no `/data` to mount on"), "{}", ran.stderr);
    });
}

#[test]
fn devices_sockets_and_attributes_of_a_layer_are_where_an_archive_has_them() {
    as_root("attributes", |who| {
        rootfs(who);
        who.run(&union(&["--keep", "rich"], "mkdir /odd; echo x > /odd/file")).succeeds();
        let odd = layers(who).join("kept-rich/upper/odd");
        rustix::fs::lsetxattr(
            odd.join("file"),
            "user.note",
            b"hello",
            rustix::fs::XattrFlags::empty(),
        )
        .unwrap();
        let mut sh = Command::new("/bin/sh");
        sh.args(["-c", "mknod null c 1 3 && mknod disk b 7 99"]).current_dir(&odd);
        Ran::of(&mut sh, "mknod".to_owned()).succeeds();
        let _socket = std::os::unix::net::UnixListener::bind(odd.join("socket")).unwrap();
        who.run(&["commit", "rich", "image"]).succeeds();
        let image = who.home().join(".local/share/sandbox/rootfs/image");
        let out = who.home().join("out");
        fs::create_dir(&out).unwrap();
        let mut tar = Command::new("/bin/tar");
        tar.args(["--xattrs", "-xpf"]).arg(image.join("layer.tar")).arg("-C").arg(&out);
        Ran::of(&mut tar, "tar".to_owned()).succeeds();
        for tree in [image.join("layer/odd"), out.join("odd")] {
            let mut value = [0; 16];
            let length = rustix::fs::lgetxattr(tree.join("file"), "user.note", &mut value).unwrap();
            assert_eq!(&value[..length], b"hello", "{}", tree.display());
            let mut stat = Command::new("/usr/bin/stat");
            stat.args(["-c", "%F %t %T", "null", "disk"]).current_dir(&tree);
            let devices = Ran::of(&mut stat, "stat".to_owned()).succeeds();
            assert_eq!(devices, "character special file 1 3\nblock special file 7 63\n");
        }
        assert!(!out.join("odd/socket").exists(), "a socket in an archive");
    });
}

#[test]
fn umoci_reads_our_layer_and_we_read_its() {
    if !has("umoci", "umoci") {
        return;
    }
    as_root("umoci", |who| {
        let base = rootfs(who);
        let change = "echo 2 > /etc/release; rm /bin/vi; rm -r /home; mkdir /home; touch /home/new";
        who.run(&union(&["--keep", "work"], change)).succeeds();
        who.run(&["commit", "work", "ours"]).succeeds();
        let seen = who.run(&union(&["--rootfs", "ours"], HOLDS)).succeeds();
        let archive = who.home().join(".local/share/sandbox/rootfs/ours/layer.tar");
        let sh = |script: &str| {
            let mut sh = who.command("/bin/sh");
            sh.args(["-euc", script]).current_dir(who.home());
            sh.env("BASE", &base).env("LAYER", &archive);
            Ran::of(&mut sh, script.to_owned()).succeeds()
        };
        sh("umoci init --layout img; umoci new --image img:latest
            umoci unpack --image img:latest base; cp -a $BASE/. base/rootfs
            umoci repack --image img:latest base
            cp -a img theirs; cp -a img with-ours
            umoci raw add-layer --image with-ours:latest $LAYER
            umoci unpack --image with-ours:latest ours");
        let ours = who.home().join("ours/rootfs");
        let by_umoci = who.run(&union(&["--rootfs", ours.to_str().unwrap()], HOLDS)).succeeds();
        assert_same(&by_umoci, &seen, "umoci shows another tree");

        sh("umoci unpack --image theirs:latest bundle; cd bundle/rootfs
            echo 2 > etc/release; rm bin/vi; rm -r home; mkdir home; touch home/new
            cd ../..; umoci repack --image theirs:latest bundle");
        let layout = who.home().join("theirs");
        who.run(&["rootfs", "import", layout.to_str().unwrap(), "theirs"]).succeeds();
        let theirs = who.run(&union(&["--rootfs", "theirs"], HOLDS)).succeeds();
        assert_same(&theirs, &seen, "umoci's layer shows another tree");
    });
}
