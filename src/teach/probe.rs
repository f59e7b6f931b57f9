//! Running a command on one side of a comparison, and comparing what came out.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use nix::unistd::Pid;
use regex_lite::Regex;
use serde::{Deserialize, Serialize};

use crate::cgroups;
use crate::cgroups::Limits;
use crate::error::{Error, errno_words};
use crate::layers::Layers;
use crate::machine::host::Host;
use crate::machine::scope;
use crate::plan::Plan;
use crate::run::join;
use crate::run::{Event, Finished, Options, Running, run, start};
use crate::stages::stage::{Command, Spec, StageName};
use crate::teach::attacks::Attack;
use crate::teach::lesson::{Condition, Expect, Side};

/// A probe that is always there, for `compare` and `matrix`.
#[derive(Clone, Copy, Debug)]
pub struct BuiltIn<'a> {
    /// What it asks about, in a word.
    pub name: &'a str,
    /// How.
    pub command: &'a str,
}

/// The built-in probes. Each prints the same twice on a machine where nothing happens.
pub const BUILT_IN: &[BuiltIn] = &[
    BuiltIn { name: "files", command: "ls /" },
    BuiltIn {
        name: "mounts",
        command: "[ $(readlink /proc/self/ns/mnt) = $HOST_MNT ] && echo host || echo own",
    },
    BuiltIn { name: "hostname", command: "hostname" },
    BuiltIn { name: "processes", command: "ps -o pid,args | sed -n 2p | cut -c 1-40" },
    BuiltIn {
        name: "network",
        command: "ip -o link | cut -d: -f2; [ $(readlink /proc/self/ns/net) = $HOST_NET ] || echo own",
    },
    BuiltIn {
        name: "ipc",
        command: "[ $(readlink /proc/self/ns/ipc) = $HOST_IPC ] && echo host || echo own",
    },
    BuiltIn { name: "users", command: "id -u; tr -s ' ' < /proc/self/uid_map" },
    BuiltIn {
        name: "cgroup",
        command: "[ $(readlink /proc/self/ns/cgroup) = $HOST_CGROUP ] && echo host || echo own",
    },
    BuiltIn { name: "uptime", command: "tr -s ' ' < /proc/self/timens_offsets" },
];

/// How long a probe or an action may take.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// What a command printed, and how it ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// What it printed.
    pub stdout: String,
    /// What it complained.
    pub stderr: String,
    /// Its exit status, 128 + n for signal n; 125 when an attack's own call was refused.
    pub status: u8,
}

/// The two sides of one command.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// What came out before the stage was added, unless the command runs on one side only.
    pub without: Option<Outcome>,
    /// And after.
    pub with: Option<Outcome>,
    /// Whether the two differ; `None` with one side only.
    pub changed: Option<bool>,
}

impl Pair {
    /// Compares two outcomes, without what `ignore` matches.
    pub fn new(without: Option<Outcome>, with: Option<Outcome>, ignore: Option<&Regex>) -> Pair {
        let changed = match (&without, &with) {
            (Some(left), Some(right)) => Some(essence(left, ignore) != essence(right, ignore)),
            _ => None,
        };
        Pair { without, with, changed }
    }

    /// Whether a condition about this command holds.
    pub fn fulfils(&self, condition: &Condition) -> bool {
        let side = |expect: &Option<Expect>, outcome: &Option<Outcome>| match (expect, outcome) {
            (None, _) => true,
            (Some(expect), Some(outcome)) => expect.holds(outcome),
            (Some(_), None) => false,
        };
        condition.changed.is_none_or(|changed| self.changed == Some(changed))
            && side(&condition.without, &self.without)
            && side(&condition.with, &self.with)
    }
}

fn essence(outcome: &Outcome, ignore: Option<&Regex>) -> (String, u8) {
    let text = outcome.stdout.trim_end();
    let text = ignore.map_or(text.to_owned(), |ignore| ignore.replace_all(text, "").into_owned());
    (text, outcome.status)
}

impl Expect {
    fn holds(&self, outcome: &Outcome) -> bool {
        let all = format!("{}{}", outcome.stdout, outcome.stderr);
        let matches =
            |pattern: &String| Regex::new(pattern).is_ok_and(|regex| regex.is_match(&all));
        self.is.as_ref().is_none_or(|text| outcome.stdout.trim_end() == text.trim_end())
            && self.contains.as_ref().is_none_or(|text| all.contains(text))
            && self.lacks.as_ref().is_none_or(|text| !all.contains(text))
            && self.matches.as_ref().is_none_or(matches)
            && self.status.is_none_or(|status| outcome.status == status)
    }
}

/// What all tasks of a lesson share.
#[derive(Clone, Debug)]
pub struct Lab {
    /// The machine's facts.
    pub host: Host,
    /// The rootfs.
    pub rootfs: PathBuf,
    /// Names what its sandboxes put on the host; there is one at a time.
    pub id: String,
    /// Whether to print each system call as it is made.
    pub trace: bool,
}

impl Lab {
    /// A lab on this machine.
    pub fn new(rootfs: PathBuf, trace: bool) -> Lab {
        Lab { host: Host::gather(), rootfs, id: crate::run::state::new_id(), trace }
    }

    /// Makes ready for what these stages need of the machine. For `cgroups` one that may be divided,
    /// if it can be borrowed: then this command starts again in there. For `overlay` a directory for
    /// layers, and by mounting one it finds out whether they have to be in memory.
    ///
    /// # Errors
    /// What is not the machine's fault.
    pub fn make_ready(mut self, stages: &[StageName]) -> Result<Lab, Error> {
        let cgroups = &self.host.cgroups;
        let lacks = cgroups::choose(&self.host, &Limits::default(), &self.id).is_err();
        if stages.contains(&"cgroups") && lacks && cgroups.user_manager {
            scope::start_again().map_or(Ok(()), Err)?;
        }
        if !stages.contains(&"overlay") {
            return Ok(self);
        }
        let making = format!("make `{}`", self.host.layers_base.display());
        std::fs::create_dir_all(&self.host.layers_base).map_err(Error::io(making))?;
        let mut side = Side { stages: vec!["mnt", "overlay", "rootfs"], ..Side::default() };
        crate::stages::join_user(&mut side.stages, &self.host);
        match Task::on(&side, &self, None).run() {
            Err(Error::Step { by: "overlay", .. }) => self.host.layers_in_memory = true,
            // What else the machine refuses is told where it is wanted.
            Ok(_) | Err(Error::Step { .. } | Error::OverlayOfNobody) => {}
            Err(error) => return Err(error),
        }
        Ok(self)
    }
}

/// A command for a shell, and where it runs.
pub struct Task<'a> {
    /// What it shares with the others.
    pub lab: &'a Lab,
    /// The stages around it, and what they are told.
    pub side: &'a Side,
    /// What the process tries first.
    pub attack: Option<&'static Attack>,
    /// The command, for the shell of the rootfs; nothing to see only whether the stages work.
    pub command: Option<&'a str>,
    /// Variables for it.
    pub env: Vec<(OsString, OsString)>,
}

impl<'a> Task<'a> {
    /// A command on one side of a part.
    pub fn on(side: &'a Side, lab: &'a Lab, command: Option<&'a str>) -> Task<'a> {
        Task { lab, side, attack: None, command, env: Vec::new() }
    }

    /// What is asked of the stages.
    pub fn spec(&self) -> Spec {
        let mut settings = self.side.settings.clone();
        settings.limits.find_disks(&self.lab.rootfs);
        for volume in &mut settings.volumes {
            // What is wrong with it the kernel tells.
            let _ = volume.find(std::slice::from_ref(&self.lab.rootfs));
        }
        Spec {
            stages: self.side.stages.clone(),
            host: self.lab.host.clone(),
            id: self.lab.id.clone(),
            rootfs: self.lab.rootfs.clone(),
            layers: Layers::new(&self.lab.host, &self.lab.id, settings.storage),
            settings,
            command: self.command.map(|command| self.shell(command)),
            attack: self.attack,
            forget: self.side.forget.clone(),
        }
    }

    fn shell(&self, command: &str) -> Command {
        let mut env = vec![
            ("PATH".into(), self.path()),
            ("ROOTFS".into(), self.lab.rootfs.as_os_str().to_owned()),
            ("COLUMNS".into(), "80".into()),
        ];
        env.extend(host_namespaces());
        env.extend(self.env.iter().cloned());
        let argv = ["sh", "-c", command].map(OsString::from).into();
        Command { argv, env, fresh_env: true, workdir: None }
    }

    /// The same programs on both sides: without another root, the rootfs's come first.
    fn path(&self) -> OsString {
        let inside = crate::plan::command::PATH;
        let stages = &self.side.stages;
        let changes_root = stages.contains(&"chroot") || stages.contains(&"pivot-root");
        // Root that becomes an ordinary user may not be able to walk to its own rootfs.
        let leaves_root = self.lab.host.machine_root && stages.contains(&"user");
        if changes_root || leaves_root {
            return inside.into();
        }
        let dirs = ["bin", "sbin", "usr/bin", "usr/sbin"].map(|dir| self.lab.rootfs.join(dir));
        let all = dirs.into_iter().chain(std::env::split_paths(inside));
        std::env::join_paths(all).unwrap_or_else(|_| inside.into())
    }

    /// Runs it and catches what it prints.
    ///
    /// # Errors
    /// A stage's step that the kernel refused. A refused step of the attack is an outcome.
    pub fn run(&self) -> Result<Outcome, Error> {
        let plan = Plan::new(&self.spec())?;
        let mut watch = |event: Event| crate::show::event(&event);
        let mut nothing = || 0;
        let inside: Option<&mut dyn FnMut() -> u8> =
            if self.command.is_none() { Some(&mut nothing) } else { None };
        let mut options = Options::captured(TIMEOUT, inside);
        if self.lab.trace {
            options.watch = Some(&mut watch);
        }
        outcome(run(&plan, options))
    }

    /// Starts it, and leaves it in the background.
    ///
    /// # Errors
    /// A stage's step that the kernel refused.
    pub fn start(&self) -> Result<Running, Error> {
        let options = Options { timeout: None, ..Options::captured(TIMEOUT, None) };
        start(&Plan::new(&self.spec())?, options)
    }

    /// Runs it inside of a sandbox that runs already.
    ///
    /// # Errors
    /// A namespace that the kernel would not let us join.
    pub fn run_joined(&self, pid: Pid) -> Result<Outcome, Error> {
        let command = self.shell(self.command.unwrap_or("true"));
        let plan = join::plan(pid.as_raw(), &command, &self.lab.host)?;
        outcome(run(&plan, Options::captured(TIMEOUT, None)))
    }
}

/// The runner's own namespaces, as `HOST_UTS=uts:[4026531838]`: to tell whether a process is in
/// them, no number has to be known.
fn host_namespaces() -> impl Iterator<Item = (OsString, OsString)> {
    join::NAMESPACES.iter().filter_map(|(name, _)| {
        let link = std::fs::read_link(format!("/proc/self/ns/{name}")).ok()?;
        Some((format!("HOST_{}", name.to_uppercase()).into(), link.into_os_string()))
    })
}

fn outcome(finished: Result<Finished, Error>) -> Result<Outcome, Error> {
    match finished {
        Ok(finished) => {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let mut stderr = text(&finished.stderr);
            if finished.timed_out {
                stderr.push_str(&format!("killed after {} s\n", TIMEOUT.as_secs()));
            }
            Ok(Outcome { stdout: text(&finished.stdout), stderr, status: finished.status })
        }
        Err(Error::Step { by: "attack", call, errno, .. }) => Ok(Outcome {
            stdout: String::new(),
            stderr: format!("{call} = -1 {}\n", errno_words(errno)),
            status: 125,
        }),
        Err(error) => Err(error),
    }
}
