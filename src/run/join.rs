//! Joining a sandbox that runs: what `exec` into a container is.
//!
//! There is no container to enter. There is a process, and setns(2) takes the caller into the
//! namespaces of that process, one at a time. Which ones differ from ours is read from
//! /proc/PID/ns. Its cgroups come first, so that all that follows is counted, limited and paused with
//! the rest; and what the caller brings along, open files and groups, stays outside.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use nix::sched::CloneFlags;
use nix::sys::resource::{Resource, getrlimit};

use crate::cgroups;
use crate::error::Error;
use crate::machine::host::Host;
use crate::machine::process;
use crate::plan::Plan;
use crate::plan::command::Command;
use crate::plan::step::{Because, Step};
use crate::stages::{self, FIRST_FOREIGN_DESCRIPTOR};
use crate::syscall::{
    CLONE_NEWTIME, Chroot, ClearGroups, CloseFrom, DieWithParent, Fchdir, Fork, Hold, PidfdOpen,
    SetDumpable, Setns, Setresgid, Setresuid, Setrlimit, Write,
};

/// The namespaces by their names in /proc/PID/ns, in the order in which they are joined: `user`
/// first, for the privilege to join the others, and `mnt` late, for our files are gone after it.
pub const NAMESPACES: [(&str, CloneFlags); 8] = [
    ("user", CloneFlags::CLONE_NEWUSER),
    ("cgroup", CloneFlags::CLONE_NEWCGROUP),
    ("uts", CloneFlags::CLONE_NEWUTS),
    ("ipc", CloneFlags::CLONE_NEWIPC),
    ("net", CloneFlags::CLONE_NEWNET),
    ("time", CLONE_NEWTIME),
    ("pid", CloneFlags::CLONE_NEWPID),
    ("mnt", CloneFlags::CLONE_NEWNS),
];

/// What a command may be started with, in bytes: a quarter of the usual stack, see execve(2).
const LARGEST: usize = 2 << 20;

const PROCESS: i32 = 9;
const ROOT: i32 = 8;
const WORKDIR: i32 = 7;

/// The names of the namespaces that a process has and we do not.
///
/// # Errors
/// When there is no such process, or it may not be looked at.
pub fn differing(pid: i32) -> Result<Vec<&'static str>, Error> {
    let link = |whose: &str, name: &str| fs::read_link(format!("/proc/{whose}/ns/{name}"));
    let mut names = Vec::new();
    for (name, _) in NAMESPACES {
        // A kernel that lacks a kind of namespace lacks the link.
        let Ok(ours) = link("self", name) else { continue };
        let doing = format!("look at the namespaces of process {pid}");
        let theirs = link(&pid.to_string(), name).map_err(Error::io(doing))?;
        if ours != theirs {
            names.push(name);
        }
    }
    Ok(names)
}

/// The plan that runs a command beside process `pid`: in its cgroups, namespaces and root, and where
/// the command is not told otherwise in its directory, with its environment.
///
/// # Errors
/// When there is no such process, it may not be looked at, or it claims a larger environment than a
/// command can have.
pub fn plan(pid: i32, command: &Command, host: &Host) -> Result<Plan, Error> {
    let differing = differing(pid)?;
    let has = |name| differing.contains(&name);
    let root = PathBuf::from(format!("/proc/{pid}/root"));
    let mut steps = vec![
        Fork.because("what follows happens to a child; the parent waits"),
        DieWithParent.because("if the parent is killed, so are we"),
        SetDumpable(false).because("nobody in there may look into us before we are the command"),
    ];
    for dir in cgroups::of(pid) {
        let join = Write(dir.join("cgroup.procs").into(), "0".into());
        steps.push(join.because("join its cgroup: its limits are ours, and so is its pause"));
    }
    steps.extend([
        CloseFrom(FIRST_FOREIGN_DESCRIPTOR).because("what the caller has open stays outside"),
        PidfdOpen(pid, PROCESS).because("hold on to the process, not to its number"),
        Hold(root.clone(), ROOT).because("and to its root directory"),
    ]);
    if command.workdir.is_none() {
        let workdir = PathBuf::from(format!("/proc/{pid}/cwd"));
        steps.push(Hold(workdir, WORKDIR).because("and to the directory in which it stands"));
    }
    if has("pid") {
        steps.extend(stages::leave_keys());
    }
    if has("user") && host.machine_root() {
        steps.push(ClearGroups.because("leave root's groups: no map of ids takes them away"));
    }
    if !has("user") {
        steps.extend(stages::give_up());
    }
    for (name, flag) in NAMESPACES.iter().filter(|(name, _)| has(*name)) {
        steps.push(Setns(PROCESS, *flag).because(why(name)));
    }
    steps.extend([
        Fchdir(ROOT).because("stand in its root directory"),
        Chroot(PathBuf::from(".")).because("and make it ours"),
    ]);
    if command.workdir.is_none() {
        steps.push(Fchdir(WORKDIR).because("stand where it stands"));
    }
    if has("user") {
        steps.push(DieWithParent.because("a change of user forgets it"));
    }
    if has("pid") || has("time") {
        steps.extend([
            Fork.because("only a child is in the PID and time namespace"),
            DieWithParent.because("a child does not inherit it"),
        ]);
    }
    if has("user") {
        steps.extend([
            Setresgid(0).because("be the group root of its user namespace"),
            Setresuid(0).because("and its user root"),
            DieWithParent.because("a change of user forgets it"),
        ]);
    }
    steps.extend(limits(pid));
    let env = [environment(pid)?, command.env.clone()].concat();
    let command = Command { env, ..command.clone() };
    let mut plan = Plan::default();
    plan.add("join", steps);
    plan.add("command", command.steps(Some(&root)));
    Ok(plan)
}

/// What is less for a process than for us: where there is no cgroup, limits are a process's own.
fn limits(pid: i32) -> Vec<Step> {
    let text = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap_or_default();
    let limits =
        [("Max address space", Resource::RLIMIT_AS), ("Max processes", Resource::RLIMIT_NPROC)];
    let less = |(name, resource): (&str, Resource)| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        let theirs: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
        let (_, ours) = getrlimit(resource).ok()?;
        let why = "it may have no more than this, and nor may we";
        (theirs < ours).then(|| Setrlimit(resource, theirs).because(why))
    };
    limits.into_iter().filter_map(less).collect()
}

/// The variables that a process was started with; the terminal is the caller's own.
fn environment(pid: i32) -> Result<Vec<(OsString, OsString)>, Error> {
    let (text, is_all) = process::read(pid, "environ", LARGEST).unwrap_or((Vec::new(), true));
    if !is_all {
        return Err(Error::not_here(
            format!("process {pid} has an environment of more than {} KiB", LARGEST / 1024),
            "no command can be started with that; name another process of the sandbox",
        ));
    }
    let pair = |bytes: &[u8]| {
        let at = bytes.iter().position(|byte| *byte == b'=')?;
        let word = |bytes| OsStr::from_bytes(bytes).to_owned();
        Some((word(&bytes[..at]), word(&bytes[at + 1..])))
    };
    let pairs = text.split(|byte| *byte == 0).filter_map(pair);
    Ok(pairs.filter(|(name, _)| name != "TERM").collect())
}

fn why(namespace: &str) -> &'static str {
    match namespace {
        "user" => "its user namespace first: it owns the others",
        "cgroup" => "its view of the cgroup tree",
        "uts" => "its hostname",
        "ipc" => "its shared memory and queues",
        "net" => "its network",
        "time" => "its clocks, for our children",
        "pid" => "its process numbers, for our children",
        _ => "its mount table: from here on our own files are gone",
    }
}
