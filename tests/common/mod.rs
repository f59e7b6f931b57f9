//! Running `sandbox` as root and as an ordinary user, and saying so when one cannot be had.

#![allow(dead_code, unreachable_pub)] // each test file uses a part of it

pub mod sets;
pub mod terminal;

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A user id that nobody else has, so that limits on processes count only ours.
const STRANGER: u32 = 61234;

/// Somebody who runs `sandbox`, with a home directory of their own that begins empty.
pub struct Who {
    pub name: &'static str,
    pub uid: u32,
    home: tempfile::TempDir,
    program: PathBuf,
}

impl Who {
    fn new(name: &'static str, uid: u32) -> Who {
        let home = tempfile::Builder::new().prefix("sandbox-test-").tempdir().unwrap();
        let open = fs::Permissions::from_mode(0o755);
        fs::set_permissions(home.path(), open.clone()).unwrap();
        let runtime = home.path().join("run");
        fs::create_dir(&runtime).unwrap();
        let built = of_build("CARGO_BIN_EXE_sandbox", env!("CARGO_BIN_EXE_sandbox"));
        let program = if reachable(&built) { built } else { copy(&built, home.path()) };
        if nix::unistd::geteuid().is_root() {
            chown(home.path(), Some(uid), Some(uid)).unwrap();
            chown(&runtime, Some(uid), Some(uid)).unwrap();
        }
        Who { name, uid, home, program }
    }

    pub fn home(&self) -> &Path {
        self.home.path()
    }

    pub fn is_root(&self) -> bool {
        self.uid == 0
    }

    /// Where the state of this one's sandboxes is.
    pub fn state(&self) -> PathBuf {
        if self.is_root() { "/run/sandbox".into() } else { self.home().join("run/sandbox") }
    }

    /// A command as this one, with an environment of a few variables.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command.env_clear().current_dir("/").stdin(Stdio::null());
        command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("HOME", self.home()).env("XDG_RUNTIME_DIR", self.home().join("run"));
        if nix::unistd::geteuid().as_raw() != self.uid {
            command.uid(self.uid).gid(self.uid);
        }
        command
    }

    pub fn sandbox(&self, args: &[&str]) -> Command {
        let mut command = self.command(&self.program);
        command.args(args);
        command
    }

    pub fn run(&self, args: &[&str]) -> Ran {
        Ran::of(&mut self.sandbox(args), format!("{}: sandbox {}", self.name, args.join(" ")))
    }

    /// Runs `sandbox` after this script, which may mount: root in a mount namespace, others in a user
    /// namespace too.
    pub fn after_mounts(&self, script: &str, args: &[&str]) -> Ran {
        let user: &[&str] = if self.is_root() { &[] } else { &["--user", "--map-root-user"] };
        let script = format!("cd {} && {script} && exec \"$@\"", self.home().display());
        let mut unshare = self.command("/usr/bin/unshare");
        unshare.args(user).args(["--mount", "sh", "-c", &script, "sh"]);
        unshare.arg(self.sandbox(args).get_program()).args(args);
        Ran::of(&mut unshare, format!("{}: {script}: {}", self.name, args.join(" ")))
    }

    /// A sandbox of this name is gone, with everything it had.
    pub fn assert_gone(&self, name: &str) {
        let state = self.state().join(name);
        assert!(!state.exists(), "{}: {} is still there", self.name, state.display());
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(&format!("/{name}/")), "{}: a mount is left", self.name);
        let find = Command::new("/usr/bin/find")
            .args(["/sys/fs/cgroup", "-type", "d", "-name", &format!("sandbox-{name}")])
            .output();
        assert!(find.unwrap().stdout.is_empty(), "{}: a cgroup of {name} is left", self.name);
    }
}

impl Drop for Who {
    fn drop(&mut self) {
        let left = self.run(&["rootfs", "remove", "busybox"]);
        let _ = left; // there may be none
        // The work directory of an overlay is closed even to its owner, and would stay behind.
        if !nix::unistd::geteuid().is_root() {
            let mut open = Command::new("chmod");
            let _ = open.args(["-R", "u+rwx"]).arg(self.home()).stderr(Stdio::null()).status();
        }
    }
}

/// What a command printed, and how it ended.
pub struct Ran {
    pub what: String,
    pub stdout: String,
    pub stderr: String,
    pub status: i32,
}

impl Ran {
    pub fn of(command: &mut Command, what: String) -> Ran {
        let Output { stdout, stderr, status } = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        use std::os::unix::process::ExitStatusExt;
        let status = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
        Ran { what, stdout: text(stdout), stderr: text(stderr), status }
    }

    /// What it complained, without the breaks of lines.
    pub fn said(&self) -> String {
        self.stderr.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[track_caller]
    pub fn succeeds(self) -> String {
        self.ends_with(0).stdout
    }

    #[track_caller]
    pub fn ends_with(self, status: i32) -> Ran {
        assert_eq!(self.status, status, "{}\n{}\n{}", self.what, self.stdout, self.stderr);
        self
    }

    #[track_caller]
    pub fn complains(self, words: &[&str]) -> Ran {
        for word in words {
            assert!(self.said().contains(word), "{}: no `{word}` in:\n{}", self.what, self.stderr);
        }
        assert_eq!(self.stdout, "", "{}", self.what);
        self
    }
}

/// Runs a test as root and as an ordinary user, as far as both can be had.
pub fn everybody(test: &str, act: impl Fn(&Who)) {
    as_root(test, &act);
    as_user(test, &act);
}

/// The same side by side, for who mostly waits.
pub fn everybody_at_once(test: &str, act: impl Fn(&Who) + Sync) {
    std::thread::scope(|scope| {
        scope.spawn(|| as_root(test, &act));
        as_user(test, &act);
    });
}

pub fn as_root(test: &str, act: impl Fn(&Who)) {
    let test = format!("{test}, as root");
    if !nix::unistd::geteuid().is_root() {
        return skip(&test, "the tests do not run as root");
    }
    record(&test, "ran");
    act(&Who::new("root", 0));
}

pub fn as_user(test: &str, act: impl Fn(&Who)) {
    let test = format!("{test}, as a user");
    let own = nix::unistd::geteuid().as_raw();
    let who = Who::new("user", if own == 0 { STRANGER } else { own });
    let tried = Ran::of(
        who.command("/usr/bin/unshare").args(["--user", "--map-root-user", "true"]),
        "unshare".to_owned(),
    );
    if tried.status != 0 {
        return skip(&test, "ordinary users may not make user namespaces here");
    }
    record(&test, "ran");
    act(&who);
}

/// Waits until something is so, for twenty seconds.
#[track_caller]
pub fn wait_for(what: &str, mut so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !so() {
        assert!(begin.elapsed() < Duration::from_secs(20), "{what} took too long");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether a program that a test needs is there.
pub fn has(test: &str, program: &str) -> bool {
    let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let there = std::env::split_paths(path).any(|dir| dir.join(program).exists());
    if !there {
        skip(test, &format!("`{program}` is not installed"));
    }
    there
}

/// A skip never looks like a pass: it is printed, counted, and where all must run, a failure.
pub fn skip(test: &str, reason: &str) {
    eprintln!("SKIPPED: {test}: because {reason}");
    record(test, "skipped");
    assert!(std::env::var_os("SANDBOX_TEST_ALL").is_none(), "{test} must run here: {reason}");
}

/// What can be seen only on another kind of machine is no failure here, and no pass either.
pub fn elsewhere(test: &str, reason: &str) {
    eprintln!("NOT HERE: {test}: because {reason}");
    record(test, "elsewhere");
}

fn record(test: &str, what: &str) {
    let dir = of_build("CARGO_TARGET_TMPDIR", env!("CARGO_TARGET_TMPDIR")).join("privileged");
    fs::create_dir_all(&dir).unwrap();
    let file = dir.join(std::process::id().to_string());
    let mut file = OpenOptions::new().create(true).append(true).open(file).unwrap();
    // In one write: tests of the same process run side by side.
    file.write_all(format!("{what} {test}\n").as_bytes()).unwrap();
}

/// A path that cargo told at the build, or where it is on another machine than that of the build.
fn of_build(variable: &str, built: &str) -> PathBuf {
    std::env::var_os(variable).map_or_else(|| built.into(), PathBuf::from)
}

fn reachable(file: &Path) -> bool {
    let open = |path: &Path| fs::metadata(path).is_ok_and(|m| m.permissions().mode() & 0o5 == 5);
    file.ancestors().all(open)
}

fn copy(file: &Path, into: &Path) -> PathBuf {
    let copy = into.join("sandbox");
    fs::copy(file, &copy).unwrap();
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
    copy
}

impl Who {
    /// Whether this one has a place for cgroups on this machine: root has, an ordinary user where
    /// somebody gave one.
    pub fn may_make_cgroups(&self) -> bool {
        self.run(&["run", "--only", "cgroups", "--", "true"]).status == 0
    }
}

/// Records that a test that needs more than every machine has did run.
pub fn ran(test: &str) {
    record(test, "ran");
}
