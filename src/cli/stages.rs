//! Choosing stages, written alike everywhere: a level, or only these, with and without others.

use std::ffi::OsString;

use clap::Args;

use crate::error::Error;
use crate::machine::host::Host;
use crate::plan::command::{self, Command, Start};
use crate::plan::step::StageName;
use crate::run::ready::{Asked, Ready, Trials, ready};
use crate::show;
use crate::stages::levels::{self, level};
use crate::stages::names::{CHROOT, PIVOT_ROOT};
use crate::stages::{Stages, in_order};

#[derive(Args, Clone)]
#[command(next_help_heading = "Which stages")]
pub(crate) struct StageArgs {
    /// Begin with all stages up to this level: host, chroot, namespaces, cgroups, union
    /// [default: namespaces]
    #[arg(long, value_name = "LEVEL", conflicts_with = "only")]
    level: Option<String>,
    /// These stages and no others
    #[arg(long, value_name = "STAGE,…", value_delimiter = ',')]
    only: Option<Vec<String>>,
    /// Add stages
    #[arg(long, value_name = "STAGE,…", value_delimiter = ',')]
    with: Vec<String>,
    /// Take stages away
    #[arg(long, value_name = "STAGE,…", value_delimiter = ',')]
    without: Vec<String>,
    /// Leave a system call out, to see what it is for (only where that harms nobody else)
    #[arg(long, value_name = "CALL", value_delimiter = ',')]
    forget: Vec<String>,
    /// The root filesystem: a name from `sandbox rootfs list`, which is written to only in a layer, or a
    /// directory
    #[arg(long, value_name = "NAME|DIR", env = "SANDBOX_ROOTFS")]
    rootfs: Option<OsString>,
    #[command(flatten)]
    start: Start,
    #[command(flatten)]
    told: Stages,
}

impl StageArgs {
    /// The chosen stages, in the order in which they run.
    pub(crate) fn chosen(&self) -> Result<Vec<StageName>, Error> {
        let base = match (&self.only, &self.level) {
            (Some(only), _) => levels::stages(only)?,
            (None, Some(name)) => level(name)?,
            (None, None) => level(levels::DEFAULT)?,
        };
        adjust(base, &self.with, &self.without)
    }

    /// The shell that these stages leave.
    pub(crate) fn shell(&self) -> Result<Vec<OsString>, Error> {
        let chosen = self.chosen()?;
        Ok(command::shell(chosen.contains(&CHROOT) || chosen.contains(&PIVOT_ROOT)))
    }

    /// What is asked for, with a command at the end.
    pub(crate) fn asked(self, argv: Vec<OsString>) -> Result<Asked, Error> {
        let by_name: Vec<String> = self.only.iter().flatten().chain(&self.with).cloned().collect();
        Ok(Asked {
            stages: self.chosen()?,
            by_name: levels::stages(&by_name)?,
            without: levels::stages(&self.without)?,
            command: Some(Command::new(argv, &self.start)?),
            told: self.told,
            rootfs: self.rootfs.into(),
            forget: self.forget,
            ..Asked::default()
        })
    }
}

/// The plan of what is asked for, which nobody will perform, with what is worth knowing about it on
/// stderr.
pub(crate) fn planned(asked: Asked, host: &Host) -> Result<Ready, Error> {
    let ready = ready(asked, host, &Trials::new(true))?;
    ready.notes.iter().for_each(|note| show::note(note));
    Ok(ready)
}

/// Adds and takes away stages, and puts them in the order in which they run.
pub(crate) fn adjust(
    mut stages: Vec<StageName>,
    with: &[String],
    without: &[String],
) -> Result<Vec<StageName>, Error> {
    stages.extend(levels::stages(with)?);
    let without = levels::stages(without)?;
    stages.retain(|stage| !without.contains(stage));
    Ok(in_order(&stages))
}
