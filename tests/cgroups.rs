//! Limits: what they are from inside and outside, what they hold, and what is left after them.

#![allow(clippy::unwrap_used)] // a test may panic

mod common;

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::{Ran, Who, as_root, as_user, elsewhere, everybody, skip};
use sandbox::cgroups::{Hierarchies, Version};
use serde_json::Value;

/// Runs a test for everybody who may make cgroups here, and shows that the others are told.
fn with_cgroups(test: &str, act: impl Fn(&Who)) {
    everybody(test, |who| {
        if who.may_make_cgroups() {
            return act(who);
        }
        let refused = who.run(&["run", "--only", "cgroups", "--", "true"]);
        assert_eq!(refused.status, 125);
        let told = ["only root may", "no cgroup hierarchy", "cannot be had"];
        assert!(told.iter().any(|words| refused.said().contains(words)), "{}", refused.stderr);
        assert!(!who.is_root() || Hierarchies::gather().0.is_empty(), "{}", refused.stderr);
    });
}

fn version() -> Version {
    Hierarchies::gather().version().unwrap_or(Version::V2)
}

/// The file of a limit where it can be read from inside.
fn inside(v1: &'static str, v2: &'static str) -> String {
    match version() {
        Version::V1 => format!("/sys/fs/cgroup/{v1}"),
        Version::V2 => format!("/sys/fs/cgroup/{v2}"),
    }
}

struct Running<'a> {
    who: &'a Who,
    name: &'static str,
    child: Child,
}

/// Starts a sandbox in the background and waits until its command runs.
fn start<'a>(who: &'a Who, name: &'static str, args: &[&str], script: &str) -> Running<'a> {
    let head = ["run", "--level", "cgroups", "--name", name];
    let args = [&head, args, &["--", "sh", "-c", script]].concat();
    let child = who.sandbox(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    while !who.run(&["ps"]).stdout.contains(name) {
        assert!(Instant::now() < until, "{name} does not start");
        sleep(Duration::from_millis(20));
    }
    Running { who, name, child }
}

impl Running<'_> {
    fn stats(&self) -> Value {
        let args = ["stats", self.name, "--no-stream", "--format", "json"];
        serde_json::from_str(&self.who.run(&args).succeeds()).unwrap()
    }

    fn used_us(&self) -> u64 {
        self.stats()["cpu"]["usage_us"].as_u64().unwrap()
    }

    /// Whether it gets any processor time.
    fn runs(&self) -> bool {
        let before = self.used_us();
        sleep(Duration::from_millis(400));
        self.used_us() > before
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.who.run(&["kill", self.name]);
        self.child.wait().unwrap();
        self.who.assert_gone(self.name);
    }
}

#[test]
fn every_limit_is_read_back_from_inside_and_from_outside() {
    with_cgroups("limits read back", |who| {
        let limits = ["--memory", "64m", "--pids-limit", "30", "--cpus", "0.5"];
        let limits = [&limits[..], &["--cpu-weight", "200", "--cpuset-cpus", "0"]].concat();
        let files = [
            (inside("memory/memory.limit_in_bytes", "memory.max"), "67108864"),
            (inside("pids/pids.max", "pids.max"), "30"),
            (inside("cpu/cpu.cfs_quota_us", "cpu.max"), "50000"),
            (inside("cpu/cpu.shares", "cpu.weight"), ["2048", "200"][version() as usize]),
            (inside("cpuset/cpuset.cpus", "cpuset.cpus"), "0"),
        ];
        let read = files.iter().map(|(file, _)| format!("cut -d ' ' -f 1 {file}; "));
        let script: String = read.collect();
        let args = [&["run", "--level", "cgroups"], &limits[..], &["--", "sh", "-c", &script]];
        let shown = who.run(&args.concat()).succeeds();
        let expected: Vec<&str> = files.iter().map(|(_, value)| *value).collect();
        assert_eq!(shown.lines().collect::<Vec<_>>(), expected, "{files:?}");

        let running = start(who, "read-back", &limits, "exec sleep 100");
        let stats = running.stats();
        assert_eq!(stats["memory"]["limit"], 64 << 20, "{stats}");
        assert_eq!(stats["pids"]["limit"], 30, "{stats}");
        assert_eq!(stats["cpu"]["limit"], 0.5, "{stats}");
        assert!(stats["pids"]["current"].as_u64().unwrap() >= 1, "{stats}");
    });
}

#[test]
fn what_is_written_from_inside_changes_no_limit() {
    with_cgroups("limits from inside", |who| {
        let file = inside("pids/pids.max", "pids.max");
        let script = format!("echo max > {file}; cat {file}");
        let args = ["run", "--level", "cgroups", "--pids-limit", "30", "--", "sh", "-c", &script];
        let ran = who.run(&args);
        assert_eq!(ran.stdout, "30\n", "{}", ran.stderr);
        assert!(ran.stderr.contains("Read-only file system"), "{}", ran.stderr);
    });
}

#[test]
fn an_impossible_limit_is_refused_with_the_accepted_form() {
    as_user("impossible limits", |who| {
        for (limit, form) in [
            (["--memory", "1"], "`64m`"),
            (["--memory", "64x"], "`64m`"),
            (["--memory", "-5m"], "`64m`"),
            (["--cpus", "0"], "from `0.01`"),
            (["--cpus", "1000"], "from `0.01`"),
            (["--cpus", "-1"], "from `0.01`"),
            (["--pids-limit", "-3"], "such as `100`"),
            (["--pids-limit", "0"], "such as `100`"),
            (["--cpu-weight", "0"], "from 1 to 10000"),
            (["--cpuset-cpus", "3-1"], "such as `0`"),
            (["--device-read-bps", "/dev/vda"], "`/dev/sda:1m`"),
        ] {
            let args = [&["run", "--only", "uts"], &limit[..], &["--", "true"]].concat();
            let ran = who.run(&args).ends_with(2);
            assert!(ran.stderr.contains(form), "{}", ran.stderr);
        }
    });
    with_cgroups("impossible here", |who| {
        let run = |limit: [&str; 2]| {
            let args = [&["run", "--only", "cgroups"], &limit[..], &["--", "true"]].concat();
            who.run(&args).ends_with(125)
        };
        run(["--cpuset-cpus", "4000"]).complains(&["cpuset.cpus", "nproc(1)"]);
        run(["--device-read-bps", "/proc/version:1m"]).complains(&["not a disk", "lsblk(8)"]);
        if version() == Version::V1 {
            run(["--memory-high", "20m"]).complains(&["version 2", "--memory"]);
        }
    });
}

#[test]
fn a_hog_is_killed_and_its_neighbour_is_not() {
    with_cgroups("hog", |who| {
        let neighbour = start(who, "neighbour", &["--memory", "64m"], "exec sleep 100");
        let hog = ["run", "--level", "cgroups", "--memory", "32m", "--", "tail", "/dev/zero"];
        who.run(&hog).ends_with(137);
        assert_eq!(neighbour.stats()["memory"]["oom_kills"], 0);
        assert!(who.run(&["ps"]).stdout.contains("neighbour"));
    });
}

#[test]
fn a_sandbox_is_paused_resumed_updated_and_killed() {
    with_cgroups("control", |who| {
        let busy = start(who, "busy", &["--cpus", "0.5"], "while :; do :; done");
        assert!(busy.runs());
        who.run(&["pause", "busy"]).succeeds();
        assert_eq!(busy.stats()["paused"], true);
        assert!(!busy.runs(), "a paused sandbox had processor time");
        who.run(&["resume", "busy"]).succeeds();
        assert!(busy.runs(), "{}", busy.stats());
        for memory in ["64m", "256m", "32m"] {
            who.run(&["update", "busy", "--memory", memory]).succeeds();
            let bytes = memory.trim_end_matches('m').parse::<u64>().unwrap() << 20;
            assert_eq!(busy.stats()["memory"]["limit"], bytes, "{memory}");
        }
        who.run(&["update", "busy", "--cpus", "max", "--pids-limit", "9"]).succeeds();
        let stats = busy.stats();
        assert_eq!((&stats["cpu"]["limit"], &stats["pids"]["limit"]), (&Value::Null, &9.into()));
        who.run(&["update", "busy"]).ends_with(2).complains(&["nothing to update"]);
        who.run(&["pause", "nobody"]).ends_with(2).complains(&["no sandbox `nobody`", "ps"]);
        who.run(&["kill", "busy", "--signal", "NOPE"]).ends_with(2).complains(&["no signal"]);
        who.run(&["pause", "busy"]).succeeds(); // and killed while it is paused, at the end
    });
}

#[test]
fn killed_whole_a_sandbox_ends_with_137_and_with_a_signal_as_it_likes() {
    with_cgroups("kill", |who| {
        let script = "trap 'exit 7' TERM; while :; do sleep 0.05; done";
        let mut it = start(who, "killed", &["--init"], script);
        sleep(Duration::from_millis(200));
        who.run(&["kill", "killed", "--signal", "TERM"]).succeeds();
        assert_eq!(it.child.wait().unwrap().code(), Some(7));
        let mut it = start(who, "killed", &[], "while :; do sleep 1 & sleep 0.05; done");
        who.run(&["kill", "killed"]).succeeds();
        assert_eq!(it.child.wait().unwrap().code(), Some(137));
    });
}

#[test]
fn what_runs_on_in_the_cgroup_ends_with_the_sandbox() {
    with_cgroups("survivors", |who| {
        let script = "sleep 61235 & sleep 61235 & exit 3";
        who.run(&["run", "--only", "cgroups", "--name", "left", "--", "sh", "-c", script])
            .ends_with(3);
        who.assert_gone("left");
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            assert_ne!(line, b"sleep\x0061235\0", "{:?} lives on", entry.path());
        }
    });
}

/// Where the cgroup of a running sandbox is for this controller.
fn directory(name: &str, controller: &str) -> PathBuf {
    let find = Command::new("/usr/bin/find")
        .args(["/sys/fs/cgroup", "-type", "d", "-name", &format!("sandbox-{name}")])
        .output()
        .unwrap();
    let found = String::from_utf8(find.stdout).unwrap();
    let mut dirs = found.lines().map(PathBuf::from);
    dirs.find(|dir| dir.join(format!("{controller}.max")).exists()).unwrap()
}

#[test]
fn a_cgroup_with_others_in_it_is_emptied_and_removed() {
    as_root("busy cgroup", |who| {
        if !who.may_make_cgroups() {
            return skip("busy cgroup, as root", "root may make no cgroups here");
        }
        let running = start(who, "crowded", &[], "exec sleep 100");
        let below = directory("crowded", "pids").join("below/deeper");
        std::fs::create_dir_all(&below).unwrap();
        let mut guest = Command::new("/bin/sleep").arg("61236").spawn().unwrap();
        std::fs::write(below.join("cgroup.procs"), guest.id().to_string()).unwrap();
        drop(running);
        assert!(!guest.wait().unwrap().success(), "the process in the cgroup lives on");
        assert!(!below.exists());
    });
}

#[test]
fn a_process_that_moved_itself_elsewhere_keeps_nothing_from_being_removed() {
    as_root("moved away", |who| {
        if !who.may_make_cgroups() {
            return skip("moved away, as root", "root may make no cgroups here");
        }
        let top = "for top in $(grep -E ' - cgroup2? ' /proc/self/mountinfo | cut -d ' ' -f 5); do \
                   echo 0 > $top/cgroup.procs; done 2> /dev/null; cat /proc/self/cgroup";
        let args = ["run", "--only", "cgroups", "--name", "mover", "--", "sh", "-c", top];
        let shown = who.run(&args).succeeds();
        assert!(!shown.contains("sandbox-mover"), "{shown}");
        who.assert_gone("mover");
    });
}

#[test]
fn a_missing_controller_a_read_only_hierarchy_and_none_at_all_are_explained() {
    as_root("hierarchies", |who| {
        if !who.may_make_cgroups() {
            return skip("hierarchies, as root", "root may make no cgroups here");
        }
        let each = "for at in $(grep -E ' - cgroup2? ' /proc/self/mountinfo | cut -d ' ' -f 5)";
        let inside = |prepare: &str| {
            let sandbox =
                who.sandbox(&["run", "--only", "cgroups", "--memory", "64m", "--", "true"]);
            let words = std::iter::once(sandbox.get_program()).chain(sandbox.get_args());
            let words: Vec<&str> = words.map(|word| word.to_str().unwrap()).collect();
            let script = format!("{prepare} && {}", words.join(" "));
            let mut unshare = who.command("/usr/bin/unshare");
            Ran::of(unshare.args(["--mount", "sh", "-c", &script]), script).ends_with(125)
        };
        inside(&format!("{each}; do mount -o remount,bind,ro $at; done"))
            .complains(&["mounted read-only", "--privileged"]);
        inside(&format!("{each}; do umount $at; done"))
            .complains(&["no cgroup hierarchy is mounted"]);
        if version() == Version::V1 {
            inside("umount /sys/fs/cgroup/memory").complains(&["`memory` cannot be had here"]);
        }
    });
}

#[test]
fn rlimits_take_the_place_of_cgroups_and_say_so() {
    as_user("rlimits", |who| {
        let run = |args: &[&str]| who.run(&[&["run"], args].concat());
        let explicit =
            ["--only", "mnt,rootfs,chroot,rlimits", "--memory", "32m", "--", "tail", "/dev/zero"];
        let ran = run(&explicit);
        assert!(ran.status == 1 && ran.stderr.contains("out of memory"), "{}", ran.stderr);
        let cpus = ["--only", "rlimits", "--cpus", "0.5", "--", "true"];
        run(&cpus).ends_with(2).complains(&[
            "`--cpus` is for the stage `cgroups`, which is not chosen",
            "add `--with cgroups --without rlimits`",
        ]);
        if who.may_make_cgroups() {
            let reason = "this user may make cgroups: `rlimits` has no place to take";
            return elsewhere("rlimits, as a user", reason);
        }
        let ran = run(&["--level", "cgroups", "--memory", "32m", "--", "sh", "-c", "ulimit -v"]);
        assert_eq!(ran.stdout, "32768\n");
        assert!(ran.said().contains("`rlimits` takes the place of `cgroups`"), "{}", ran.stderr);
        run(&["--level", "cgroups", "--cpus", "0.5", "--", "true"]).ends_with(125);
    });
}

#[test]
fn version_1_lets_a_sandbox_of_root_open_only_listed_devices() {
    as_root("devices", |who| {
        if version() == Version::V2 {
            return elsewhere("devices, as root", "cgroup version 2 has no list of devices");
        }
        let open = |stages: &str| {
            let kmsg = "head -c 0 /dev/kmsg && head -c 1 /dev/zero | wc -c";
            who.run(&["run", "--only", stages, "--", "sh", "-c", kmsg])
        };
        assert_eq!(open("uts").succeeds().trim(), "1");
        assert!(open("cgroups").stderr.contains("Operation not permitted"));
        let zero = ["run", "--only", "cgroups", "--", "head", "-c", "1", "/dev/zero"];
        who.run(&zero).succeeds();
    });
}

const BOMB: &str = "b() { b | b & }; b; exec sleep 0.3";
const HOG: &str = "head -c 60m /dev/zero | tail > /dev/null";
const BURNER: &str = "timeout 0.3 sh -c 'while :; do :; done'; true";
const LIMITS: [&str; 6] = ["--memory", "32m", "--pids-limit", "40", "--cpus", "1"];

#[test]
fn bombs_hogs_and_burners_leave_a_machine_that_responds_and_nothing_else() {
    with_cgroups("stress", |who| {
        // The longest time that a process of the machine, which only wants to look at the clock
        // every 20 ms, had to wait.
        let done = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let watch = std::thread::spawn({
            let done = done.clone();
            move || {
                let (mut last, mut longest) = (Instant::now(), Duration::ZERO);
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    sleep(Duration::from_millis(20));
                    longest = longest.max(last.elapsed());
                    last = Instant::now();
                }
                longest
            }
        });
        let started = |round: usize| {
            let (name, script) = (format!("stress-{round}"), [BOMB, HOG, BURNER][round % 3]);
            let head = ["run", "--level", "cgroups", "--name", &name];
            let args = [&head, &LIMITS[..], &["--", "sh", "-c", script]].concat();
            who.sandbox(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
        };
        (0..100).for_each(|round| assert!(started(round).wait().is_ok()));
        let at_once: Vec<Child> = (0..20).map(started).collect();
        at_once.into_iter().for_each(|mut child| assert!(child.wait().is_ok()));
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        let longest = watch.join().unwrap();
        assert!(longest < Duration::from_secs(1), "somebody had to wait for {longest:?}");
        let find = Command::new("/usr/bin/find")
            .args(["/sys/fs/cgroup", "-type", "d", "-name", "sandbox-stress-*"])
            .output();
        assert_eq!(String::from_utf8_lossy(&find.unwrap().stdout), "");
    });
}
