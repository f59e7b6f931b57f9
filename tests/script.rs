//! `sandbox plan --as sh` is a script that does the same by hand, with util-linux and iproute2.

#![allow(clippy::unwrap_used)] // a test may panic

mod common;

use std::fs;

use common::sets::sets;
use common::{Ran, Who, everybody};

/// Every probe in one command: what each namespace and the root look like from inside.
const PROBES: &str = "hostname; id -u; id -g; ls /; pwd; ip -o link | cut -d: -f2; \
    tr -s ' ' < /proc/self/timens_offsets; ls /dev | sort; \
    for file in pids.max memory.max pids/pids.max memory/memory.limit_in_bytes; \
    do [ -e /sys/fs/cgroup/$file ] && cat /sys/fs/cgroup/$file; done; ulimit -v; \
    for ns in user cgroup mnt uts ipc net pid; do \
    [ \"$(readlink /proc/self/ns/$ns)\" = \"$(eval echo \\$HOST_$ns)\" ] && echo $ns; done; true";

#[test]
fn the_script_of_a_plan_shows_the_same_as_the_run() {
    everybody("script", |who| {
        who.run(&["rootfs", "fetch"]).succeeds();
        for set in sets(who) {
            let command: Vec<String> = host_links(who);
            let variables: Vec<&str> = command.iter().flat_map(|v| ["--env", v.as_str()]).collect();
            let tail = ["--", "/bin/sh", "-c", PROBES];
            let args = set.args();
            let of = |verb: &[&'static str]| [verb, &args[..], &variables, &tail].concat();
            let script = who.run(&of(&["plan", "--as", "sh"])).succeeds();
            let file = who.home().join("by-hand.sh");
            fs::write(&file, &script).unwrap();
            let mut sh = who.command("/bin/sh");
            for variable in &command {
                let (name, value) = variable.split_once('=').unwrap();
                sh.env(name, value);
            }
            let by_hand = Ran::of(sh.arg("-eu").arg(&file), set.name.clone());
            let run = who.run(&of(&["run"]));
            let talk = |text: &str| {
                text.lines()
                    .filter(|line| !line.starts_with("note:") && !line.starts_with("      "))
                    .collect::<Vec<_>>()
                    .join("\n")
            };
            assert_eq!(by_hand.stdout, run.stdout, "{}\n{script}", by_hand.what);
            assert_eq!(talk(&by_hand.stderr), talk(&run.stderr), "{}\n{script}", by_hand.what);
            assert!(run.succeeds().lines().count() > 8, "the probes showed nothing");
        }
    });
}

/// Who runs the script and who runs `sandbox` are in the same namespaces.
fn host_links(who: &Who) -> Vec<String> {
    let names = ["user", "cgroup", "mnt", "uts", "ipc", "net", "pid"];
    let link = |name: &str| {
        let mut readlink = who.command("/usr/bin/readlink");
        let ran = Ran::of(readlink.arg(format!("/proc/self/ns/{name}")), "readlink".to_owned());
        format!("HOST_{name}={}", ran.succeeds().trim())
    };
    names.iter().map(|name| link(name)).collect()
}

#[test]
fn a_script_takes_its_directories_away_again() {
    everybody("script cleans up", |who| {
        who.run(&["rootfs", "fetch"]).succeeds();
        let args = ["plan", "--level", "namespaces", "--as", "sh", "--", "sh", "-c", "exit 3"];
        let script = who.run(&args).succeeds();
        let made: Vec<&str> =
            script.lines().filter_map(|line| line.strip_prefix("mkdir -m 755 ")).collect();
        let dir = made.iter().find(|dir| dir.ends_with("/root")).unwrap();
        let file = who.home().join("by-hand.sh");
        fs::write(&file, &script).unwrap();
        let ran = Ran::of(who.command("/bin/sh").arg("-eu").arg(&file), "by hand".to_owned());
        ran.ends_with(3);
        assert!(!std::path::Path::new(dir).parent().unwrap().exists(), "{dir} is left");
    });
}
