//! What is mounted, where names are not text.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Output};

use rootfs_fetch::mounts::{below, table};

/// Not a test by itself: what the other one starts where it may mount.
#[test]
fn look_at_the_tree_that_the_environment_names() {
    let Some(tree) = std::env::var_os("MOUNTS_TREE") else { return };
    let tree = fs::canonicalize(tree).expect("a tree");
    let point = tree.join("a").join(OsStr::from_bytes(b"caf\xe9 au\\lait\n"));
    assert_eq!(below(&tree).expect("mounts"), [&*point]);
    assert_eq!(below(&point).expect("mounts"), [&*point]);
    assert!(below(&tree.join("b")).expect("mounts").is_empty());
    assert!(below(&tree.join("link")).expect("mounts").is_empty());
    let all = table().expect("a table");
    let mount = all.iter().find(|mount| mount.point == point).expect("it is in the table");
    assert_eq!((&*mount.root, &*mount.kind), (Path::new("/"), OsStr::new("tmpfs")));
    assert!(mount.options.iter().any(|option| option == "noexec"), "{mount:?}");
    assert!(mount.super_options.iter().any(|option| option == "size=64k"), "{mount:?}");
    for path in [&tree, &tree.join("a"), &point] {
        let error = rootfs_fetch::remove(path).expect_err("it is mounted").to_string();
        assert!(error.contains("is mounted"), "{error}");
    }
    assert!(point.join("kept").exists() && tree.join("b").exists());
    rootfs_fetch::remove(&tree.join("link")).expect("only a link");
    println!("LOOKED");
}

/// Runs the test above with a tmpfs mounted in `tree`, in a mount namespace of its own.
fn look_at(tree: &Path, unshare: &[&str]) -> std::io::Result<Output> {
    let script = r#"
        point=$1/a/$(printf 'caf\351 au\\lait\nx') && point=${point%x} && mkdir -p "$point" &&
        mount -t tmpfs -o noexec,size=64k none "$point" && : > "$point/kept" &&
        MOUNTS_TREE=$1 exec "$2" --exact look_at_the_tree_that_the_environment_names --nocapture
    "#;
    let this = std::env::current_exe().expect("this test");
    let mut command = Command::new("unshare");
    command.args(unshare).args(["sh", "-c", script, "sh"]).arg(tree).arg(this).output()
}

#[test]
fn a_mount_on_a_name_that_is_not_text_is_seen_and_nothing_is_removed_through_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let tree = dir.path().join("tree");
    fs::create_dir_all(tree.join("b")).expect("mkdir");
    std::os::unix::fs::symlink("a", tree.join("link")).expect("symlink");
    let ways: [&[&str]; 2] = [&["--mount"], &["--user", "--map-root-user", "--mount"]];
    let mut why = "there is no `unshare`".to_owned();
    for unshare in ways {
        let Ok(output) = look_at(&tree, unshare) else { break };
        let (out, err) = (output.stdout, output.stderr);
        let (out, err) = (String::from_utf8_lossy(&out), String::from_utf8_lossy(&err));
        if out.contains("running 1 test") {
            assert!(output.status.success() && out.contains("LOOKED"), "{out}{err}");
            return rootfs_fetch::remove(&tree).expect("nothing is mounted here");
        }
        why = format!("nothing can be mounted: {}", err.trim());
    }
    eprintln!("SKIPPED: this test, because {why}");
    assert!(std::env::var_os("SANDBOX_TEST_ALL").is_none(), "{why}");
}
