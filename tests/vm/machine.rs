//! A virtual machine with a kernel of Debian's, for the cgroup versions that this machine has not.
//!
//! The kernel is fetched, not installed. Its root is a disk image with a busybox, a static build of
//! `sandbox` and the jobs; what they printed comes back on a second disk.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Condvar, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::common::Ran;

/// What of cgroups the machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Case {
    V1,
    Hybrid,
    V2,
    None,
}

/// Who runs a job, and in which cgroup of version 2 they stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// At the top of the tree.
    Root,
    /// Root in a leaf below others, as after a login.
    Login,
    /// An ordinary user in a leaf that was given to them.
    Student,
    /// An ordinary user who was given nothing.
    Stranger,
}

/// Something to run in the machine.
pub(crate) struct Job {
    pub(crate) who: Who,
    pub(crate) run: String,
    /// In seconds.
    pub(crate) timeout: u32,
}

impl Job {
    pub(crate) fn new(who: Who, run: &str) -> Job {
        Job { who, run: run.to_owned(), timeout: 300 }
    }
}

/// How many more machines may run. Most of the time a machine keeps one processor busy.
static ROOM: (Mutex<usize>, Condvar) = (Mutex::new(2), Condvar::new());

/// How long a machine may take in all.
const PATIENCE: Duration = Duration::from_secs(900);

/// Why there are no results.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// This machine lacks something that is needed.
    Missing(String),
    /// What should work did not.
    Broken(String),
}

impl From<String> for Failure {
    fn from(what: String) -> Failure {
        Failure::Broken(what)
    }
}

/// Boots a machine, runs the jobs one after another, and returns what they printed.
pub(crate) fn run(case: Case, jobs: &[Job]) -> Result<Vec<Ran>, Failure> {
    let parts = parts()?;
    let dir = tempfile::Builder::new().prefix(BOOTED).tempdir_in(cache()).map_err(text)?;
    let root = dir.path().join("root");
    lay_out(&root, parts, jobs).map_err(text)?;
    if case == Case::V2 {
        add_libraries(&root)?;
    }
    let (disk, results) = (dir.path().join("disk"), dir.path().join("results"));
    File::create(&disk).and_then(|file| file.set_len(768 << 20)).map_err(text)?;
    File::create(&results).and_then(|file| file.set_len(64 << 20)).map_err(text)?;
    let mut mke2fs = Command::new("/sbin/mke2fs");
    checked(mke2fs.args(["-q", "-t", "ext4", "-d"]).arg(&root).arg(&disk))?;
    {
        let (left, freed) = &ROOM;
        let left = left.lock().unwrap_or_else(PoisonError::into_inner);
        let mut left =
            freed.wait_while(left, |left| *left == 0).unwrap_or_else(PoisonError::into_inner);
        *left -= 1;
    }
    let booted = boot(case, parts, &disk, &results, dir.path());
    *ROOM.0.lock().unwrap_or_else(PoisonError::into_inner) += 1;
    ROOM.1.notify_one();
    booted?;
    let out = dir.path().join("out");
    fs::create_dir(&out).map_err(text)?;
    checked(Command::new("tar").arg("-xf").arg(&results).arg("-C").arg(&out))?;
    let read = |number: usize, job: &Job| {
        let file = |name: &str| fs::read(out.join(number.to_string()).join(name));
        let text = |name: &str| file(name).map(|b| String::from_utf8_lossy(&b).into_owned());
        let status = text("status").unwrap_or_default();
        let what = format!("{case:?} {:?}: {}", job.who, job.run);
        let (stdout, stderr) = (text("stdout").unwrap_or_default(), text("stderr"));
        let stderr = stderr.unwrap_or_default();
        Ran { what, stdout, stderr, status: status.trim().parse().unwrap_or(-1) }
    };
    Ok(jobs.iter().enumerate().map(|(number, job)| read(number, job)).collect())
}

/// What all machines share.
struct Parts {
    kernel: PathBuf,
    modules: Vec<PathBuf>,
    busybox: PathBuf,
    sandbox: PathBuf,
    tests: PathBuf,
}

/// Fetched and built once.
fn parts() -> Result<&'static Parts, Failure> {
    static PARTS: OnceLock<Result<Parts, Failure>> = OnceLock::new();
    PARTS.get_or_init(make_parts).as_ref().map_err(Clone::clone)
}

fn cache() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("machine")
}

/// The beginning of the names of directories that are a machine's while it runs.
const BOOTED: &str = "booted-";

fn make_parts() -> Result<Parts, Failure> {
    fs::create_dir_all(cache()).map_err(text)?;
    // What killed tests have left.
    for entry in fs::read_dir(cache()).map_err(text)?.flatten() {
        if entry.file_name().to_string_lossy().starts_with(BOOTED) {
            fs::remove_dir_all(entry.path()).map_err(text)?;
        }
    }
    for program in ["/usr/bin/qemu-system-x86_64", "/sbin/mke2fs"] {
        if !Path::new(program).exists() {
            return Err(Failure::Missing(format!("`{program}` is not installed")));
        }
    }
    let busybox = PathBuf::from("/usr/bin/busybox");
    if !matches!(rootfs_fetch::elf::interpreter(&busybox), Ok(None)) {
        return Err(Failure::Missing("there is no static /usr/bin/busybox".to_owned()));
    }
    let unpacked = fetch_kernel().map_err(Failure::Missing)?;
    let find = |dir: &str, name: &str| find(&unpacked.join(dir), name);
    let part = |dir, name| {
        find(dir, name).ok_or_else(|| Failure::Broken(format!("the package has no {name}")))
    };
    let kernel = part("boot", "vmlinuz-")?;
    let modules = ["dummy.ko", "overlay.ko", "veth.ko"].map(|name| part("lib/modules", name));
    let modules = modules.into_iter().collect::<Result<_, _>>()?;
    let (sandbox, tests) = build()?;
    Ok(Parts { kernel, modules, busybox, sandbox, tests })
}

/// The newest cloud kernel of this distribution, unpacked.
fn fetch_kernel() -> Result<PathBuf, String> {
    let kernel = cache().join("kernel");
    if kernel.exists() {
        return Ok(kernel);
    }
    let dir = cache().join(format!("{BOOTED}kernel"));
    fs::create_dir_all(&dir).map_err(text)?;
    let meta = "linux-image-cloud-amd64";
    let depends = checked(Command::new("apt-cache").args(["depends", meta]))?;
    let name = depends.lines().find_map(|line| line.trim().strip_prefix("Depends: "));
    let name = name.ok_or(format!("apt knows no package {meta}: run `apt-get update`"))?;
    checked(Command::new("apt-get").args(["download", "-q", name]).current_dir(&dir))?;
    let package = find(&dir, "linux-image").ok_or("apt-get download left no package")?;
    checked(Command::new("dpkg").arg("-x").arg(&package).arg(&dir))?;
    fs::remove_file(package).map_err(text)?;
    // It has its name when it is complete.
    fs::rename(dir, &kernel).map_err(text)?;
    Ok(kernel)
}

/// `sandbox` and the tests of cgroups, without shared libraries: the machine has none.
fn build() -> Result<(PathBuf, PathBuf), String> {
    let target = cache().join("target");
    let cargo = option_env!("CARGO").unwrap_or("cargo");
    let build = |command: &[&str]| {
        let mut build = Command::new(cargo);
        build.args(command).args(["--locked", "--quiet", "--target", "x86_64-unknown-linux-gnu"]);
        build.args(["--config", "profile.dev.debug=0", "--message-format", "json"]);
        build.env("RUSTFLAGS", "-C target-feature=+crt-static -C strip=symbols");
        build.env("CARGO_TARGET_DIR", &target).current_dir(env!("CARGO_MANIFEST_DIR"));
        checked(&mut build)
    };
    let built = build(&["test", "--no-default-features", "--no-run", "--test", "cgroups"])?;
    let executables = built.lines().filter_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        message["executable"].as_str().map(PathBuf::from)
    });
    let mut executables: Vec<PathBuf> = executables.collect();
    executables.sort_by_key(|path| path.parent().is_some_and(|dir| dir.ends_with("deps")));
    match executables.as_slice() {
        [sandbox, tests] => Ok((sandbox.clone(), tests.clone())),
        others => Err(format!("cargo built {others:?}, and not a program and its tests")),
    }
}

fn lay_out(root: &Path, parts: &Parts, jobs: &[Job]) -> std::io::Result<()> {
    for dir in ["usr/bin", "lib/modules", "etc", "home/student", "root", "jobs", "results", "mnt"] {
        fs::create_dir_all(root.join(dir))?;
    }
    for dir in ["proc", "sys", "dev", "run", "tmp"] {
        fs::create_dir(root.join(dir))?;
    }
    for dir in ["bin", "sbin", "usr/sbin"] {
        symlink("/usr/bin", root.join(dir))?;
    }
    fs::copy(&parts.busybox, root.join("usr/bin/busybox"))?;
    let applets = Command::new(&parts.busybox).arg("--list").output()?.stdout;
    for applet in String::from_utf8_lossy(&applets).lines().filter(|name| *name != "busybox") {
        symlink("busybox", root.join("usr/bin").join(applet))?;
    }
    fs::copy(&parts.sandbox, root.join("usr/bin/sandbox"))?;
    fs::copy(&parts.tests, root.join("usr/bin/cgroups-tests"))?;
    for module in &parts.modules {
        fs::copy(module, root.join("lib/modules").join(module.file_name().unwrap_or_default()))?;
    }
    fs::write(
        root.join("etc/passwd"),
        "root:x:0:0:root:/root:/bin/sh\nstudent:x:1000:1000::/home/student:/bin/sh\n",
    )?;
    fs::write(root.join("etc/group"), "root:x:0:\nstudent:x:1000:\n")?;
    fs::write(root.join("init"), include_str!("init.sh"))?;
    fs::set_permissions(root.join("init"), fs::Permissions::from_mode(0o755))?;
    for (number, job) in jobs.iter().enumerate() {
        let dir = root.join("jobs").join(number.to_string());
        fs::create_dir(&dir)?;
        fs::write(dir.join("who"), format!("{:?}", job.who).to_lowercase())?;
        fs::write(dir.join("run"), format!("{}\n", job.run))?;
        fs::write(dir.join("timeout"), job.timeout.to_string())?;
    }
    Ok(())
}

/// A program with its shared libraries, as every distribution has them.
fn add_libraries(root: &Path) -> Result<(), String> {
    fs::remove_file(root.join("usr/bin/ls")).map_err(text)?;
    let listed = checked(Command::new("ldd").arg("/bin/ls"))?;
    let libraries = listed.split_whitespace().filter(|word| word.starts_with('/'));
    for file in libraries.chain(["/usr/bin/ls"]) {
        let to = root.join(file.trim_start_matches('/'));
        fs::create_dir_all(to.parent().unwrap_or(root)).map_err(text)?;
        fs::copy(file, to).map_err(text)?;
    }
    Ok(())
}

fn boot(case: Case, parts: &Parts, disk: &Path, results: &Path, dir: &Path) -> Result<(), String> {
    let words = match case {
        Case::V2 => "cgroup_no_v1=all",
        _ => "cgroup_enable=memory",
    };
    let name = format!("{case:?}").to_lowercase();
    let line = format!(
        "root=/dev/nvme0n1 rw init=/init console=ttyS0 quiet panic=-1 {words} machine.case={name}"
    );
    let drive = |id: &str, file: &Path| {
        let drive = format!("file={},if=none,format=raw,cache=unsafe,id={id}", file.display());
        ["-drive".to_owned(), drive, "-device".to_owned(), format!("nvme,serial={id},drive={id}")]
    };
    let console = dir.join("console");
    let log = File::create(&console).map_err(text)?;
    // Killed tests must not leave a machine behind.
    let mut qemu = Command::new("/usr/bin/setpriv");
    qemu.args(["--pdeathsig", "KILL", "/usr/bin/qemu-system-x86_64"]);
    qemu.args(["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "1024"]);
    qemu.args(["-nodefaults", "-no-reboot", "-display", "none", "-serial", "stdio"]);
    qemu.arg("-kernel").arg(&parts.kernel).arg("-append").arg(line);
    qemu.args(drive("root", disk)).args(drive("results", results));
    qemu.stdin(Stdio::null()).stdout(log.try_clone().map_err(text)?).stderr(log);
    let mut machine = Machine(qemu.spawn().map_err(text)?);
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = machine.0.try_wait().map_err(text)? {
            let console = fs::read_to_string(&console).unwrap_or_default();
            let ended = console.contains(" ended: ");
            eprintln!("{case:?}:\n{console}");
            return if status.success() && ended { Ok(()) } else { Err(last_words(&console)) };
        }
        if Instant::now() > until {
            let console = fs::read_to_string(&console).unwrap_or_default();
            return Err(format!("it took more than {PATIENCE:?}; {}", last_words(&console)));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Ended with the test.
struct Machine(std::process::Child);

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn last_words(console: &str) -> String {
    let lines: Vec<&str> = console.lines().collect();
    format!("the console's last words:\n{}", lines[lines.len().saturating_sub(30)..].join("\n"))
}

/// The file below `dir` whose name begins or ends so.
fn find(dir: &Path, name: &str) -> Option<PathBuf> {
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for path in fs::read_dir(dir).ok()?.flatten().map(|entry| entry.path()) {
            let is_it = path.file_name().and_then(|file| file.to_str());
            if path.is_dir() {
                dirs.push(path);
            } else if is_it.is_some_and(|file| file.starts_with(name) || file == name) {
                return Some(path);
            }
        }
    }
    None
}

fn checked(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn text(error: std::io::Error) -> String {
    error.to_string()
}
