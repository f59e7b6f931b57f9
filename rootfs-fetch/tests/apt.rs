//! The package busybox-static from an apt repository of our own, in files, and all sources at once
//! where there is nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rootfs_fetch::{Fetch, Progress, Source, Store, elf};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

fn skipped(what: &str, why: &str) {
    eprintln!("SKIPPED: {what} because {why}");
    assert!(std::env::var_os("SANDBOX_TEST_ALL").is_none_or(|all| all != "1"), "{why}");
}

fn run(command: &mut Command) -> Output {
    let output = command.output().expect("started");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    output
}

/// Whether the tools of Debian are there.
fn has_apt() -> bool {
    let missing = |tool: &&str| Command::new(tool).arg("--version").output().is_err();
    match ["apt-get", "dpkg-deb"].iter().find(|tool| missing(tool)) {
        Some(tool) => skipped("this test", &format!("there is no `{tool}`")),
        None => return true,
    }
    false
}

/// A static busybox of this machine.
fn busybox() -> Option<PathBuf> {
    let places = ["/bin/busybox", "/usr/bin/busybox", "/usr/local/bin/busybox"].map(PathBuf::from);
    let found = places.into_iter().find(|file| matches!(elf::interpreter(file), Ok(None)));
    if found.is_none() {
        skipped("this test", "there is no static busybox to make a package of");
    }
    found
}

/// An apt of its own: a repository with one package, lists and configuration, and a store.
struct Apt {
    dir: TempDir,
}

impl Apt {
    /// Makes the package of this program, at this place in it.
    fn new(program: &Path, place: &str, compression: &str) -> Apt {
        let dir = tempfile::tempdir().expect("a directory");
        // An ordinary user may have to read it.
        set_mode(dir.path(), 0o755);
        let apt = Apt { dir };
        for made in ["pool", "lists/partial", "cache/archives/partial", "etc/conf", "tree/DEBIAN"] {
            fs::create_dir_all(apt.path(made)).expect("mkdir");
        }
        fs::write(apt.path("status"), "").expect("write");
        let control = "Package: busybox-static\nVersion: 1:1.2-3\nArchitecture: all\n\
                       Maintainer: nobody <nobody@a.test>\nDescription: for a test\n";
        fs::write(apt.path("tree/DEBIAN/control"), control).expect("write");
        let to = apt.path("tree").join(place);
        fs::create_dir_all(to.parent().expect("a directory")).expect("mkdir");
        fs::copy(program, &to).expect("copied");
        set_mode(&to, 0o755);
        let kind = format!("-Z{compression}");
        let deb = apt.deb();
        run(Command::new("dpkg-deb")
            .args([&kind, "--root-owner-group", "-b"])
            .arg(apt.path("tree"))
            .arg(&deb));
        let bytes = fs::read(&deb).expect("a package");
        let sum: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        let size = bytes.len();
        let index = format!("{control}Filename: ./pool/b.deb\nSize: {size}\nSHA256: {sum}\n");
        fs::write(apt.path("Packages"), index).expect("write");
        let root = apt.dir.path().display();
        let list = format!("deb [trusted=yes] file:{root} ./\n");
        fs::write(apt.path("etc/sources.list"), list).expect("write");
        let config = format!(
            "Dir::Etc \"{root}/etc\";\nDir::Etc::Parts \"{root}/etc/conf\";\n\
             Dir::State \"{root}\";\nDir::State::Lists \"{root}/lists\";\n\
             Dir::State::status \"{root}/status\";\nDir::Cache \"{root}/cache\";\n\
             APT::Sandbox::User \"root\";\nAcquire::Languages \"none\";\n"
        );
        fs::write(apt.path("apt.conf"), config).expect("write");
        apt
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn deb(&self) -> PathBuf {
        self.path("pool/b.deb")
    }

    /// As `apt update` does.
    fn update(self) -> Apt {
        run(Command::new("apt-get").arg("update").env("APT_CONFIG", self.path("apt.conf")));
        self
    }

    /// Fetches in another process, whose apt is this one.
    fn fetch(&self) -> Result<String, String> {
        self.fetch_by(Command::new(this_test()), |_| {})
    }

    fn fetch_by(
        &self,
        mut command: Command,
        more: impl FnOnce(&mut Command),
    ) -> Result<String, String> {
        let to = self.path("said");
        command
            .args(["--exact", "fetch_what_the_environment_says"])
            .env("APT_CONFIG", self.path("apt.conf"))
            .env("FETCH_FROM", "apt")
            .env("FETCH_TO", self.path("home/store"))
            .env("FETCH_SAYS", &to);
        more(&mut command);
        said(&mut command, &to, &self.path("home/store"))
    }
}

fn this_test() -> PathBuf {
    std::env::current_exe().expect("this test")
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("chmod");
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// Runs a process that fetches, and says what it said. Nothing half may be in its store.
fn said(command: &mut Command, to: &Path, store: &Path) -> Result<String, String> {
    let _ = fs::remove_file(to);
    let output = command.output().expect("started");
    let text = fs::read_to_string(to).unwrap_or_else(|_| panic!("{output:?}"));
    match text.split_once(' ') {
        Some(("made", source)) => {
            assert_eq!(names(store), ["it"]);
            assert_eq!(names(&store.join("it")).len(), 2, "a tree and what is said of it");
            let store = Store::open(Some(store.to_owned())).expect("a store");
            let verified = store.verify("it").expect("looked at");
            assert!(verified.has("sh") && verified.problems.is_empty(), "{verified:?}");
            Ok(source.to_owned())
        }
        _ => {
            assert_eq!(names(store), Vec::<String>::new());
            Err(text)
        }
    }
}

/// Not a test by itself: what the others start.
#[test]
fn fetch_what_the_environment_says() {
    let (Some(to), Some(says)) = (std::env::var_os("FETCH_TO"), std::env::var_os("FETCH_SAYS"))
    else {
        return;
    };
    let from = std::env::var("FETCH_FROM").unwrap_or_default();
    let mut sources = Source::ALL.to_vec();
    sources.retain(|source| from == "all" || source.name() == from);
    let store = Store::open(Some(to.into())).expect("a store");
    let fetch = Fetch { name: "it".to_owned(), sources, ..Fetch::default() };
    let text = match store.fetch(&fetch, &Progress::hidden()) {
        Ok(rootfs) => format!("made {}", rootfs.source),
        Err(error) => format!("{error}\n{}", error.hint().unwrap_or_default()),
    };
    fs::write(says, text).expect("write");
}

#[test]
fn a_package_of_every_compression_and_of_old_and_new_times_is_unpacked() {
    let Some(busybox) = has_apt().then(busybox).flatten() else { return };
    for (compression, place) in [("xz", "bin/busybox"), ("gzip", "usr/bin/busybox")] {
        let source = Apt::new(&busybox, place, compression).update().fetch().expect(compression);
        assert!(source.contains("busybox-static") && source.contains("1.2-3"), "{source}");
    }
    let zstd = Command::new("dpkg-deb").args(["-Zzstd", "-b", "/nowhere"]).output();
    let known = zstd.is_ok_and(|out| !String::from_utf8_lossy(&out.stderr).contains("compression"));
    if !known {
        return skipped("a part of this test", "this dpkg-deb knows no zstd");
    }
    Apt::new(&busybox, "usr/bin/busybox", "zstd").update().fetch().expect("zstd");
}

#[test]
fn an_ordinary_user_fetches_too() {
    let Some(busybox) = has_apt().then(busybox).flatten() else { return };
    let apt = Apt::new(&busybox, "bin/busybox", "gzip").update();
    if !nix::unistd::Uid::effective().is_root() {
        apt.fetch().expect("fetched");
        return;
    }
    if Command::new("setpriv").arg("--version").output().is_err() {
        return skipped("this test", "there is no `setpriv` to become an ordinary user");
    }
    // Where this test is, an ordinary user may not come.
    let test = apt.path("test");
    fs::copy(this_test(), &test).expect("copied");
    fs::create_dir(apt.path("home")).expect("mkdir");
    set_mode(&apt.path("home"), 0o777);
    set_mode(apt.dir.path(), 0o777);
    let mut setpriv = Command::new("setpriv");
    setpriv.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(test);
    apt.fetch_by(setpriv, |command| {
        command.env("HOME", apt.path("home"));
    })
    .expect("fetched");
    set_mode(apt.dir.path(), 0o755);
}

#[test]
fn a_package_that_is_not_what_the_lists_say_is_refused_by_apt() {
    let Some(busybox) = has_apt().then(busybox).flatten() else { return };
    let apt = Apt::new(&busybox, "bin/busybox", "gzip").update();
    let mut bytes = fs::read(apt.deb()).expect("a package");
    let end = bytes.len() - 1000;
    bytes[end] ^= 1;
    fs::write(apt.deb(), &bytes).expect("write");
    let error = apt.fetch().expect_err("another checksum");
    assert!(error.contains("busybox-static") || error.contains("b.deb"), "{error}");
    fs::remove_file(apt.deb()).expect("removed");
    let error = apt.fetch().expect_err("not there");
    assert!(error.lines().count() <= 2 && !error.contains("apt update"), "{error}");
}

/// Puts a script in place of apt-get, whose index says one thing and whose file is another.
fn lie(apt: &Apt, size: usize, sum: &str) -> String {
    let tools = apt.path("tools");
    let _ = fs::create_dir(&tools);
    let line = format!("'file:b.deb' b.deb {size} SHA256:{sum}");
    let deb = apt.deb().display().to_string();
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in *--print-uris*) echo \"{line}\";; *) cp '{deb}' b.deb;; esac\n"
    );
    fs::write(tools.join("apt-get"), script).expect("write");
    set_mode(&tools.join("apt-get"), 0o755);
    let path = format!("{}:/usr/bin:/bin", tools.display());
    let fetched = apt.fetch_by(Command::new(this_test()), |command| {
        command.env("PATH", path);
    });
    fetched.expect_err("another file")
}

#[test]
fn a_package_that_is_not_what_the_lists_say_is_refused_by_us_too() {
    let Some(busybox) = has_apt().then(busybox).flatten() else { return };
    let apt = Apt::new(&busybox, "bin/busybox", "gzip");
    let size = fs::metadata(apt.deb()).expect("a package").len() as usize;
    let error = lie(&apt, size, &"0".repeat(64));
    assert!(error.contains("expected sha256:0000"), "{error}");
    let error = lie(&apt, size + 1, &"0".repeat(64));
    assert!(error.contains(&format!("expected {} bytes, got {size} bytes", size + 1)), "{error}");
    fs::write(apt.deb(), "no package at all").expect("write");
    let sum = Sha256::digest("no package at all");
    let sum: String = sum.iter().map(|byte| format!("{byte:02x}")).collect();
    lie(&apt, 17, &sum);
}

#[test]
fn a_busybox_that_is_not_static_is_not_taken() {
    if !has_apt() {
        return;
    }
    let dynamic = |file: &&Path| matches!(elf::interpreter(file), Ok(Some(_)));
    let programs = ["/bin/true", "/bin/sh", "/bin/ls"].map(Path::new);
    let Some(program) = programs.into_iter().find(dynamic) else {
        return skipped("this test", "no program of this machine is linked dynamically");
    };
    let apt = Apt::new(program, "bin/busybox", "gzip").update();
    let error = apt.fetch().expect_err("not static");
    assert!(error.contains("not static"), "{error}");
    let apt = Apt::new(program, "bin/other", "gzip").update();
    let error = apt.fetch().expect_err("no busybox");
    assert!(error.contains("no busybox"), "{error}");
}

#[test]
fn empty_lists_and_a_missing_apt_are_said_in_words() {
    if !has_apt() {
        return;
    }
    let apt = Apt::new(Path::new("/bin/sh"), "bin/busybox", "none");
    let error = apt.fetch().expect_err("empty lists");
    let words = "apt has no busybox-static in its lists: run `apt update` as root";
    assert!(error.starts_with(words), "{error}");
    let fetched = apt.fetch_by(Command::new(this_test()), |command| {
        command.env("PATH", "/nowhere");
    });
    let error = fetched.expect_err("no apt");
    assert!(error.starts_with("this machine has no apt-get"), "{error}");
}

/// A command that runs this test where there is no network and no busybox.
fn nowhere() -> Option<Command> {
    let script = "for dir in /bin /usr/bin /usr/local/bin /sbin /usr/sbin; do \
                  [ ! -e $dir/busybox ] || mount --bind /dev/null $dir/busybox || exit 9; done; \
                  exec \"$0\" \"$@\"";
    let unshare = || {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--mount", "--net", "sh", "-c", script]);
        command
    };
    let works = unshare().arg("true").output().is_ok_and(|output| output.status.success());
    if !works {
        skipped("this test", "`unshare --map-root-user --mount --net` does not work here");
        return None;
    }
    let mut command = unshare();
    command.arg(this_test());
    Some(command)
}

#[test]
fn where_nothing_works_every_source_says_why() {
    let Some(mut command) = nowhere() else { return };
    let dir = tempfile::tempdir().expect("a directory");
    let (to, store) = (dir.path().join("said"), dir.path().join("store"));
    command
        .args(["--exact", "fetch_what_the_environment_says"])
        .env("FETCH_FROM", "all")
        .env("FETCH_TO", &store)
        .env("FETCH_SAYS", &to);
    for name in ["ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY"] {
        command.env_remove(name).env_remove(name.to_lowercase());
    }
    let error = said(&mut command, &to, &store).expect_err("nothing works");
    let lines: Vec<&str> = error.lines().collect();
    assert_eq!(lines[0], "no busybox rootfs could be made", "{error}");
    for (line, source) in lines[1..4].iter().zip(["host", "apt", "registry"]) {
        let reason = line.trim_start().strip_prefix(source).expect(&error).trim();
        assert!(reason.len() > 10, "{error}");
    }
    assert!(lines[3].contains("docker.io") && lines[3].contains("network"), "{error}");
    assert!(lines[4].contains("rootfs import FILE"), "{error}");
}
