//! Images from a real registry.

mod archive;
mod server;

use std::fs;
use std::process::Command;

use archive::{architecture, gzip};
use rootfs_fetch::Error;
use server::{DOCKER, OCI, Place, Registry, big_layer, digest, digest_of};
use server::{for_machine, layer, read};

#[test]
fn an_image_is_there_by_its_tag_and_by_its_digest() {
    let Some(registry) = Registry::start() else { return };
    let first = registry.push("1", OCI, &[layer("a", "one"), layer("a", "two")]);
    registry.push("latest", OCI, &[layer("a", "last")]);
    let place = Place::new();
    let image = registry.image("it:1");
    place.see(&image, |rootfs| {
        assert_eq!(read(rootfs, "a"), "two", "an upper layer is over a lower one");
        assert!(rootfs.path.join("proc").is_dir(), "what a root needs is added");
        assert_eq!(rootfs.source, format!("the image {image}"));
    });
    place.see(&registry.image("it"), |rootfs| assert_eq!(read(rootfs, "a"), "last"));
    let image = registry.image(&format!("it@{}", digest_of(&first)));
    place.see(&image, |rootfs| {
        assert_eq!(read(rootfs, "a"), "two");
        assert_eq!(rootfs.source, format!("the image {image}"));
    });
    let both = registry.image(&format!("it:nothing@{}", digest_of(&first)));
    place.see(&both, |rootfs| assert_eq!(read(rootfs, "a"), "two"));
}

#[test]
fn the_image_for_this_machine_is_taken_of_several() {
    let Some(registry) = Registry::start() else { return };
    let place = Place::new();
    for kinds in [OCI, DOCKER] {
        let layers = [gzip(&layer("a", "mine"))];
        let other = registry.push_for("pdp11", "other", kinds, &[gzip(&layer("a", "other"))]);
        let mine = registry.push("mine", kinds, &layers);
        let images = [
            for_machine(&other, "unknown", "unknown"),
            for_machine(&other, "linux", "pdp11"),
            for_machine(&mine, "linux", architecture()),
        ];
        registry.push_manifest("all", kinds[0], &server::index(kinds[0], &images));
        place.see(&registry.image("it:all"), |rootfs| assert_eq!(read(rootfs, "a"), "mine"));
        registry.push_manifest("others", kinds[0], &server::index(kinds[0], &images[..2]));
        let error = place.refuses(&registry.image("it:others"));
        assert!(error.contains(architecture()), "{error}");
        assert!(error.ends_with("but for linux/pdp11"), "{error}");
        let error = place.refuses(&registry.image("it:other"));
        assert!(error.contains("linux/pdp11"), "{error}");
    }
}

#[test]
fn layers_are_read_however_they_are_compressed() {
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};
    let Some(registry) = Registry::start() else { return };
    let zstd = compress_to_vec(&layer("z", "zstd")[..], CompressionLevel::Fastest);
    let twice = layer("plain", "plain");
    let layers = [gzip(&layer("g", "gzip")), zstd, twice.clone(), twice];
    registry.push("1", OCI, &layers);
    Place::new().see(&registry.image("it:1"), |rootfs| {
        for (file, text) in [("g", "gzip"), ("z", "zstd"), ("plain", "plain")] {
            assert_eq!(read(rootfs, file), text);
        }
    });
}

#[test]
fn what_skopeo_pushes_is_read() {
    let Some(registry) = Registry::start() else { return };
    if Command::new("skopeo").arg("--version").output().is_err() {
        eprintln!("SKIPPED: a part of this test, because there is no `skopeo`");
        assert!(std::env::var_os("SANDBOX_TEST_ALL").is_none(), "`skopeo` is missing");
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    archive::write_layout(&dir.path().join("oci"), &[layer("a", "one")]);
    for format in ["oci", "v2s2"] {
        let mut skopeo = Command::new("skopeo");
        skopeo.args(["--insecure-policy", "copy", "--dest-tls-verify=false", "--format", format]);
        skopeo.args(["oci:oci", &format!("docker://{}", registry.image("it:1"))]);
        let output = skopeo.current_dir(&dir).env("HOME", dir.path()).output().expect("started");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Place::new().see(&registry.image("it:1"), |rootfs| assert_eq!(read(rootfs, "a"), "one"));
    }
}

#[test]
fn a_layer_that_was_changed_is_refused() {
    let Some(registry) = Registry::start() else { return };
    let bytes = big_layer();
    registry.push("1", OCI, std::slice::from_ref(&bytes));
    let blob = registry.blob(&digest(&bytes));
    let mut changed = bytes.clone();
    changed[1000] ^= 1;
    fs::write(&blob, &changed).expect("written");
    let place = Place::new();
    let error = place.error(&registry.image("it:1"));
    let Error::Mismatch { what, expected, got } = &error else { panic!("{error}") };
    assert!(what.contains(&digest(&bytes)), "{what}");
    assert_eq!((expected, got), (&digest(&bytes), &digest(&changed)));
}

#[test]
fn a_layer_of_another_size_is_refused() {
    let Some(registry) = Registry::start() else { return };
    let bytes = big_layer();
    for (tag, size) in [("long", bytes.len() - 1), ("short", bytes.len() + 1), ("huge", 1 << 60)] {
        let config = registry.push_blob(OCI[2], b"{}");
        let right = registry.push_blob(OCI[3], &bytes);
        let size = format!("\"size\":{size}}}");
        let wrong = format!("{}{size}", right.split("\"size\"").next().expect("an object"));
        let json = server::manifest(OCI[1], &config, &[wrong]);
        registry.push_manifest(tag, OCI[1], &json);
        let error = Place::new().refuses(&registry.image(&format!("it:{tag}")));
        assert!(error.contains("size") || error.contains("allowed"), "{error}");
    }
}

#[test]
fn what_is_not_there_is_said_to_be_not_there() {
    let Some(registry) = Registry::start() else { return };
    registry.push("1", OCI, &[layer("a", "one")]);
    let place = Place::new();
    for image in ["it:2", "other", &format!("it@{}", digest(b""))] {
        let error = place.refuses(&registry.image(image));
        assert!(error.contains("there is no such image or tag"), "{error}");
    }
    let closed = registry.image("it:1");
    drop(registry);
    let error = place.refuses(&closed);
    assert!(error.contains("connection refused"), "{error}");
    let error = place.refuses("nobody.invalid/it");
    assert!(error.contains("cannot find the host"), "{error}");
    let error = place.refuses("Not/A?Name");
    assert!(error.contains("Not/A?Name"), "{error}");
}

#[test]
fn indexes_that_lead_to_themselves_are_not_followed_for_ever() {
    let Some(registry) = Registry::start() else { return };
    let image = registry.push("1", OCI, &[layer("a", "one")]);
    let mut last = for_machine(&image, "linux", architecture());
    for depth in 0..6 {
        let json = server::index(OCI[0], &[last]);
        last = registry.push_manifest(&format!("i{depth}"), OCI[0], &json);
    }
    let place = Place::new();
    place.see(&registry.image("it:i1"), |_| ());
    let error = place.refuses(&registry.image("it:i5"));
    assert!(error.contains("without end"), "{error}");
}
