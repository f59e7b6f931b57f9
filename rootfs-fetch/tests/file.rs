//! Root filesystems from files: trees, OCI layouts, what `docker save` writes, and bundles.

mod archive;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use archive::{Archive, Playground, contents, docker_save, gzip, names, sample, write_layout};
use rootfs_fetch::{Progress, SOURCE_NOTICE, Store};

/// Whether a tool is there. Where it is not, the test that asks is not a silent pass.
fn has(tool: &str) -> bool {
    let found = Command::new(tool).arg("--version").output().is_ok();
    if !found {
        eprintln!("SKIPPED: a part of this test, because there is no `{tool}`");
        assert!(std::env::var_os("SANDBOX_TEST_ALL").is_none(), "`{tool}` is missing");
    }
    found
}

fn run(command: &mut Command) {
    let output = command.output().expect("started");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
}

fn import(place: &Playground, file: &Path) -> rootfs_fetch::Rootfs {
    place.store().import(file, "it", &Progress::hidden()).expect("imported")
}

#[test]
fn who_only_asks_is_told_where_a_rootfs_would_be_and_makes_nothing() {
    let place = Playground::new();
    let dir = place.dir.path().join("store");
    let store = place.store();
    let path = store.path_of(Store::DEFAULT).expect("a path");
    assert_eq!(path, dir.join("busybox/rootfs"));
    assert_eq!(store.get(Store::DEFAULT).expect("a name"), None);
    assert!(store.list().expect("none").is_empty());
    assert!(store.path_of("../x").is_err() && store.get("").is_err());
    assert!(!dir.exists());
    let rootfs = place.import(&sample().end()).expect("imported");
    assert_eq!(store.path_of(&rootfs.name).expect("a path"), rootfs.path);
    let upper = place.dir.path().join("upper");
    fs::create_dir(&upper).expect("mkdir");
    store.commit("above", &rootfs.name, &upper).expect("committed");
    assert_eq!(store.path_of("above").expect("a path"), rootfs.path);
}

#[test]
fn a_tree_comes_with_its_links_modes_and_times() {
    let place = Playground::new();
    let rootfs = place.import(&sample().gzip()).expect("imported");
    let there = contents(&rootfs.path).join("\n");
    for line in [
        r#""bin/ash" 100755 1000000000 2"#,
        r#""closed" 40000 1000000000 1"#,
        r#""etc/shadow" 100600 1000000000 1"#,
        r#""sbin" 120777 1000000000 1 "bin""#,
        r#""tmp" 41777 1000000000 1"#,
        r#""not text \xFF\xFE" 100644"#,
    ] {
        assert!(there.contains(line), "{line} is not in\n{there}");
    }
    // What a root needs and the archive has not was added.
    assert!(rootfs.path.join("proc").is_dir() && rootfs.path.join("etc/passwd").is_file());
    assert!(rootfs.source.starts_with("the archive "), "{}", rootfs.source);
}

#[test]
fn a_bundle_brings_back_the_same_tree_and_the_same_bytes() {
    let place = Playground::new();
    let rootfs = place.import(&sample().end()).expect("imported");
    let before = contents(&rootfs.path);
    let other = tempfile::tempdir().expect("a directory");
    let (first, second) = (other.path().join("first"), other.path().join("second"));
    place.store().bundle("it", &first, &Progress::hidden()).expect("a bundle");
    assert_eq!(contents(&rootfs.path), before, "packing changes nothing");
    let store = Store::open(Some(other.path().join("store"))).expect("a store");
    let back = store.import(&first, "back", &Progress::hidden()).expect("imported");
    assert_eq!(contents(&back.path), before);
    store.bundle("back", &second, &Progress::hidden()).expect("a bundle");
    assert!(fs::read(&first).expect("a file") == fs::read(&second).expect("a file"));
    assert_eq!(names(other.path()), ["first", "second", "store"]);
    store.remove("back").expect("removed");
}

#[test]
fn a_bundle_is_for_every_tar_and_says_where_the_source_is() {
    let place = Playground::new();
    let rootfs = place.import(&sample().end()).expect("imported");
    let file = place.dir.path().join("archive");
    fs::remove_file(&file).expect("removed");
    place.store().bundle("it", &file, &Progress::hidden()).expect("a bundle");
    let mut plain = String::new();
    let decoder = flate2::read::GzDecoder::new(fs::File::open(&file).expect("a bundle"));
    let mut start = std::io::Read::take(decoder, 1024);
    std::io::Read::read_to_string(&mut start, &mut plain).expect("text");
    assert!(plain.contains(SOURCE_NOTICE));
    if has("tar") {
        let out = tempfile::tempdir().expect("a directory");
        run(Command::new("tar").arg("-xpzf").arg(&file).arg("-C").arg(out.path()));
        assert_eq!(contents(out.path()), contents(&rootfs.path));
        archive::set_mode(&out.path().join("closed"), 0o700);
    }
}

#[test]
fn a_bundle_takes_the_place_of_no_file() {
    let place = Playground::new();
    place.import(&sample().end()).expect("imported");
    let file = place.dir.path().join("archive");
    let error = place.store().bundle("it", &file, &Progress::hidden()).expect_err("it is there");
    assert!(error.to_string().contains("there already"), "{error}");
    let nowhere = place.dir.path().join("no/such/file");
    place.store().bundle("it", &nowhere, &Progress::hidden()).expect_err("no directory");
    place.store().bundle("other", &nowhere, &Progress::hidden()).expect_err("no rootfs");
    place.check(true);
}

#[test]
fn every_compression_is_read_and_no_name_is_asked() {
    let place = Playground::new();
    let expected = of_archive(&place.import(&sample().end()).expect("plain").path);
    assert_eq!(of_archive(&place.import(&gzip(&sample().end())).expect("gzip").path), expected);
    let plain = tempfile::NamedTempFile::new().expect("a file");
    fs::write(plain.path(), sample().end()).expect("write");
    for tool in ["xz", "zstd"] {
        if has(tool) {
            let stdin = fs::File::open(plain.path()).expect("an archive");
            let output = Command::new(tool).arg("-c").stdin(stdin).output().expect("started");
            let rootfs = place.import(&output.stdout).expect(tool);
            assert_eq!(of_archive(&rootfs.path), expected, "{tool}");
        }
    }
}

/// What a tree has from its archive: the rest was made just now, at another time each time.
fn of_archive(root: &std::path::Path) -> Vec<String> {
    contents(root).into_iter().filter(|line| line.contains("1000000000")).collect()
}

fn two_layers() -> [Vec<u8>; 2] {
    let upper = Archive::default().file("etc/.wh.shadow", "").file("etc/motd", "hello\n");
    [sample().gzip(), upper.end()]
}

#[test]
fn an_oci_layout_is_read_as_a_directory_and_as_an_archive() {
    let place = Playground::new();
    let rootfs = place.image(&two_layers()).expect("imported");
    assert_eq!(names(&rootfs.path.join("etc"))[..3], ["group", "hosts", "motd"]);
    assert!(rootfs.source.starts_with("the OCI image in"), "{}", rootfs.source);
    let expected = of_archive(&rootfs.path);
    let file = place.dir.path().join("archive");
    let mut builder = tar::Builder::new(fs::File::create(&file).expect("a file"));
    builder.append_dir_all(".", place.dir.path().join("layout")).expect("packed");
    builder.finish().expect("packed");
    let again = import(&place, &file);
    assert_eq!(of_archive(&again.path), expected);
    place.check(true);
    assert_eq!(names(again.path.parent().expect("a directory")), ["about.json", "rootfs"]);
}

#[test]
fn what_docker_saves_is_read_and_checked() {
    let place = Playground::new();
    let layers = [sample().end(), two_layers()[1].clone()];
    let saved = docker_save(&layers, &["one:1", "two:2"]);
    let rootfs = place.import(&saved.clone().gzip()).expect("imported");
    assert!(rootfs.source.contains("one:1, the first of 2 images"), "{}", rootfs.source);
    assert!(!rootfs.path.join("etc/shadow").exists());
    assert!(!rootfs.path.join("manifest.json").exists());
    let place = Playground::new();
    let mut wrong = saved.end();
    let at = wrong.windows(6).position(|part| part == b"hello\n").expect("a file");
    wrong[at] = b'H';
    let error = place.import(&wrong).expect_err("another digest").to_string();
    assert!(error.contains("not what was asked for") && error.contains("layer.tar"), "{error}");
}

#[test]
fn an_image_for_another_architecture_is_refused() {
    let place = Playground::new();
    let saved = docker_save(&[sample().end()], &["one:1"]).end();
    let text = "\"os\":\"linux\"";
    let at = saved.windows(text.len()).position(|p| p == text.as_bytes()).expect("a config");
    let mut other = saved;
    other[at + 6..at + 11].copy_from_slice(b"plan9");
    // Its name is its digest: so that must not tell first.
    let digest = other.windows(5).position(|part| part == b".json").expect("a name");
    other[digest - 64] = b'x';
    let in_list = other.windows(10).position(|part| part == b"\"Config\":\"").expect("a list");
    other[in_list + 10] = b'x';
    let sum: u32 =
        (0..512).map(|i| if (148..156).contains(&i) { 32 } else { other[i].into() }).sum();
    other[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let error = place.import(&other).expect_err("another machine").to_string();
    assert!(error.contains("plan9"), "{error}");
}

#[test]
fn real_tools_write_what_is_read() {
    if !has("skopeo") {
        return;
    }
    let place = Playground::new();
    let dir = tempfile::tempdir().expect("a directory");
    write_layout(&dir.path().join("oci"), &[gzip(&sample().end()), two_layers()[1].clone()]);
    let expected = place.image(&[gzip(&sample().end()), two_layers()[1].clone()]);
    let expected = names(&expected.expect("imported").path);
    for kind in ["docker-archive:saved.tar:some/image:1", "oci-archive:oci.tar", "oci:copy"] {
        let mut skopeo = Command::new("skopeo");
        run(skopeo.args(["--insecure-policy", "copy", "oci:oci", kind]).current_dir(&dir));
        let file = kind.split(':').nth(1).expect("a file");
        let rootfs = import(&place, &dir.path().join(file));
        assert_eq!(names(&rootfs.path), expected, "{kind}");
        assert!(rootfs.path.join("etc/motd").is_file() && !rootfs.path.join("etc/shadow").exists());
    }
}

#[test]
fn a_directory_that_is_no_layout_and_a_file_that_is_not_there_are_refused() {
    let place = Playground::new();
    let import = |path: &Path| place.store().import(path, "it", &Progress::hidden());
    let error = import(&place.canary()).expect_err("no layout");
    assert!(error.hint().is_some_and(|hint| hint.contains("tar -C")), "{error}");
    import(&place.dir.path().join("nothing")).expect_err("nothing there");
    let name = place.store().import(&place.canary(), "../it", &Progress::hidden());
    assert!(name.expect_err("no name").to_string().contains("../it"));
}

#[test]
fn a_rootfs_is_removed_whatever_its_modes_are() {
    let place = Playground::new();
    place.import(&sample().full(b'5', "closed/in/it", "", 0, b"").end()).expect("imported");
    place.store().remove("it").expect("removed");
    place.check(false);
    assert!(place.store().remove("it").expect_err("gone").to_string().contains("no rootfs `it`"));
}

#[test]
fn the_programs_of_a_rootfs_are_found_without_running_one() {
    let place = Playground::new();
    let bytes = sample().symlink("bin/gone", "/nowhere").mode("bin/tool", 0o755).end();
    place.import(&bytes).expect("imported");
    let verified = place.store().verify("it").expect("looked at");
    assert_eq!(verified.programs, ["ash", "sh", "tool"]);
    assert!(verified.has("sh") && !verified.has("gone"));
    assert_eq!(verified.problems, ["/bin/gone leads nowhere"]);
}

/// Not a test by itself: what the next one starts and kills.
#[test]
fn import_what_the_environment_says() {
    if let (Some(store), Some(file)) =
        (std::env::var_os("IMPORT_STORE"), std::env::var_os("IMPORT_FILE"))
    {
        let store = Store::open(Some(store.into())).expect("a store");
        let _ = store.import(Path::new(&file), "it", &Progress::hidden());
    }
}

#[test]
fn what_a_killed_import_left_is_no_rootfs_and_goes_with_the_next_call() {
    let place = Playground::new();
    let pipe = place.dir.path().join("layout");
    run(Command::new("mkfifo").arg(&pipe));
    let store = place.dir.path().join("store");
    let mut child = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "import_what_the_environment_says"])
        .env("IMPORT_STORE", &store)
        .env("IMPORT_FILE", &pipe)
        .stdout(Stdio::null())
        .spawn()
        .expect("started");
    let mut feed = fs::OpenOptions::new().write(true).open(&pipe).expect("a pipe");
    let half = Archive::default().file("first", "x").file("second", vec![0; 300_000]).0;
    feed.write_all(&half[..half.len() - 100_000]).expect("written");
    let begun = store.join(".new-it/rootfs/second");
    let start = Instant::now();
    while !begun.exists() && start.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(begun.exists());
    child.kill().expect("killed");
    child.wait().expect("waited for");
    assert!(place.store().list().expect("a list").is_empty());
    assert!(begun.exists());
    place.import(&sample().end()).expect("imported");
}
