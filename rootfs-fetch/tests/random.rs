//! Archives that nobody thought of.

mod archive;

use archive::{Archive, Playground};
use proptest::prelude::*;

/// A name, a target or a kind that an attacker might think of.
fn entries() -> impl Strategy<Value = Vec<(u8, String, String)>> {
    let names = prop::sample::select(vec![
        "a",
        "b",
        "a/b",
        "a/b/c",
        "l",
        "l/x",
        "l/l",
        "l/file",
        "./a",
        "a//b/",
        "../x",
        "/a/x",
        "..",
        ".",
        "a/.wh.b",
        ".wh.a",
        ".wh..wh..opq",
        "a/.wh..wh..opq",
        "l/.wh.file",
        "canary/file",
        "a/..",
        "l/dir/file",
        ".wh...",
    ]);
    let targets = prop::sample::select(vec![
        "CANARY",
        "CANARY/file",
        "../canary",
        "../../../canary/file",
        "a",
        "a/b",
        "l",
        "/",
        ".",
        "..",
        "",
        "/a",
        "../../..",
    ]);
    let kinds = prop::sample::select(b"0000555222221113467gSZLKx".to_vec());
    prop::collection::vec((kinds, names, targets), 1..12).prop_map(|entries| {
        entries.into_iter().map(|(k, n, t)| (k, n.to_owned(), t.to_owned())).collect()
    })
}

fn random(entries: &[(u8, String, String)], canary: &str) -> Vec<u8> {
    let mut archive = Archive::default();
    for (kind, name, target) in entries {
        let data: &[u8] = if *kind == b'0' { b"data" } else { b"" };
        let target = target.replace("CANARY", canary);
        archive = archive.full(*kind, name, target, 0o755, data);
    }
    archive.end()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn no_archive_touches_anything_outside(
        lower in entries(),
        upper in entries(),
        flips in prop::collection::vec((0_usize..20_000, any::<u8>()), 0..3),
    ) {
        let place = Playground::new();
        let canary = place.canary_name();
        let mut bytes = random(&lower, &canary);
        for (at, byte) in flips {
            if let Some(there) = bytes.get_mut(at) {
                *there = byte;
            }
        }
        let _ = place.import(&bytes);
        let place = Playground::new();
        let canary = place.canary_name();
        let _ = place.image(&[random(&lower, &canary), random(&upper, &canary)]);
    }
}
