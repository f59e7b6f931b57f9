//! Running a command on one side of a comparison.

use std::ffi::OsString;

use nix::unistd::Pid;

use super::attacks::{ATTACK, Attack};
use super::lab::{Lab, TIMEOUT};
use super::lesson::Side;
use super::pair::Outcome;
use crate::error::{Error, errno_words};
use crate::plan::command::{Command, PATH};
use crate::run::join::{self, NAMESPACES};
use crate::run::ready::Asked;
use crate::run::{Event, Finished, Options, Running, run, start};
use crate::stages::names::USER;

/// A probe that is always there, for `compare` and `matrix`.
#[derive(Clone, Copy, Debug)]
pub struct BuiltIn<'a> {
    /// What it asks about, in a word.
    pub name: &'a str,
    /// How.
    pub command: &'a str,
    /// Whether it prints a list of names.
    pub list: bool,
}

/// The built-in probes. Each prints the same twice on a machine where nothing happens.
pub const BUILT_IN: &[BuiltIn] = &[
    BuiltIn { name: "files", command: "ls /", list: true },
    BuiltIn {
        name: "mounts",
        command: "[ $(readlink /proc/self/ns/mnt) = $HOST_MNT ] && echo host || echo own",
        list: false,
    },
    BuiltIn { name: "hostname", command: "hostname", list: false },
    BuiltIn { name: "processes", command: "ps -o pid,args | sed -n 2p | cut -c 1-40", list: false },
    BuiltIn {
        name: "network",
        command: "ip -o link | cut -d: -f2; [ $(readlink /proc/self/ns/net) = $HOST_NET ] || echo own",
        list: false,
    },
    BuiltIn {
        name: "ipc",
        command: "[ $(readlink /proc/self/ns/ipc) = $HOST_IPC ] && echo host || echo own",
        list: false,
    },
    BuiltIn { name: "users", command: "id -u; tr -s ' ' < /proc/self/uid_map", list: false },
    BuiltIn {
        name: "cgroup",
        command: "[ $(readlink /proc/self/ns/cgroup) = $HOST_CGROUP ] && echo host || echo own",
        list: false,
    },
    BuiltIn { name: "uptime", command: "tr -s ' ' < /proc/self/timens_offsets", list: false },
];

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
    fn asked(&self) -> Asked {
        Asked {
            command: self.command.map(|command| self.shell(command)),
            extra: self.attack.map(Attack::steps),
            ..self.lab.asked(self.side)
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
        // Root that becomes an ordinary user may not be able to walk to its own rootfs.
        let leaves_root = self.lab.host.machine_root() && self.side.has(USER);
        if self.side.changes_root() || leaves_root {
            return PATH.into();
        }
        let dirs = ["bin", "sbin", "usr/bin", "usr/sbin"].map(|dir| self.lab.rootfs.join(dir));
        let all = dirs.into_iter().chain(std::env::split_paths(PATH));
        std::env::join_paths(all).unwrap_or_else(|_| PATH.into())
    }

    /// Runs it and catches what it prints.
    ///
    /// # Errors
    /// A stage's step that the kernel refused. A refused step of the attack is an outcome.
    pub fn run(&self) -> Result<Outcome, Error> {
        outcome(self.lab.perform(&self.asked(), |ready| {
            let mut nothing = || 0;
            let mut options = Options::captured(&ready.spec, TIMEOUT);
            if self.command.is_none() {
                options = options.inside(&mut nothing);
            }
            let mut watch;
            if let Some(told) = self.lab.watch {
                watch = move |event: Event| told(&event);
                options.watch = Some(&mut watch);
            }
            run(&ready.plan, options)
        }))
    }

    /// Starts it, and leaves it in the background.
    ///
    /// # Errors
    /// A stage's step that the kernel refused.
    pub fn start(&self) -> Result<Running, Error> {
        self.lab.perform(&self.asked(), |ready| {
            let options = Options::captured(&ready.spec, TIMEOUT);
            start(&ready.plan, Options { timeout: None, ..options })
        })
    }

    /// Runs it inside of a sandbox that runs already.
    ///
    /// # Errors
    /// A namespace that the kernel would not let us join.
    pub fn run_joined(&self, pid: Pid) -> Result<Outcome, Error> {
        let command = self.shell(self.command.unwrap_or("true"));
        let options = Options { capture: true, timeout: Some(TIMEOUT), ..Options::default() };
        outcome(run(&join::plan(pid.as_raw(), &command, &self.lab.host)?, options))
    }
}

/// The runner's own namespaces, as `HOST_UTS=uts:[4026531838]`: to tell whether a process is in
/// them, no number has to be known.
fn host_namespaces() -> impl Iterator<Item = (OsString, OsString)> {
    NAMESPACES.iter().filter_map(|(name, _)| {
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
        Err(Error::Step { by: ATTACK, call, errno, .. }) => Ok(Outcome {
            stdout: String::new(),
            stderr: format!("{call} = -1 {}\n", errno_words(errno)),
            status: 125,
        }),
        Err(error) => Err(error),
    }
}
