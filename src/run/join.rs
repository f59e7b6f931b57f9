//! Joining a sandbox that runs: what `exec` into a container is.
//!
//! There is no container to enter. There is a process, and setns(2) takes the caller into the
//! namespaces of that process, one at a time. Which ones differ from ours is read from
//! /proc/PID/ns.

use std::fs;
use std::path::PathBuf;

use nix::sched::CloneFlags;

use crate::error::Error;
use crate::plan::Plan;
use crate::plan::command::Command;
use crate::plan::step::Because;
use crate::stages;
use crate::syscall::{
    CLONE_NEWTIME, Chroot, DieWithParent, Fchdir, Fork, OpenAs, PidfdOpen, Setns, Setresgid,
    Setresuid,
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

const PROCESS: i32 = 9;
const ROOT: i32 = 8;

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

/// The plan that runs a command in the namespaces and the root of process `pid`.
///
/// # Errors
/// When there is no such process, or it may not be looked at.
pub fn plan(pid: i32, command: &Command) -> Result<Plan, Error> {
    let differing = differing(pid)?;
    let has = |name| differing.contains(&name);
    let root = PathBuf::from(format!("/proc/{pid}/root"));
    let mut steps = vec![
        Fork.because("what follows happens to a child; the parent waits"),
        DieWithParent.because("if the parent is killed, so are we"),
        PidfdOpen(pid, PROCESS).because("hold on to the process, not to its number"),
        OpenAs(root.clone(), ROOT).because("and to its root directory"),
    ];
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
        ]);
    }
    let mut plan = Plan::default();
    plan.add("join", steps);
    plan.add("command", command.steps(Some(&root)));
    Ok(plan)
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
