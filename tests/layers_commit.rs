//! A layer that is committed: an image for us, and an archive for others.

#![allow(clippy::unwrap_used)] // a test may panic

mod common;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use common::{Ran, Who, as_root, everybody, has};

fn rootfs(who: &Who) -> PathBuf {
    who.run(&["run", "--", "true"]).succeeds();
    who.home().join(".local/share/sandbox/rootfs/busybox/rootfs")
}

fn union<'a>(more: &[&'a str], script: &'a str) -> Vec<&'a str> {
    [&["run", "--level", "union"], more, &["--", "sh", "-c", script]].concat()
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
fn devices_sockets_and_attributes_of_a_layer_are_where_an_archive_has_them() {
    as_root("attributes", |who| {
        rootfs(who);
        who.run(&union(&["--keep", "rich"], "mkdir /odd; echo x > /odd/file")).succeeds();
        let odd = who.home().join(".local/share/sandbox/layers").join("kept-rich/upper/odd");
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

#[test]
fn holes_and_times_are_in_an_image_as_they_were_in_its_layer() {
    everybody("holes", |who| {
        rootfs(who);
        let change = "mkdir /odd; dd if=/dev/zero of=/odd/sparse bs=1 count=1 seek=300M 2> /dev/null; \
            echo end >> /odd/sparse; echo x > /odd/old; touch -d '1960-01-02 03:04:05' /odd/old /odd";
        who.run(&union(&["--keep", "holes"], change)).succeeds();
        let about = "cd /odd; stat -c '%s %Y %n' .  old sparse; md5sum sparse";
        let seen = who.run(&union(&["--keep", "holes"], about)).succeeds();
        who.run(&["commit", "holes", "image"]).succeeds();
        let store = who.home().join(".local/share/sandbox/rootfs");
        for file in ["layer/odd/sparse", "layer.tar"] {
            let about = fs::metadata(store.join("image").join(file)).unwrap();
            assert!(
                about.size() > 300 << 20 && about.blocks() < 4096,
                "{file}: {}",
                about.blocks()
            );
        }
        let image = who.run(&union(&["--rootfs", "image"], about)).succeeds();
        assert_eq!(image, seen);
        // The archive, as GNU tar reads it, and as we do.
        let archive = store.join("image/layer.tar");
        let mut tar = Command::new("/bin/tar");
        tar.args(["-tvf"]).arg(&archive).env("TZ", "UTC").arg("odd/old");
        assert!(Ran::of(&mut tar, "tar".to_owned()).succeeds().contains("1960-01-02 03:04"));
        who.run(&["rootfs", "import", archive.to_str().unwrap(), "again"]).succeeds();
        let again = fs::metadata(store.join("again/rootfs/odd/sparse")).unwrap();
        assert!(again.size() > 300 << 20 && again.blocks() < 4096, "{}", again.blocks());
    });
}

#[test]
fn a_layer_may_be_deeper_than_files_may_be_open() {
    everybody("deep", |who| {
        rootfs(who);
        let dig = "mkdir -p $(yes d/ | head -n 300 | tr -d '\\n')";
        who.run(&union(&["--keep", "deep"], dig)).succeeds();
        let few = |args: &str| {
            let mut sh = who.command("/bin/sh");
            let program = who.sandbox(&[]).get_program().to_owned();
            sh.args(["-c", &format!("ulimit -n 64; exec \"$0\" {args}")]).arg(program);
            Ran::of(&mut sh, args.to_owned()).succeeds()
        };
        assert!(few("diff deep").lines().count() >= 300);
        few("layers deep");
        few("commit deep image");
        few("rootfs remove image");
        few("layers deep --remove");
        few(&format!("run --level union -- sh -c \"{dig}\""));
        assert_eq!(few("clean"), "nothing was left behind\n");
    });
}

#[test]
fn a_commit_that_is_killed_leaves_no_half_image() {
    everybody("killed commit", |who| {
        rootfs(who);
        let fill = "for i in 1 2 3 4 5 6 7 8; do dd if=/dev/zero of=/big$i bs=1M count=4; done 2> /dev/null";
        who.run(&union(&["--keep", "big"], fill)).succeeds();
        let mut killed = 0;
        for millis in [1, 2, 4, 6, 8, 12, 16, 24, 32, 48] {
            let mut commit = who.sandbox(&["commit", "big", "image"]);
            let mut commit = commit.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            std::thread::sleep(std::time::Duration::from_millis(millis));
            commit.kill().unwrap();
            commit.wait().unwrap();
            if who.run(&["rootfs", "remove", "image"]).status == 0 {
                continue; // it was quicker
            }
            killed += 1;
            assert!(!who.run(&["rootfs", "list"]).succeeds().contains("image"));
        }
        assert!(killed > 0, "it was always quicker");
        who.run(&["commit", "big", "image"]).succeeds();
        let store = who.home().join(".local/share/sandbox/rootfs");
        let names = fs::read_dir(store).unwrap().map(|entry| entry.unwrap().file_name());
        assert!(names.into_iter().all(|name| !name.to_string_lossy().starts_with('.')));
        let whole = who.run(&union(&["--rootfs", "image"], "ls / | grep -c big")).succeeds();
        assert_eq!(whole, "8\n");
    });
}
