//! Many sandboxes: at once, and in a row. Prints what they took, and what they left.
//!
//! `cargo bench --bench load -- 500 10000 union`: how many at once, how many in a row, at which
//! level. As root or as an ordinary user; ends with an error when something is left.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const SANDBOX: &str = env!("CARGO_BIN_EXE_sandbox");
/// What the sandboxes run, so that their processes can be told from all others.
const COMMAND: [&str; 2] = ["sleep", "61298"];

fn main() {
    // cargo adds `--bench`.
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let number = |at: usize, default: usize| {
        arguments.get(at).map_or(default, |word| word.parse().expect("a number of sandboxes"))
    };
    let (at_once, in_a_row) = (number(0, 500), number(1, 10_000));
    let level = arguments.get(2).map_or("union", String::as_str);
    let home = tempfile::tempdir().expect("a directory for the rootfs and the state");
    let load = Load { home, level };
    load.sandbox(&["run", "--", "true"]).status().expect("a first run, which makes the rootfs");
    let before = load.left();
    load.at_once(at_once);
    load.in_a_row(in_a_row);
    let after = load.left();
    let new: Vec<&String> = after.difference(&before).collect();
    println!("left behind: {}", new.len());
    for thing in &new {
        println!("  {thing}");
    }
    assert!(new.is_empty(), "something is left");
}

struct Load<'a> {
    home: tempfile::TempDir,
    level: &'a str,
}

impl Load<'_> {
    /// With a home and, for an ordinary user, a state directory of its own.
    fn sandbox(&self, args: &[&str]) -> Command {
        let mut command = Command::new(SANDBOX);
        command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.env("HOME", self.home.path()).env("XDG_RUNTIME_DIR", self.home.path());
        command.env_remove("XDG_DATA_HOME");
        command
    }

    fn at_once(&self, number: usize) {
        let machine = Machine::now();
        let begin = Instant::now();
        let start = |at: usize| {
            let name = format!("load-{at}");
            let args = ["run", "--level", self.level, "--name", &name, "--"];
            self.sandbox(&[&args[..], &COMMAND].concat()).spawn().expect("another process")
        };
        let mut running: Vec<Child> = (0..number).map(start).collect();
        while commands() < number && begin.elapsed() < Duration::from_secs(300) {
            std::thread::sleep(Duration::from_millis(20));
        }
        println!("{number} at once, level {}", self.level);
        println!("  running        {} after {:.1?}", commands(), begin.elapsed());
        let parents = running.iter().map(|child| format!("/proc/{}", child.id()));
        let (memory, descriptors): (Vec<u64>, Vec<usize>) =
            parents.map(|process| (own_memory(&process), entries(&process))).unzip();
        println!(
            "  a parent       {} kB of its own, {} descriptors",
            middle(memory),
            middle(descriptors)
        );
        Machine::now().print_since(&machine, Some(number));
        let begin = Instant::now();
        for child in &running {
            let pid = nix::unistd::Pid::from_raw(child.id().try_into().expect("a pid"));
            nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).expect("our own child");
        }
        for child in &mut running {
            child.wait().expect("our own child");
        }
        println!(
            "  all ended      after {:.1?}, {} commands are left",
            begin.elapsed(),
            commands()
        );
    }

    fn in_a_row(&self, number: usize) {
        let machine = Machine::now();
        let begin = Instant::now();
        let mut times = Vec::with_capacity(number);
        let mut failed = 0;
        for _ in 0..number {
            let begin = Instant::now();
            let status = self.sandbox(&["run", "--level", self.level, "--", "true"]).status();
            failed += usize::from(!status.expect("another process").success());
            times.push(begin.elapsed());
        }
        let first = middle(times[..times.len().min(100)].to_vec());
        let last = middle(times[times.len().saturating_sub(100)..].to_vec());
        println!("{number} in a row, level {}", self.level);
        println!("  took           {:.1?}, {failed} failed", begin.elapsed());
        println!("  one            {first:.1?} in the first hundred, {last:.1?} in the last");
        Machine::now().print_since(&machine, None);
        assert_eq!(failed, 0, "a run failed");
    }

    /// Names of what sandboxes may leave: state, layers, mounts, cgroups, processes.
    fn left(&self) -> BTreeSet<String> {
        let mut left = BTreeSet::new();
        let home = self.home.path().display().to_string();
        for dir in ["/run/sandbox", &format!("{home}/sandbox")] {
            let entries = fs::read_dir(dir).into_iter().flatten().flatten();
            left.extend(entries.map(|entry| entry.path().display().to_string()));
        }
        let found = Command::new("find")
            .args(["/sys/fs/cgroup", "-type", "d", "-name", "sandbox-*"])
            .output()
            .expect("find(1)");
        left.extend(String::from_utf8_lossy(&found.stdout).lines().map(str::to_owned));
        let layers = Command::new("find")
            .args([&home, "-mindepth", "1", "-maxdepth", "5", "-path", "*/layers/*"])
            .output()
            .expect("find(1)");
        left.extend(String::from_utf8_lossy(&layers.stdout).lines().map(str::to_owned));
        let mounts = fs::read("/proc/self/mountinfo").expect("the mounts");
        let mounts = String::from_utf8_lossy(&mounts);
        left.extend(mounts.lines().filter(|line| line.contains("sandbox")).map(str::to_owned));
        left.extend((0..commands()).map(|at| format!("process {at} of {COMMAND:?}")));
        left
    }
}

/// What the whole machine has in use.
struct Machine {
    /// kB
    free: u64,
    files: u64,
    processes: usize,
}

impl Machine {
    fn now() -> Machine {
        let memory = fs::read_to_string("/proc/meminfo").expect("/proc/meminfo");
        let files = fs::read_to_string("/proc/sys/fs/file-nr").expect("/proc/sys/fs/file-nr");
        let in_use = files.split_whitespace().next().and_then(|word| word.parse().ok());
        Machine {
            free: field(&memory, "MemAvailable:"),
            files: in_use.expect("the open files of the machine"),
            processes: processes().count(),
        }
    }

    /// How much more the machine has in use than before, for each sandbox or in all.
    fn print_since(&self, before: &Machine, sandboxes: Option<usize>) {
        let (parts, each) = sandboxes.map_or((1, "in all"), |number| (number.max(1), "each"));
        let more = |now: u64, then: u64| (now as f64 - then as f64) / parts as f64;
        println!("  memory         {:+.0} kB {each}", more(before.free, self.free));
        println!("  open files     {:+.1} {each}", more(self.files, before.files));
        println!(
            "  processes      {:+.1} {each}",
            more(self.processes as u64, before.processes as u64)
        );
    }
}

fn processes() -> impl Iterator<Item = String> {
    let entries = fs::read_dir("/proc").expect("/proc").flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
}

/// How many processes are the command, and not yet dead.
fn commands() -> usize {
    let wanted = COMMAND.join("\0");
    let is_one = |pid: &String| {
        let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.trim_end_matches('\0') == wanted
    };
    processes().filter(is_one).count()
}

/// kB that nobody shares with the process.
fn own_memory(process: &str) -> u64 {
    let rollup = fs::read_to_string(format!("{process}/smaps_rollup")).unwrap_or_default();
    field(&rollup, "Private_Clean:") + field(&rollup, "Private_Dirty:")
}

fn entries(process: &str) -> usize {
    fs::read_dir(format!("{process}/fd")).map_or(0, Iterator::count)
}

fn field(text: &str, name: &str) -> u64 {
    let value = text.lines().find_map(|line| line.strip_prefix(name));
    value.and_then(|value| value.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

fn middle<T: Ord + Copy>(mut all: Vec<T>) -> T {
    all.sort_unstable();
    all[all.len() / 2]
}
