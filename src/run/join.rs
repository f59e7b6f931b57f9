//! Joining a sandbox that runs: what `exec` into a container is.
//!
//! There is no container to enter. There is a process, and setns(2) takes the caller into the
//! namespaces of that process, one at a time. Which ones differ from ours is read from
//! /proc/PID/ns.

use std::fs;
use std::path::{Path, PathBuf};

use nix::sched::CloneFlags;

use crate::error::Error;
use crate::machine::host::Host;
use crate::plan::command::resolve;
use crate::plan::{Plan, Planned, guard};
use crate::stages::stage::{Command, Step};
use crate::syscall::{CLONE_NEWTIME, Syscall};

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
pub fn plan(pid: i32, command: &Command, host: &Host) -> Result<Plan, Error> {
    let differing = differing(pid)?;
    let has = |name| differing.contains(&name);
    let root = PathBuf::from(format!("/proc/{pid}/root"));
    let mut steps = vec![
        Syscall::Fork.because("what follows happens to a child; the parent waits"),
        Syscall::DieWithParent.because("if the parent is killed, so are we"),
        Syscall::PidfdOpen(pid, PROCESS).because("hold on to the process, not to its number"),
        Syscall::OpenAs(root.clone(), ROOT).because("and to its root directory"),
    ];
    if !has("user") {
        steps.extend(guard(host));
    }
    for (name, flag) in NAMESPACES.iter().filter(|(name, _)| has(*name)) {
        steps.push(Syscall::Setns(PROCESS, *flag).because(why(name)));
    }
    steps.extend([
        Syscall::Fchdir(ROOT).because("stand in its root directory"),
        Syscall::Chroot(PathBuf::from(".")).because("and make it ours"),
    ]);
    if has("pid") || has("time") {
        steps.extend([
            Syscall::Fork.because("only a child is in the PID and time namespace"),
            Syscall::DieWithParent.because("a child does not inherit it"),
        ]);
    }
    if has("user") {
        steps.extend([
            Syscall::Setresgid(0).because("be the group root of its user namespace"),
            Syscall::Setresuid(0).because("and its user root"),
        ]);
    }
    if let Some(dir) = &command.workdir {
        steps.push(Syscall::Chdir(dir.clone()).because("start where it was asked for"));
    }
    let (file, env) = resolve(Some(&root), command);
    let execve = Syscall::Execve { file, argv: command.argv.clone(), env };
    steps.push(execve.because("become the command"));
    let planned = |step: Step| Planned { by: "join", step };
    let state_dir = Path::new("/nonexistent").to_owned();
    Ok(Plan { steps: steps.into_iter().map(planned).collect(), state_dir })
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
