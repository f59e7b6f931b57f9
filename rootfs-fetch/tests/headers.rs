//! Headers as real programs write them.

mod archive;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use archive::{Archive, Playground};
use tar::{EntryType, Header};

fn archive() -> Archive {
    Archive::default()
}

/// A header of a file of one byte, in which something is then put by hand.
fn header(name: &str) -> Header {
    let mut header = Header::new_gnu();
    header.set_path(name).expect("a short name");
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o644);
    header.set_size(1);
    header
}

/// An extended header with this record.
fn pax(record: &str) -> Archive {
    let mut length = record.len();
    while length != record.len() + length.to_string().len() + 2 {
        length = record.len() + length.to_string().len() + 2;
    }
    archive().full(b'x', "pax", "", 0o644, format!("{length} {record}\n").as_bytes())
}

/// Both, one after the other.
fn both(first: Archive, then: Archive) -> Archive {
    Archive([first.0, then.0].concat())
}

/// What GNU tar makes in `dir` with these arguments.
fn gnu_tar(dir: &Path, args: &[&str]) -> Vec<u8> {
    let made = Command::new("tar").current_dir(dir).args(args).output().expect("tar");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    made.stdout
}

#[test]
fn numbers_that_are_blank_are_nought() {
    let place = Playground::new();
    for blank in [b' ', 0] {
        let mut dir = header("dir/");
        dir.set_entry_type(EntryType::Directory);
        dir.set_mode(0o755);
        let mut file = header("dir/file");
        for old in [dir.as_old_mut(), file.as_old_mut()] {
            (old.uid, old.gid, old.mtime) = ([blank; 8], [blank; 8], [blank; 12]);
        }
        dir.as_old_mut().size = [blank; 12];
        let mut link = header("link");
        link.set_entry_type(EntryType::Symlink);
        link.set_link_name("dir").expect("a short name");
        (link.as_old_mut().size, link.as_old_mut().mode) = ([blank; 12], [blank; 8]);
        let bytes = archive().raw(dir, b"").raw(file, b"x").raw(link, b"").end();
        let rootfs = place.import(&bytes).expect("imported");
        let file = rootfs.path.join("link/file");
        assert_eq!(fs::read(&file).expect("a file"), b"x");
        assert_eq!(fs::metadata(&file).expect("a file").mtime(), 0);
    }
}

#[test]
fn owners_and_sizes_that_need_all_bits_are_read() {
    let place = Playground::new();
    let mut big = header("big");
    big.set_uid(4_000_000_000);
    big.set_gid(u64::MAX);
    big.as_old_mut().size = *b"\x80\0\0\0\0\0\0\0\0\0\0\x01";
    let rootfs = place.import(&archive().raw(big, b"x").file("last", "").end()).expect("imported");
    assert_eq!(fs::read(rootfs.path.join("big")).expect("a file"), b"x");
    let records = both(pax("uid=-99999999999"), pax("gid=8000000"));
    let rootfs = place.import(&records.file("f", "").end()).expect("imported");
    assert!(rootfs.path.join("f").exists());
}

#[test]
fn a_checksum_may_be_that_of_bytes_with_a_sign() {
    let place = Playground::new();
    let mut bytes = archive().file("\u{e9}", "x").end();
    let sum: i64 = bytes[..512].iter().map(|byte| i64::from(*byte as i8)).sum();
    let own: i64 = bytes[148..156].iter().map(|byte| i64::from(*byte as i8)).sum();
    let sum = format!("{:06o}\0 ", sum - own + 8 * 32);
    bytes[148..156].copy_from_slice(sum.as_bytes());
    let rootfs = place.import(&bytes).expect("imported");
    assert!(rootfs.path.join("\u{e9}").exists());
}

#[test]
fn times_are_kept_before_1970_and_to_a_part_of_a_second() {
    let place = Playground::new();
    let mut old = header("old");
    old.as_old_mut().mtime = *b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe";
    let bytes = pax("mtime=-1.25").file("fraction", "").raw(old, b"x");
    let bytes = both(bytes, pax("mtime=12.000007").dir("dir/"));
    let rootfs = place.import(&bytes.end()).expect("imported");
    for (name, seconds, nanos) in [("old", -2, 0), ("fraction", -2, 750_000_000), ("dir", 12, 7000)]
    {
        let about = fs::metadata(rootfs.path.join(name)).expect("there");
        assert_eq!((about.mtime(), about.mtime_nsec()), (seconds, nanos), "{name}");
    }
}

#[test]
fn names_of_volumes_and_lists_of_what_was_there_are_no_files() {
    let place = Playground::new();
    let dir = place.canary();
    let bytes = gnu_tar(&dir, &["-c", "-V", "the label", "dir", "file"]);
    let rootfs = place.import(&bytes).expect("imported");
    assert!(!rootfs.path.join("the label").exists() && rootfs.path.join("dir/file").exists());
    let state = tempfile::NamedTempFile::new().expect("a file");
    let state = format!("--listed-incremental={}", state.path().display());
    let bytes = gnu_tar(&dir, &["-c", "--format=gnu", &state, "dir"]);
    let rootfs = place.import(&bytes).expect("imported");
    assert!(rootfs.path.join("dir/file").exists());
    let place = Playground::new();
    let part = place.refuses(archive().entry(b'M', "rest", ""), "rest");
    assert!(part.contains("join"), "{part}");
}

#[test]
fn a_link_has_no_bytes_whatever_its_size_says() {
    let place = Playground::new();
    let mut link = header("link");
    link.set_entry_type(EntryType::Link);
    link.set_link_name("file").expect("a short name");
    link.set_size(9);
    let bytes = archive().file("file", "123456789").raw(link, b"").file("last", "last").end();
    let rootfs = place.import(&bytes).expect("imported");
    assert_eq!(fs::read(rootfs.path.join("link")).expect("a file"), b"123456789");
    assert_eq!(fs::read(rootfs.path.join("last")).expect("a file"), b"last");
}

#[test]
fn a_name_in_an_extended_header_may_have_the_end_of_a_line_in_it() {
    let place = Playground::new();
    let records = both(pax("SCHILY.xattr.a=\n\n"), pax("path=one\nother"));
    let rootfs = place.import(&records.file("short", "x").end()).expect("imported");
    assert_eq!(fs::read(rootfs.path.join("one\nother")).expect("a file"), b"x");
    // A record without a value takes back what was said before.
    let rootfs = place
        .import(&both(pax("path=long"), pax("path=")).file("short", "x").end())
        .expect("imported");
    assert!(rootfs.path.join("short").exists());
}

#[test]
fn a_sparse_file_is_read_in_every_form_and_stays_sparse() {
    let place = Playground::new();
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("holes");
    let file = fs::File::create(&path).expect("a file");
    for at in 1..40 {
        let at = at << 20;
        std::os::unix::fs::FileExt::write_all_at(&file, b"here", at).expect("written");
    }
    file.set_len(50 << 20).expect("longer");
    let (expected, plain) = (fs::read(&path).expect("read"), "--format=gnu");
    for args in [
        vec![plain, "-S"],
        vec!["--format=posix", "-S", "--sparse-version=0.0"],
        vec!["--format=posix", "-S", "--sparse-version=0.1"],
        vec!["--format=posix", "-S", "--sparse-version=1.0"],
        vec![plain],
    ] {
        let bytes = gnu_tar(dir.path(), &[&["-c"], &args[..], &["holes"]].concat());
        let rootfs = place.import(&bytes).expect("imported");
        let unpacked = rootfs.path.join("holes");
        assert!(fs::read(&unpacked).expect("a file") == expected, "{args:?}");
        let blocks = fs::metadata(&unpacked).expect("a file").blocks();
        assert!(blocks < 2048, "{args:?}: {blocks}");
    }
}

#[test]
fn what_cannot_be_made_here_takes_the_place_of_what_was_there_and_links_to_it_are_left_out() {
    let place = Playground::new();
    let lower =
        archive().file("a", "old").file("b", "old").dir("c").file("c/x", "").file("e/f", "");
    let upper = archive()
        .entry(b'6', "a", "")
        .entry(b'3', "b", "")
        .entry(b'4', "c", "")
        .entry(b'3', "e/null", "")
        .hard_link("e/again", "e/null")
        .hard_link("e/f", "e/again")
        .entry(b'6', "later", "")
        .file("later", "a file");
    let upper = upper.hard_link("same", "later");
    let rootfs = place.image(&[lower.end(), upper.end()]).expect("imported");
    for name in ["a", "b", "c", "e/null", "e/again", "e/f"] {
        assert!(rootfs.path.join(name).symlink_metadata().is_err(), "{name}");
    }
    assert_eq!(fs::read(rootfs.path.join("same")).expect("a file"), b"a file");
    let all = archive().entry(b'6', "only", "").end();
    place.image(&[archive().file("only", "").end(), all]).expect("an image of nothing");
    let place = Playground::new();
    place.refuses(archive().entry(b'3', "n", "").hard_link("l", "other"), "`l`");
}

#[test]
fn what_another_program_noted_in_a_layer_is_gone_and_links_to_it_are_whole() {
    let place = Playground::new();
    let layer = archive()
        .dir(".wh..wh.plnk/")
        .file(".wh..wh.plnk/7.1", "linked")
        .hard_link("a", ".wh..wh.plnk/7.1")
        .file(".wh..wh.aufs", "")
        .file("x/.wh..wh.orph/y", "")
        .file("x/keep", "");
    let rootfs = place.image(&[layer.end()]).expect("imported");
    assert_eq!(fs::read(rootfs.path.join("a")).expect("a file"), b"linked");
    assert_eq!(archive::names(&rootfs.path.join("x")), ["keep"]);
    let notes = archive::names(&rootfs.path);
    assert!(notes.iter().all(|name| !name.starts_with(".wh.")), "{notes:?}");
}

#[test]
fn zeros_behind_a_compressed_archive_fill_up_its_last_block() {
    let place = Playground::new();
    let whole = archive().file("f", "x").gzip();
    let rootfs = place.import(&[whole.clone(), vec![0; 512]].concat()).expect("imported");
    assert_eq!(fs::metadata(rootfs.path.join("f")).expect("f").permissions().mode() & 0o777, 0o644);
    let place = Playground::new();
    place.refuses_bytes(&[whole, b"something".to_vec()].concat(), "f");
}
