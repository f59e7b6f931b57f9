//! What is printed is what runs: each plan against what strace(1) saw.

#![allow(clippy::unwrap_used)] // a test may panic

mod common;

use std::collections::HashMap;

use common::sets::sets;
use common::{Ran, Who, everybody, has};

/// The calls that plans are made of, as the kernel knows them.
const CALLS: &str = "fork,vfork,clone,clone3,prctl,keyctl,setgroups,setresgid,setresuid,unshare,\
    sethostname,prlimit64,setpriority,mount,mount_setattr,umount2,pivot_root,chroot,chdir,close_range,\
    mkdir,mkdirat,symlinkat,execve,sendto,openat,openat2,write,rename,renameat,renameat2,flock,truncate,chown,fchownat";

#[test]
fn the_plan_is_what_strace_sees_in_the_same_order() {
    if !has("strace", "strace") {
        return;
    }
    everybody("strace", |who| {
        who.run(&["rootfs", "fetch"]).succeeds();
        for set in sets(who) {
            let name = format!("strace-{}", who.name);
            let command = ["--", "/bin/true"];
            let plan = [&["plan", "--as", "json"], &set.args()[..], &command].concat();
            let plan = planned(&who.run(&plan).succeeds());
            let run = [&["run", "--name", &name], &set.args()[..], &command].concat();
            let seen = traced(who, &run, &name);
            let mut from = 0;
            for call in plan.iter().filter(|call| !is_many(call)) {
                let found = seen[from..].iter().position(|line| matches(call, line));
                let Some(found) = found else {
                    let rest = seen[from..].join("\n");
                    panic!("{}: {call}\nis not in:\n{rest}", set.name);
                };
                from += found + 1;
            }
            let of_ours = |line: &&String| {
                ["unshare(", "pivot_root(", "chroot(", "umount2(", "mount(", "mount_setattr("]
                    .iter()
                    .any(|call| line.starts_with(call))
            };
            let isolating = |lines: &[String]| lines.iter().filter(of_ours).count();
            assert_eq!(isolating(&seen), isolating(&plan), "{}: a call too many", set.name);
        }
    });
}

/// Whether a step stands for more calls than its name says.
fn is_many(call: &str) -> bool {
    call.starts_with("copy(")
}

/// The calls of a plan; the name of the sandbox is `ID`.
fn planned(json: &str) -> Vec<String> {
    let plan: serde_json::Value = serde_json::from_str(json).unwrap();
    let steps = plan["steps"].as_array().unwrap();
    let calls: Vec<String> =
        steps.iter().map(|step| step["call"].as_str().unwrap().to_owned()).collect();
    let pattern = regex_lite::Regex::new("(?:sandbox[-/]|layers/)([0-9a-f]{8})").unwrap();
    let id = calls.iter().find_map(|call| pattern.captures(call)?.get(1));
    let id = id.map_or("no id".to_owned(), |id| id.as_str().to_owned());
    calls.iter().map(|call| call.replace(&id, "ID")).collect()
}

/// What strace saw, from the first call that can be of the plan.
fn traced(who: &Who, args: &[&str], name: &str) -> Vec<String> {
    let file = who.home().join("trace");
    let sandbox = who.sandbox(args);
    let mut strace = who.command("/usr/bin/strace");
    strace.args(["-f", "-y", "-s", "400", "-e", &format!("trace={CALLS}"), "-o"]).arg(&file);
    strace.arg(sandbox.get_program()).args(args);
    Ran::of(&mut strace, format!("strace {}", args.join(" "))).succeeds();
    let trace = std::fs::read_to_string(&file).unwrap();
    let mut opened = HashMap::new();
    let call = |line: &str| {
        let (process, line) = line.split_once(' ').unwrap_or_default();
        let line = line.trim().replace(name, "ID");
        let call = by_paths(&line, opened.entry(process.to_owned()).or_default());
        if line.starts_with("<... ") { String::new() } else { call }
    };
    trace.lines().map(call).filter(|line| !line.is_empty()).collect()
}

/// A line in which what was opened first stands with its path. Below a root the kernel is never handed
/// a path to walk: openat2(2) finds what is there, and the call uses the descriptor.
fn by_paths(line: &str, opened: &mut HashMap<String, String>) -> String {
    let regex = |pattern: &str| regex_lite::Regex::new(pattern).unwrap();
    let mut line = line.to_owned();
    let mounts = line.starts_with("mount");
    for (number, path) in opened.iter().filter(|_| mounts) {
        line = line.replace(&format!("\"/proc/self/fd/{number}\""), &format!("\"{path}\""));
    }
    if let Some(result) = regex(r"\) = (\d+)<(.*)>$").captures(&line) {
        opened.insert(result[1].to_owned(), result[2].to_owned());
    }
    // A directory, and a name in it.
    let at = regex(r#"(?:AT_FDCWD|\d+)<([^>]*)>, "([^"]*)""#);
    if let Some(found) = at.captures(&line).filter(|_| !line.starts_with("write(")) {
        let whole = std::path::Path::new(&found[1]).join(&found[2]);
        let whole = whole.to_str().unwrap().trim_end_matches('/');
        let range = found.get(0).unwrap().range();
        line = format!("{}AT_FDCWD, \"{whole}\"{}", &line[..range.start], &line[range.end..]);
    }
    line.replacen("mkdirat(AT_FDCWD, ", "mkdir(", 1).replace("AT_EMPTY_PATH|", "")
}

/// Whether a line of strace is this call of a plan. Reading and writing a file takes more than one
/// call, and the C library has its own ways to fork and to link.
fn matches(call: &str, line: &str) -> bool {
    let (name, arguments) = call.split_once('(').unwrap();
    let first = || arguments.split(',').next().unwrap().trim_end_matches(')').to_owned();
    match name {
        "fork" => ["clone(", "clone3(", "fork("].iter().any(|name| line.starts_with(name)),
        "write" => line.starts_with("openat") && line.contains(&first()) && line.contains("O_W"),
        "open" => line.starts_with("openat(") && line.contains(&first()),
        "symlink" => {
            let names: Vec<&str> = arguments.split('"').skip(1).step_by(2).collect();
            line.starts_with("symlink") && names.iter().all(|name| line.contains(name))
        }
        "rename" => {
            let names: Vec<&str> = arguments.split('"').skip(1).step_by(2).collect();
            line.starts_with("rename") && names.iter().all(|name| line.contains(name))
        }
        "setrlimit" => line.starts_with("prlimit64(0,") && line.contains(&first()),
        "sendto" => line.starts_with("sendto(") && line.contains("AF_NETLINK"),
        "execve" => line.starts_with("execve(") && line.contains(&first()),
        "close_range" => line.starts_with(&format!("close_range({},", first())),
        "prctl" => line.starts_with("prctl(") && line.contains(&first()),
        "mount" => {
            let names: Vec<&str> = arguments.split('"').skip(1).step_by(2).collect();
            let flags = arguments.split(", ").nth(3).unwrap_or_default();
            let same = flags.split('|').filter(|flag| *flag != "0").all(|flag| line.contains(flag));
            line.starts_with("mount(") && same && names.iter().all(|name| line.contains(name))
        }
        "mount_setattr" => {
            let told = arguments.split(", ").skip(1).take(2).chain(["attr_set="]);
            let set = arguments.split(['=', '}']).nth(1).unwrap();
            line.starts_with("mount_setattr(") && told.chain([set]).all(|told| line.contains(told))
        }
        _ => line.starts_with(call.trim_end_matches(')')),
    }
}
