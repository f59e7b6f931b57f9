//! Running an experiment on the stand-in host.
//!
//! The stand-in's process 1 is this program, forked and moved into the stand-in by a plan without
//! a command. From in there it runs the actions one after another, as if on a machine of its own,
//! and hands back what came out.

use std::io::Write;
use std::path::Path;

use crate::attacks::Attack;
use crate::error::Error;
use crate::host::Host;
use crate::lesson::Side;
use crate::plan::Plan;
use crate::probe::{Outcome, TIMEOUT, Task};
use crate::run::{Options, run};
use crate::stage::{Command, Spec, StageName};
use crate::stages;

/// A command on the stand-in host, or in a sandbox on it.
pub struct Action<'a> {
    /// The stages of the sandbox; none for the stand-in host itself.
    pub stages: Vec<StageName>,
    /// Calls to leave out.
    pub forget: Vec<String>,
    /// What the process tries first.
    pub attack: Option<&'static Attack>,
    /// The command.
    pub command: &'a str,
}

/// Where the stand-in host keeps the rootfs for its sandboxes.
const ROOTFS: &str = "/rootfs";

/// Starts a process that the stand-in host would miss. It ends with the stand-in.
const PAYROLL: &str = "/usr/sbin/payroll-db </dev/null >/dev/null 2>&1 &";

/// Makes a stand-in host, runs the actions on it in order, and takes it away.
///
/// # Errors
/// When the stand-in cannot be made, or a sandbox on it.
pub fn perform(host: &Host, rootfs: &Path, actions: &[Action]) -> Result<Vec<Outcome>, Error> {
    let mut inside = || {
        let outcomes = live(actions).map_err(|error| error.to_string());
        let written = serde_json::to_vec(&outcomes).map(|json| std::io::stdout().write_all(&json));
        u8::from(written.is_err())
    };
    let timeout = TIMEOUT * (2 + u32::try_from(actions.len()).unwrap_or(100));
    let options = Options::captured(timeout, Some(&mut inside));
    let finished = run(&Plan::new(&spec(host, rootfs))?, options)?;
    let outcomes: Result<Vec<Outcome>, String> = serde_json::from_slice(&finished.stdout)
        .map_err(Error::io("hear from the stand-in host"))?;
    outcomes.map_err(|problem| Error::Usage {
        problem: format!("on the stand-in host: {problem}"),
        hint: "see `sandbox doctor`".to_owned(),
    })
}

/// Opens a shell in a sandbox on a stand-in host, on this terminal. Returns its exit status.
///
/// # Errors
/// When the stand-in cannot be made.
pub fn shell(host: &Host, rootfs: &Path, side: &Side) -> Result<u8, Error> {
    let mut inside = || {
        let shell = || {
            let host = begin()?;
            let task = Task::on(side, &host, Path::new(ROOTFS), None);
            let command = Command {
                argv: vec!["/bin/sh".into()],
                env: vec![("PS1".into(), format!("({}) \\w # ", side.name).into())],
                fresh_env: true,
                workdir: None,
            };
            let spec = Spec { command: Some(command), ..task.spec() };
            run(&Plan::new(&spec)?, Options::through(None))
        };
        shell().map_or_else(
            |error| {
                crate::show::error(&error);
                125
            },
            |finished| finished.status,
        )
    };
    let plan = Plan::new(&spec(host, rootfs))?;
    Ok(run(&plan, Options::through(Some(&mut inside)))?.status)
}

/// The stand-in host itself.
fn spec(host: &Host, rootfs: &Path) -> Spec {
    let needs = stages::find("stand-in").map_or(&[][..], |stage| stage.needs());
    Spec {
        stages: needs.iter().copied().chain(["stand-in"]).collect(),
        host: host.clone(),
        id: crate::state::new_id(),
        rootfs: rootfs.to_owned(),
        hostname: "stand-in".to_owned(),
        command: None,
        attack: None,
        forget: Vec::new(),
    }
}

/// The life of process 1 of the stand-in.
fn live(actions: &[Action]) -> Result<Vec<Outcome>, Error> {
    let host = begin()?;
    let run = |action: &Action| {
        let (stages, forget) = (action.stages.clone(), action.forget.clone());
        let (rootfs, command) = (Path::new(ROOTFS), Some(action.command));
        Task { host: &host, stages, forget, attack: action.attack, rootfs, command }.run()
    };
    actions.iter().map(run).collect()
}

fn begin() -> Result<Host, Error> {
    let host = Host::gather();
    let (rootfs, command) = (Path::new(ROOTFS), Some(PAYROLL));
    let none = (Vec::new(), Vec::new());
    Task { host: &host, stages: none.0, forget: none.1, attack: None, rootfs, command }.run()?;
    Ok(host)
}
