//! Running an experiment on the stand-in host.
//!
//! The stand-in's process 1 is this program, forked and moved into the stand-in by a plan without
//! a command. From in there it runs the actions one after another, as if on a machine of its own,
//! and hands back what came out.

use std::fs;
use std::io::Write;

use super::lab::{Lab, TIMEOUT};
use super::lesson::{self, Place, Side};
use super::pair::Outcome;
use super::probe::Task;
use crate::cgroups::{Limits, Memory, Pids};
use crate::error::Error;
use crate::machine::process;
use crate::plan::command::Command;
use crate::run::ready::{Asked, Ready};
use crate::run::rootfs::Root;
use crate::run::{Options, Running, run, state};
use crate::stages::names::{CGROUPS, STAND_IN};
use crate::stages::{Stages, with_needs};

/// A command on the stand-in host, or in a sandbox on it.
pub struct Action<'a> {
    /// What the lesson says about it.
    pub action: &'a lesson::Action,
    /// The stages of the sandbox.
    pub side: Side,
}

/// Where the stand-in host keeps the rootfs for its sandboxes.
const ROOTFS: &str = "/rootfs";

/// Where it keeps the layers that they write.
pub const LAYERS: &str = "/layers";

/// Starts a process that the stand-in host would miss, which reads what never comes, and waits until
/// it is there. It ends with the stand-in. The patterns do not find themselves.
const PAYROLL: &str = "sleep 1000000 | /usr/sbin/payroll?db >/dev/null 2>&1 & \
                       until ps | grep -q 'sbin/[p]ayroll-db'; do :; done";

/// Makes a stand-in host, with a file of this size on the machine's disk, runs the actions on it in order, and takes it away.
///
/// # Errors
/// When the stand-in cannot be made, or a sandbox on it.
pub fn perform(lab: &Lab, disk: Option<Memory>, actions: &[Action]) -> Result<Vec<Outcome>, Error> {
    let mut inside = || {
        let outcomes = live(actions).map_err(|error| (error.to_string(), error.hint()));
        let json = serde_json::to_vec(&outcomes).unwrap_or_default();
        let mut stdout = std::io::stdout();
        u8::from(stdout.write_all(&json).and_then(|()| stdout.flush()).is_err())
    };
    let timeout = TIMEOUT * (2 + u32::try_from(actions.len()).unwrap_or(100));
    let ready = made(lab, disk)?;
    let options = Options::captured(&ready.spec, timeout).inside(&mut inside);
    let finished = run(&ready.plan, options)?;
    let outcomes: Result<Vec<Outcome>, (String, Option<String>)> =
        serde_json::from_slice(&finished.stdout).unwrap_or_else(|_| {
            let last_words = String::from_utf8_lossy(&finished.stderr).trim().to_owned();
            Err((format!("process 1 ended with status {}: {last_words}", finished.status), None))
        });
    outcomes.map_err(|(problem, hint)| Error::StandIn { problem, hint })
}

/// Opens a shell in a sandbox on a stand-in host, on this terminal. Returns its exit status. What
/// goes wrong in there is told in there.
///
/// # Errors
/// When the stand-in cannot be made.
pub fn shell(lab: &Lab, side: &Side, tell: fn(&Error)) -> Result<u8, Error> {
    let mut inside = || {
        shell_inside(side).unwrap_or_else(|error| {
            tell(&error);
            125
        })
    };
    let ready = made(lab, None)?;
    Ok(run(&ready.plan, Options::through(&ready.spec).inside(&mut inside))?.status)
}

fn shell_inside(side: &Side) -> Result<u8, Error> {
    let lab = begin()?;
    let command = Command {
        argv: vec!["/bin/sh".into()],
        env: vec![("PS1".into(), format!("({}) \\w # ", side.name).into())],
        fresh_env: true,
        workdir: None,
    };
    let ready = lab.ready(Asked { command: Some(command), ..lab.asked(&side.on_stand_in()) })?;
    // Whoever types in there can look into process 1.
    let forgotten = process::forget_environment();
    forgotten.map_err(Error::io("overwrite the environment of process 1"))?;
    Ok(run(&ready.plan, Options::through(&ready.spec))?.status)
}

/// The plan of the stand-in host itself. Where it can have no cgroup, it limits each process by
/// itself.
fn made(lab: &Lab, disk: Option<Memory>) -> Result<Ready, Error> {
    let mut told = Stages::default();
    told.uts.hostname = "stand-in".parse().ok();
    told.stand_in.disk = disk.and_then(|disk| disk.0);
    told.cgroups.limits = Limits {
        memory: Some(Memory(Some(256 << 20))),
        pids_limit: Some(Pids(Some(512))),
        ..Limits::default()
    };
    let stages = [with_needs(STAND_IN), vec![CGROUPS]].concat();
    let asked = lab.asked(&Side { stages, settings: told, ..Side::default() });
    lab.ready(Asked { by_name: Vec::new(), layers_base: None, ..asked })
}

/// The life of process 1 of the stand-in.
fn live(actions: &[Action]) -> Result<Vec<Outcome>, Error> {
    let lab = begin()?;
    let mut stays: Option<Running> = None;
    let outcomes = actions.iter().map(|action| act(action, &lab, &mut stays)).collect();
    if let Some(running) = stays {
        running.end()?;
    }
    outcomes
}

fn act(
    Action { action, side }: &Action,
    lab: &Lab,
    stays: &mut Option<Running>,
) -> Result<Outcome, Error> {
    Running::reap_others(stays.as_ref());
    let nowhere = Side::default();
    let side = if action.place == Place::Host { &nowhere } else { side };
    let mut task = Task { attack: action.attack, ..Task::on(side, lab, Some(&action.run)) };
    if let Some(running) = &stays {
        task.env.push(("SANDBOX_PID".into(), running.pid().to_string().into()));
    }
    match (action.place, action.stays, &stays) {
        (_, true, None) => {
            // It runs beside those that come later, so it needs another name.
            let lab = Lab { id: state::new_id(), ..lab.clone() };
            *stays = Some(Task { lab: &lab, ..task }.start()?);
            Ok(Outcome { stdout: String::new(), stderr: String::new(), status: 0 })
        }
        (Place::Joined, false, Some(running)) => task.run_joined(running.pid()),
        _ => task.run(),
    }
}

/// A service as desktops have it: a socket with a name and no file. It ends with the stand-in.
fn open_bus() -> std::io::Result<()> {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixListener};
    let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name("stand-in-bus")?)?;
    std::mem::forget(listener);
    Ok(())
}

/// What the stand-in host finds when it looks at itself, as a machine that has just been started.
fn begin() -> Result<Lab, Error> {
    let mut lab = Lab::new(Root::At(ROOTFS.into()), ROOTFS.into(), &[], false)?;
    lab.layers_base = Some(LAYERS.into());
    fs::create_dir(LAYERS).map_err(Error::io("make a place for layers"))?;
    open_bus().map_err(Error::io("open a socket on the stand-in host"))?;
    Task::on(&Side::default(), &lab, Some(PAYROLL)).run()?;
    Ok(lab)
}
