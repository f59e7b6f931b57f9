//! Looking at a process as the kernel sees it: any process, a container's too.

use std::fs;
use std::io;

use serde::Serialize;

use crate::error::Error;
use crate::machine::process;
use crate::run::join::{NAMESPACES, differing};

/// How much of a command line is shown, in bytes.
const LONGEST: usize = 128 << 10;

/// What there is to know about a process.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Inspection {
    /// Its number, as we count.
    pub pid: i32,
    /// Its numbers in its own PID namespace and those around it, ours first.
    pub pids: Vec<i32>,
    /// Its command line; of a very long one the beginning.
    pub command: String,
    /// Its user, as we count.
    pub uid: u32,
    /// The lines of its uid_map: inside, outside, how many.
    pub uid_map: Vec<String>,
    /// Its namespaces.
    pub namespaces: Vec<Namespace>,
    /// The directory that is its root; unknown where it may not be read.
    pub root: Option<String>,
    /// How many mounts it sees.
    pub mounts: Option<usize>,
    /// Its place in each cgroup hierarchy, in the form of cgroups(7).
    pub cgroups: Vec<String>,
    /// Its effective capabilities, by name.
    pub capabilities: Vec<String>,
    /// Whether no_new_privs is set.
    pub no_new_privs: bool,
    /// Whether a seccomp filter is on.
    pub seccomp: bool,
}

/// A namespace of a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Namespace {
    /// Its kind, as in /proc/PID/ns.
    pub kind: &'static str,
    /// Its number.
    pub id: String,
    /// Whether we are in the same.
    pub shared: bool,
}

/// Looks at a process.
///
/// # Errors
/// When there is no such process, or it may not be looked at.
pub fn inspect(pid: i32) -> Result<Inspection, Error> {
    let read = |file: &str| {
        let doing = format!("look at process {pid}");
        let bytes = fs::read(format!("/proc/{pid}/{file}")).map_err(Error::io(doing))?;
        Ok::<_, Error>(String::from_utf8_lossy(&bytes).into_owned())
    };
    let status = read("status")?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.map_or("", |line| line.trim_start_matches(':').trim())
    };
    let differing = differing(pid)?;
    let namespace = |kind: &'static str| {
        let link = fs::read_link(format!("/proc/{pid}/ns/{kind}")).ok()?;
        let id = link.to_string_lossy().split(['[', ']']).nth(1)?.to_owned();
        Some(Namespace { kind, id, shared: !differing.contains(&kind) })
    };
    let lines = |text: String| text.lines().map(words).collect::<Vec<_>>();
    let root = fs::read_link(format!("/proc/{pid}/root")).ok();
    let own_number = |word: &str| word.parse().ok();
    Ok(Inspection {
        pid,
        pids: field("NSpid").split_whitespace().filter_map(own_number).collect(),
        command: command(pid).map_err(Error::io(format!("look at process {pid}")))?,
        uid: field("Uid").split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0),
        uid_map: lines(read("uid_map")?),
        namespaces: NAMESPACES.iter().filter_map(|(kind, _)| namespace(kind)).collect(),
        root: root.map(|root| root.to_string_lossy().into_owned()),
        mounts: read("mountinfo").ok().map(|text| text.lines().count()),
        cgroups: lines(read("cgroup")?),
        capabilities: capabilities(field("CapEff")),
        no_new_privs: field("NoNewPrivs") == "1",
        seccomp: field("Seccomp") == "2",
    })
}

/// The command line, or its beginning.
fn command(pid: i32) -> io::Result<String> {
    let (bytes, is_all) = process::read(pid, "cmdline", LONGEST)?;
    let line = words(&String::from_utf8_lossy(&bytes).replace('\0', " "));
    Ok(if is_all { line } else { format!("{line} … (longer than {} KiB)", LONGEST / 1024) })
}

fn words(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The names behind a mask of capabilities as /proc/PID/status has it.
fn capabilities(mask: &str) -> Vec<String> {
    let mask = u64::from_str_radix(mask, 16).unwrap_or(0);
    let set = caps::all().into_iter().filter(|cap| mask & cap.bitmask() != 0);
    let mut names: Vec<String> = set.map(|cap| cap.to_string()).collect();
    names.sort();
    names
}
