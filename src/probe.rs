//! Running a command on one side of a comparison, and comparing what came out.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use regex_lite::Regex;
use serde::{Deserialize, Serialize};

use crate::attacks::Attack;
use crate::error::{Error, errno_words};
use crate::host::Host;
use crate::lesson::{Condition, Expect, Side};
use crate::plan::Plan;
use crate::run::{Event, Options, run};
use crate::stage::{Command, Spec, StageName};

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
    /// Whether to print each system call as it is made.
    pub trace: bool,
}

/// A command for a shell, and where it runs.
pub struct Task<'a> {
    /// What it shares with the others.
    pub lab: &'a Lab,
    /// The stages around it.
    pub stages: Vec<StageName>,
    /// Calls to leave out.
    pub forget: Vec<String>,
    /// What the process tries first.
    pub attack: Option<&'static Attack>,
    /// The command, for the shell of the rootfs; nothing to see only whether the stages work.
    pub command: Option<&'a str>,
}

impl<'a> Task<'a> {
    /// A command on one side of a part.
    pub fn on(side: &Side, lab: &'a Lab, command: Option<&'a str>) -> Task<'a> {
        let (stages, forget) = (side.stages.clone(), side.forget.clone());
        Task { lab, stages, forget, attack: None, command }
    }

    /// What is asked of the stages.
    pub fn spec(&self) -> Spec {
        let command = self.command.map(|command| Command {
            argv: ["sh", "-c", command].map(OsString::from).into(),
            env: vec![
                ("PATH".into(), self.path()),
                ("ROOTFS".into(), self.lab.rootfs.as_os_str().to_owned()),
                ("COLUMNS".into(), "80".into()),
            ],
            fresh_env: true,
            workdir: None,
        });
        Spec {
            stages: self.stages.clone(),
            host: self.lab.host.clone(),
            id: crate::state::new_id(),
            rootfs: self.lab.rootfs.clone(),
            hostname: "sandbox".to_owned(),
            command,
            attack: self.attack,
            forget: self.forget.clone(),
        }
    }

    /// The same programs on both sides: without another root, the rootfs's come first.
    fn path(&self) -> OsString {
        let inside = crate::command::PATH;
        if self.stages.contains(&"chroot") || self.stages.contains(&"pivot-root") {
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
        let mut nothing = || 0;
        let inside: Option<&mut dyn FnMut() -> u8> =
            if self.command.is_none() { Some(&mut nothing) } else { None };
        let mut options = Options::captured(TIMEOUT, inside);
        let mut watch = |event: Event| crate::show::event(&event);
        if self.lab.trace {
            options.watch = Some(&mut watch);
        }
        match run(&plan, options) {
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
}
