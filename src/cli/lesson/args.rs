//! What `sandbox lesson` is told.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

use crate::cli::global::Global;
use crate::cli::lab::lab;
use crate::cli::terminal::TerminalArgs;
use crate::error::Error;
use crate::plan::step::StageName;
use crate::run::rootfs::Root;
use crate::stages::names::CGROUPS;
use crate::teach::lab::Lab;
use crate::teach::lesson::Lesson;

#[derive(Args)]
pub(crate) struct LessonArgs {
    /// The lesson, or one part of it: 1, chroot, 1.2, chroot.break-out; or `all` of them in a row
    #[arg(value_name = "LESSON[.PART]")]
    pub(super) lesson: Option<String>,
    /// Add stages to the second side of each part
    #[arg(long, value_name = "STAGE,…", value_delimiter = ',', requires = "lesson")]
    pub(super) with: Vec<String>,
    /// Take stages away from the second side, to see which claims no longer hold
    #[arg(long, value_name = "STAGE,…", value_delimiter = ',', requires = "lesson")]
    pub(super) without: Vec<String>,
    /// Ask nothing and wait for nothing
    #[arg(long)]
    pub(super) no_pause: bool,
    /// Open a shell in the sandbox of the last part that was shown
    #[arg(long, requires = "lesson")]
    pub(super) shell: bool,
    /// Open a shell in the sandbox of a part on a stand-in host, and do nothing else
    #[arg(long, requires = "lesson", conflicts_with = "shell")]
    pub(super) break_out: bool,
    #[command(flatten)]
    pub(super) terminal: TerminalArgs,
    /// Read the lessons from this directory instead of those that are built in: a lesson file is code
    /// that runs as you
    #[arg(long, value_name = "DIR")]
    pub(super) lessons: Option<PathBuf>,
    /// The root filesystem: a name from `sandbox rootfs list`, or a directory
    #[arg(long, value_name = "NAME|DIR", env = "SANDBOX_ROOTFS")]
    pub(super) rootfs: Option<OsString>,
}

/// A lab for these lessons.
pub(super) fn lab_for(
    lessons: &[&Lesson],
    args: &LessonArgs,
    global: &Global,
) -> Result<Lab, Error> {
    let parts = lessons.iter().flat_map(|lesson| &lesson.parts);
    let sides = parts.flat_map(|part| [&part.without, &part.with]);
    let mut used: Vec<StageName> = sides.flat_map(|side| side.stages.iter().copied()).collect();
    if args.break_out {
        // The stand-in host has limits where it can.
        used.push(CGROUPS);
    }
    let mut lab = lab(Root::from(args.rootfs.clone()), &used, global)?;
    // What a lesson does itself only looks, or is on the stand-in host.
    lab.root = Root::At(lab.rootfs.clone());
    Ok(lab)
}
