//! The layers of images: what an upper one may do to lower ones, and images that are not what they
//! say.

mod archive;

use std::fs;

use archive::{Archive, Playground};
use rootfs_fetch::Error;

fn archive() -> Archive {
    Archive::default()
}

#[test]
fn a_layer_takes_away_what_lower_ones_have_and_nothing_else() {
    let place = Playground::new();
    let lower = archive().file("a/one", "1").file("a/two", "2").file("b/x/old", "").file("b/y", "");
    let upper = archive()
        .file("a/.wh.one", "")
        .file("a/two", "new")
        .file("a/.wh.two", "")
        .file("b/x/new", "")
        .file("b/.wh..wh..opq", "")
        .file("no/such/.wh.file", "")
        .file("a/.wh..wh.plnk", "");
    let rootfs = place.image(&[lower.end(), upper.end()]).expect("imported");
    assert_eq!(archive::names(&rootfs.path.join("a")), ["two"]);
    assert_eq!(archive::names(&rootfs.path.join("b")), ["x"]);
    assert_eq!(archive::names(&rootfs.path.join("b/x")), ["new"]);
    assert!(!rootfs.path.join("no").exists());
}

#[test]
fn a_whiteout_of_what_is_above_is_refused() {
    let place = Playground::new();
    for name in ["a/.wh...", "a/.wh..", ".wh..."] {
        let layers = [archive().file("a/f", "").end(), archive().file(name, "").end()];
        let error = place.image(&layers).expect_err("refused").to_string();
        assert!(error.contains(name) && error.contains("above"), "{error}");
    }
}

#[test]
fn a_whiteout_through_a_link_out_of_the_tree_is_refused() {
    let place = Playground::new();
    let lower = archive().symlink("l", place.canary_name()).file("f", "");
    for whiteout in ["l/.wh.file", "l/.wh..wh..opq"] {
        let layers = [lower.clone().end(), archive().file(whiteout, "").end()];
        let error = place.image(&layers).expect_err("refused").to_string();
        assert!(error.contains(whiteout), "{error}");
    }
    // The link itself may go.
    let layers = [lower.end(), archive().file(".wh.l", "").end()];
    let rootfs = place.image(&layers).expect("imported");
    assert!(rootfs.path.join("l").symlink_metadata().is_err());
}

#[test]
fn a_layer_writes_through_the_link_that_a_lower_one_made_and_not_into_shared_files() {
    let place = Playground::new();
    let lower = archive()
        .file("usr/bin/old", "old")
        .hard_link("usr/bin/same", "usr/bin/old")
        .symlink("bin", "usr/bin");
    let upper = archive().file("bin/old", "new");
    let rootfs = place.image(&[lower.end(), upper.end()]).expect("imported");
    let read = |name: &str| fs::read_to_string(rootfs.path.join(name)).expect("a file");
    assert_eq!((&*read("usr/bin/old"), &*read("usr/bin/same")), ("new", "old"));
}

#[test]
fn a_blob_that_is_not_what_its_digest_says_is_refused() {
    let place = Playground::new();
    let layout = place.dir.path().join("layout");
    archive::write_layout(&layout, &[archive().file("f", "x").end()]);
    let blobs = layout.join("blobs/sha256");
    for name in archive::names(&blobs) {
        let blob = blobs.join(&name);
        let right = fs::read(&blob).expect("a blob");
        let mut wrong = right.clone();
        wrong[0] ^= 1;
        fs::write(&blob, &wrong).expect("write");
        let import = || place.store().import(&layout, "it", &rootfs_fetch::Progress::hidden());
        let error = import().expect_err("refused");
        assert!(matches!(&error, Error::Mismatch { what, .. } if what.contains(&name)), "{error}");
        fs::write(&blob, &right[1..]).expect("write");
        let error = import().expect_err("refused").to_string();
        assert!(error.contains("size") && error.contains(&name), "{error}");
        fs::write(&blob, &right).expect("write");
        place.check(false);
    }
}

#[test]
fn the_links_in_an_image_do_not_lead_out_of_it() {
    let place = Playground::new();
    let out = format!("{}/file", place.canary_name());
    let layout = archive()
        .file("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#)
        .symlink("index.json", &out);
    place.refuses(layout, "index.json");
    let saved = r#"[{"Config":"\u001b[31m","Layers":[]}]"#;
    assert!(!place.refuses(archive().file("manifest.json", saved), "lacks").contains('\x1b'));
    let saved = r#"[{"Config":"../../canary/file","Layers":[]}]"#;
    place.refuses(archive().file("manifest.json", saved), "canary/file");
}
