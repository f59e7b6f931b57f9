//! Running an experiment on the stand-in host.
//!
//! The stand-in's process 1 is this program, forked and moved into the stand-in by a plan without
//! a command. From in there it runs the actions one after another, as if on a machine of its own,
//! and hands back what came out.

use std::io::Write;

use crate::attacks::Attack;
use crate::error::Error;
use crate::host::Host;
use crate::lesson::Side;
use crate::plan::Plan;
use crate::probe::{Lab, Outcome, TIMEOUT, Task};
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
pub fn perform(lab: &Lab, actions: &[Action]) -> Result<Vec<Outcome>, Error> {
    let mut inside = || {
        let outcomes = live(actions).map_err(|error| error.to_string());
        let json = serde_json::to_vec(&outcomes).unwrap_or_default();
        let mut stdout = std::io::stdout();
        u8::from(stdout.write_all(&json).and_then(|()| stdout.flush()).is_err())
    };
    let timeout = TIMEOUT * (2 + u32::try_from(actions.len()).unwrap_or(100));
    let options = Options::captured(timeout, Some(&mut inside));
    let finished = run(&Plan::new(&spec(lab))?, options)?;
    let outcomes: Result<Vec<Outcome>, String> = serde_json::from_slice(&finished.stdout)
        .unwrap_or_else(|_| {
            let last_words = String::from_utf8_lossy(&finished.stderr).trim().to_owned();
            Err(format!("process 1 ended with status {}: {last_words}", finished.status))
        });
    outcomes.map_err(|problem| Error::Usage {
        problem: format!("on the stand-in host: {problem}"),
        hint: "see `sandbox doctor`".to_owned(),
    })
}

/// Opens a shell in a sandbox on a stand-in host, on this terminal. Returns its exit status.
///
/// # Errors
/// When the stand-in cannot be made.
pub fn shell(lab: &Lab, side: &Side) -> Result<u8, Error> {
    let mut inside = || {
        let shell = || {
            let lab = begin()?;
            let task = Task::on(side, &lab, None);
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
    let plan = Plan::new(&spec(lab))?;
    Ok(run(&plan, Options::through(Some(&mut inside)))?.status)
}

/// The stand-in host itself.
fn spec(lab: &Lab) -> Spec {
    let needs = stages::find("stand-in").map_or(&[][..], |stage| stage.needs());
    Spec {
        stages: needs.iter().copied().chain(["stand-in"]).collect(),
        host: lab.host.clone(),
        id: crate::state::new_id(),
        rootfs: lab.rootfs.clone(),
        hostname: "stand-in".to_owned(),
        command: None,
        attack: None,
        forget: Vec::new(),
    }
}

/// The life of process 1 of the stand-in.
fn live(actions: &[Action]) -> Result<Vec<Outcome>, Error> {
    let lab = begin()?;
    let run = |action: &Action| {
        let (stages, forget) = (action.stages.clone(), action.forget.clone());
        let command = Some(action.command);
        Task { lab: &lab, stages, forget, attack: action.attack, command }.run()
    };
    actions.iter().map(run).collect()
}

/// What the stand-in host finds when it looks at itself, as a machine that has just been started.
fn begin() -> Result<Lab, Error> {
    let lab = Lab { host: Host::gather(), rootfs: ROOTFS.into(), trace: false };
    let (stages, forget) = (Vec::new(), Vec::new());
    Task { lab: &lab, stages, forget, attack: None, command: Some(PAYROLL) }.run()?;
    Ok(lab)
}
