//! What all that is tried of a lesson has in common.

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use super::lesson::Side;
use crate::error::Error;
use crate::machine::host::Host;
use crate::plan::step::StageName;
use crate::run::ready::{Asked, Ready, Trials, perform, ready};
use crate::run::rootfs::Root;
use crate::run::{Event, Options, run, state};
use crate::stages::names::{OVERLAY, USER};
use crate::stages::with_needs;

/// How long a command may take.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// What all tasks share.
#[derive(Clone, Debug)]
pub struct Lab {
    /// Who goes through the lesson.
    pub host: Host,
    /// The directory of the rootfs.
    pub rootfs: PathBuf,
    /// What the stages are told of it: a directory is taken as it is, and adds no step of its own; one
    /// of the store may only be read.
    pub root: Root,
    /// Names what its sandboxes put on the host; there is one at a time.
    pub id: String,
    /// The directory for layers, where it is not the user's own.
    pub layers_base: Option<PathBuf>,
    /// What was found out by trying.
    pub trials: Rc<Trials>,
    /// Told of each system call that is made, if somebody wants to know.
    pub watch: Option<fn(&Event)>,
}

impl Lab {
    /// A lab on this machine, for what needs these stages.
    ///
    /// # Errors
    /// When this program should be started again with somebody's help, and could not.
    pub fn new(root: Root, rootfs: PathBuf, stages: &[StageName], dry: bool) -> Result<Lab, Error> {
        let (host, trials) = (Host::gather(), Trials::new(dry));
        trials.begin(stages, &host)?;
        let id = state::new_id();
        Ok(Lab { host, rootfs, root, id, layers_base: None, trials: Rc::new(trials), watch: None })
    }

    /// What is asked of the stages for one side. Who needs the stage `user` has it on both sides
    /// already, or what it does would be put down to another stage.
    pub fn asked(&self, side: &Side) -> Asked {
        Asked {
            stages: side.stages.clone(),
            by_name: side.stages.clone(),
            without: vec![USER],
            told: side.settings.clone(),
            rootfs: self.root.clone(),
            forget: side.forget.clone(),
            id: Some(self.id.clone()),
            layers_base: self.layers_base.clone(),
            ..Asked::default()
        }
    }

    /// The plan for what is asked.
    ///
    /// # Errors
    /// As for [`ready`].
    pub fn ready(&self, asked: Asked) -> Result<Ready, Error> {
        ready(asked, &self.host, &self.trials)
    }

    /// Acts on the plan for what is asked.
    ///
    /// # Errors
    /// As for [`perform`].
    pub fn perform<T>(
        &self,
        asked: &Asked,
        act: impl FnMut(&Ready) -> Result<T, Error>,
    ) -> Result<T, Error> {
        perform(asked, &self.host, &self.trials, act)
    }

    /// Whether the disk below the user's data directory can hold an upper layer.
    ///
    /// # Errors
    /// What is not the machine's fault.
    pub fn has_disk_for_layers(&self) -> Result<bool, Error> {
        let asked = Asked { without: Vec::new(), ..self.asked(&Side::of(with_needs(OVERLAY))) };
        let made = self.perform(&asked, |ready| {
            let mut nothing = || 0;
            run(&ready.plan, Options::captured(&ready.spec, TIMEOUT).inside(&mut nothing))?;
            Ok(!ready.spec.layers.in_memory)
        });
        match made {
            Err(error) if error.can_be_skipped() => Ok(true), // told where it is wanted
            made => made,
        }
    }
}
