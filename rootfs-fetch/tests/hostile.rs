//! Archives that want more than they should. Each is refused with the name of the entry, or
//! unpacked without harm; nothing outside of the target changes, and nothing half stays.

mod archive;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use archive::{Archive, Playground, gzip};
use rootfs_fetch::Limits;
use tar::{EntryType, Header};

const SMALL: Limits = Limits { bytes: 1024 * 1024, entries: 100 };

fn archive() -> Archive {
    Archive::default()
}

#[test]
fn an_absolute_path_begins_at_the_root_of_the_tree() {
    let place = Playground::new();
    let name = format!("{}/file", place.canary_name());
    let rootfs = place.import(&archive().file(&name, "other").end()).expect("imported");
    let inside = rootfs.path.join(&name[1..]);
    assert_eq!(fs::read_to_string(inside).expect("a file"), "other");
}

#[test]
fn a_name_with_two_dots_is_refused() {
    let place = Playground::new();
    for name in ["../canary/file", "a/../../../../canary/file", "a/..", ".."] {
        let error = place.refuses(archive().dir("a").file(name, "other"), name);
        assert!(error.contains("`..`"), "{error}");
    }
}

#[test]
fn a_hard_link_out_of_the_tree_is_refused() {
    let place = Playground::new();
    for target in ["../../../canary/file", &format!("{}/file", place.canary_name()), ".", ""] {
        let error = place.refuses(archive().dir("a").hard_link("a/link", target), "a/link");
        assert!(error.contains("hard link"), "{error}");
    }
}

#[test]
fn a_hard_link_to_a_directory_or_to_nothing_is_refused() {
    let place = Playground::new();
    place.refuses(archive().dir("a").hard_link("link", "a"), "link");
    place.refuses(archive().hard_link("link", "later").file("later", ""), "link");
    place.refuses(archive().file("d/x", "").hard_link("d", "d/x"), "`d`");
}

#[test]
fn a_hard_link_through_a_symlink_stays_in_the_tree() {
    let place = Playground::new();
    let out = archive().symlink("l", place.canary_name()).hard_link("link", "l/file");
    place.refuses(out, "link");
    let inside = archive().file("usr/f", "x").symlink("l", "/usr").hard_link("link", "l/f");
    let rootfs = place.import(&inside.end()).expect("imported");
    assert_eq!(fs::metadata(rootfs.path.join("link")).expect("a file").nlink(), 2);
}

#[test]
fn a_hard_link_to_a_symlink_is_a_link_to_the_link() {
    let place = Playground::new();
    let target = format!("{}/file", place.canary_name());
    let bytes = archive().symlink("l", &target).hard_link("link", "l").file("l", "new").end();
    let rootfs = place.import(&bytes).expect("imported");
    assert_eq!(fs::read_link(rootfs.path.join("link")).expect("a link").to_str(), Some(&*target));
}

#[test]
fn writing_through_a_symlink_out_of_the_tree_is_refused() {
    let place = Playground::new();
    for target in [place.canary_name(), "../../../canary".to_owned(), "/".repeat(9) + "proc/1/cwd"]
    {
        let error = place.refuses(archive().symlink("l", target).file("l/file", "other"), "l/file");
        assert!(error.contains("leads through"), "{error}");
    }
}

#[test]
fn writing_through_a_symlink_in_the_tree_ends_in_the_tree() {
    let place = Playground::new();
    let bytes = archive()
        .dir("usr/bin/")
        .symlink("bin", "usr/bin")
        .symlink("up", "../../../usr/./bin/../..")
        .file("bin/foo", "foo")
        .file("up/bar", "bar")
        .end();
    let rootfs = place.import(&bytes).expect("imported");
    assert_eq!(fs::read(rootfs.path.join("usr/bin/foo")).expect("a file"), b"foo");
    assert_eq!(fs::read(rootfs.path.join("bar")).expect("a file"), b"bar");
}

#[test]
fn links_in_a_circle_are_refused() {
    let place = Playground::new();
    let error = place.refuses(archive().symlink("a", "b").symlink("b", "a").file("a/x", ""), "a/x");
    assert!(error.contains("without end"), "{error}");
}

#[test]
fn a_symlink_that_is_replaced_and_comes_back_is_not_followed() {
    let place = Playground::new();
    let canary = place.canary_name();
    let there_and_back = archive()
        .symlink("d", &canary)
        .dir("d/")
        .file("d/file", "inside")
        .symlink("d", &canary)
        .file("d/file", "other");
    place.refuses(there_and_back, "d/file");
    let replaced = archive().symlink("d", &canary).dir("d/").file("d/file", "inside");
    let rootfs = place.import(&replaced.end()).expect("imported");
    assert_eq!(fs::read(rootfs.path.join("d/file")).expect("a file"), b"inside");
}

#[test]
fn a_file_in_place_of_a_symlink_is_a_file() {
    let place = Playground::new();
    let target = format!("{}/file", place.canary_name());
    let bytes = archive().symlink("f", target).file("f", "mine").end();
    let rootfs = place.import(&bytes).expect("imported");
    assert!(rootfs.path.join("f").symlink_metadata().expect("there").is_file());
}

#[test]
fn what_the_skeleton_adds_does_not_follow_links_out_of_the_tree() {
    let place = Playground::new();
    let canary = place.canary_name();
    let mut bytes = archive();
    for name in ["etc", "usr", "dev", "tmp", "bin"] {
        bytes = bytes.symlink(name, &canary);
    }
    place.import(&bytes.end()).expect("imported");
    let deeper = archive().dir("etc").symlink("etc/passwd", format!("{canary}/new"));
    place.import(&deeper.end()).expect("imported");
}

#[test]
fn a_file_in_the_place_of_a_directory_is_named() {
    let place = Playground::new();
    let error = place.refuses(archive().file("a", "").file("a/b", ""), "a/b");
    assert!(error.contains("not a directory"), "{error}");
}

#[test]
fn devices_and_pipes_are_left_out_and_counted() {
    let place = Playground::new();
    let bytes = archive()
        .file("f", "")
        .entry(b'3', "dev/null", "")
        .entry(b'4', "dev/sda", "")
        .entry(b'6', "pipe", "")
        .end();
    let rootfs = place.import(&bytes).expect("imported");
    assert!(rootfs.source.contains("3 devices left out"), "{}", rootfs.source);
    for name in ["dev/null", "dev/sda", "pipe"] {
        assert!(rootfs.path.join(name).symlink_metadata().is_err(), "{name}");
    }
}

#[test]
fn an_unknown_type_is_refused() {
    let place = Playground::new();
    let error = place.refuses(archive().entry(b'Z', "what", ""), "what");
    assert!(error.contains("`Z`"), "{error}");
}

#[test]
fn a_file_is_not_set_user_id_and_a_directory_stays_sticky() {
    let place = Playground::new();
    let bytes = archive().mode("su", 0o6755).full(b'5', "shared/", "", 0o7777, b"").end();
    let rootfs = place.import(&bytes).expect("imported");
    let mode = |name: &str| {
        fs::metadata(rootfs.path.join(name)).expect("there").permissions().mode() & 0o7777
    };
    assert_eq!((mode("su"), mode("shared")), (0o755, 0o1777));
}

/// A sparse file whose last byte alone is there.
fn sparse(size: u64) -> Archive {
    let mut header = Header::new_gnu();
    header.set_path("holes").expect("a short name");
    header.set_entry_type(EntryType::GNUSparse);
    header.set_mode(0o644);
    header.set_size(1);
    let gnu = header.as_gnu_mut().expect("a GNU header");
    gnu.realsize.copy_from_slice(format!("{size:011o}\0").as_bytes());
    gnu.sparse[0].offset.copy_from_slice(format!("{:011o}\0", size - 1).as_bytes());
    gnu.sparse[0].numbytes.copy_from_slice(format!("{:011o}\0", 1).as_bytes());
    archive().raw(header, b"x")
}

#[test]
fn the_holes_of_a_sparse_file_count() {
    let place = Playground::new();
    place.refuses(sparse(6 << 30), "holes");
    let rootfs = place.import_within(SMALL, &sparse(100_000).end()).expect("imported");
    let bytes = fs::read(rootfs.path.join("holes")).expect("a file");
    assert_eq!((bytes.len(), bytes[99_999], bytes[0]), (100_000, b'x', 0));
}

#[test]
fn holes_that_cannot_be_are_refused() {
    let place = Playground::new();
    let newest = "22 GNU.sparse.major=1\n25 GNU.sparse.realsize=9\n";
    for (records, bytes) in [
        ("22 GNU.sparse.major=1\n", "no map"),
        (newest, "1\n8\n2\n"),
        (newest, "99999999999999999999\n"),
        (newest, "9999999999\n1\n1\n"),
        ("24 GNU.sparse.map=0,1,0\n21 GNU.sparse.size=1\n", "xx"),
        ("26 GNU.sparse.map=5,1,0,1\n22 GNU.sparse.size=9\n", "xx"),
        ("31 GNU.sparse.map=0,1,99999999\n", "x"),
    ] {
        let pax = archive().full(b'x', "pax", "", 0o644, records.as_bytes());
        let block = format!("{bytes:\0<512}");
        let all = archive().file("before", "").0;
        let bytes = [all, pax.file("f", block).end()].concat();
        place.refuses_bytes(&bytes, "before");
    }
}

#[test]
fn more_entries_than_allowed_are_refused() {
    let place = Playground::new();
    let mut many = archive();
    for number in 0..200 {
        many = many.file(format!("f{number}"), "");
    }
    let error = place.import_within(SMALL, &many.gzip()).expect_err("too many").to_string();
    assert!(error.contains("f100") && error.contains("100 allowed"), "{error}");
    let deep = archive().file("d/".repeat(150) + "f", "");
    let error = place.import_within(SMALL, &deep.end()).expect_err("too many").to_string();
    assert!(error.contains("100 allowed"), "{error}");
}

#[test]
fn a_million_entries_are_refused_with_the_limits_that_everybody_has() {
    let place = Playground::new();
    let one = archive().dir("same name").0;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let thousand = one.repeat(1000);
    for _ in 0..501 {
        std::io::Write::write_all(&mut encoder, &thousand).expect("memory");
    }
    let bytes = encoder.finish().expect("memory");
    let error = place.refuses_bytes(&bytes, "same name");
    assert!(error.contains("500000 allowed"), "{error}");
}

#[test]
fn a_gzip_bomb_is_refused_wherever_it_is_hidden() {
    let place = Playground::new();
    let zeros = vec![0; 64 << 20];
    let refused = |bytes: &[u8], entry: &str| {
        let error = place.import_within(SMALL, &gzip(bytes)).expect_err("refused").to_string();
        assert!(error.contains(entry) && error.len() < 300, "{error}");
    };
    // In a file, in what describes one, where there should be no data, and after the end.
    refused(&archive().file("bomb", &zeros).0, "bomb");
    refused(&archive().file("last", "").full(b'x', "pax", "", 0o644, &zeros).0, "last");
    refused(&archive().file("last", "").full(b'g', "pax", "", 0o644, &zeros).0, "pax");
    refused(&archive().full(b'5', "dir", "", 0o755, &zeros).0, "dir");
    refused(&[archive().file("last", "").end(), zeros.clone()].concat(), "last");
}

#[test]
fn an_archive_that_is_cut_off_is_refused() {
    let place = Playground::new();
    let whole = archive().file("first", "x").file("second", vec![7; 2000]);
    let error = place.refuses_bytes(&whole.0[..1024 + 512 + 1000], "second");
    assert!(error.contains("ends in the middle"), "{error}");
    place.refuses_bytes(&whole.0[..1024 + 100], "first");
    let zipped = whole.gzip();
    place.refuses_bytes(&zipped[..zipped.len() - 12], "");
    let mut wrong = zipped.clone();
    let checksum = wrong.len() - 6;
    wrong[checksum] ^= 1;
    place.refuses_bytes(&wrong, "second");
}

#[test]
fn a_size_beyond_everything_is_refused() {
    let place = Playground::new();
    let mut header = Header::new_gnu();
    header.set_path("huge").expect("a short name");
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o644);
    header.set_size(u64::MAX);
    place.refuses(archive().raw(header.clone(), b"x"), "");
    header.set_size(u64::MAX - 4096);
    place.refuses(archive().raw(header, b"x"), "huge");
}

#[test]
fn what_is_no_archive_is_said_to_be_none() {
    let place = Playground::new();
    for bytes in [&b"PK\x03\x04 a zip file"[..], &[b'x'; 2000], b"\x1f\x8b broken", b"\xfd7zXZ\0"] {
        let error = place.import(bytes).expect_err("no archive");
        assert!(error.to_string().contains("no tar archive"), "{error}");
        assert!(!error.to_string().contains("xxx"), "no bytes of the file: {error}");
        assert!(error.hint().is_some_and(|hint| hint.contains("OCI layout")));
    }
    for nothing in [Vec::new(), vec![0; 10240], gzip(b"")] {
        let error = place.import(&nothing).expect_err("empty").to_string();
        assert!(error.contains("nothing in it"), "{error}");
    }
}

#[test]
fn names_that_cannot_be_are_refused_and_those_that_are_not_text_are_kept() {
    let place = Playground::new();
    place.refuses(archive().file("", "x"), "has no name");
    place.refuses(archive().file("n".repeat(300), "x"), "nnn");
    place.refuses(archive().symlink("l", ""), "`l`");
    place.refuses(archive().symlink(".", "/etc"), "no directory");
    let pax = archive().full(b'x', "pax", "", 0o644, b"12 path=a\0b\n");
    assert!(place.refuses(pax.file("x", ""), "").contains("NUL"));
    let escape = archive().file("\x1b[31mred/..", "");
    assert!(!place.refuses(escape, "red").contains('\x1b'));
    let rootfs = place.import(&archive().dir("./").file(b"./\xff\xfe", "x").end()).expect("kept");
    use std::os::unix::ffi::OsStrExt;
    let name = std::ffi::OsStr::from_bytes(b"\xff\xfe");
    assert_eq!(fs::read(rootfs.path.join(name)).expect("a file"), b"x");
}

#[test]
fn a_tree_as_deep_as_a_path_can_be_comes_and_goes() {
    let place = Playground::new();
    place.import(&archive().file("d/".repeat(2000) + "f", "x").end()).expect("imported");
    place.store().remove("it").expect("removed");
    place.check(false);
    place.refuses(archive().file("d/".repeat(2100) + "f", "x"), "d/d/d");
    // A link can make it deeper than one name can say.
    let deep = "d/".repeat(1500);
    let deeper = archive().dir(&deep).symlink("l", &deep).file(format!("l/{deep}f"), "");
    let error = place.refuses(deeper, "l/d/d");
    assert!(error.contains("deeper"), "{error}");
}
