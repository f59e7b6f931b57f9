//! overlay: one root for many, and each writes a layer of its own.
//!
//! The rootfs is only read. overlayfs lays a writable directory, the upper, over it: what is read
//! comes from the topmost layer that has it; what is written is copied up first; what is deleted
//! leaves a whiteout in the upper, a device 0,0 that hides the name. Between the two lies the init
//! layer, with the files that no container shares. The driver `vfs` copies everything instead.

mod find;
mod make;
mod options;

// ANCHOR: stage
use clap::Args;
use nix::errno::Errno;
use nix::mount::MsFlags;
use serde::{Deserialize, Serialize};

use super::names::{MNT, OVERLAY, ROOTFS, STAND_IN};
use super::spec::Spec;
use super::stage::{About, Stage};
use crate::error::Error;
use crate::layers::{Driver, kept};
use crate::plan::step::{Because, StageName, Step};
use crate::syscall::{Mount, Syscall};

#[derive(Args, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[command(next_help_heading = "The stage overlay")]
#[serde(default, deny_unknown_fields)]
pub struct Overlay {
    /// Keep what is written under this name, and go on with it when it is there
    #[arg(long, value_name = "NAME")]
    pub keep: Option<String>,
    /// How to get a root of one's own [default: overlay]
    #[arg(long, value_name = "DRIVER", value_enum)]
    pub storage: Option<Driver>,
    #[arg(skip)]
    #[serde(skip)]
    found: find::Found,
}

impl Stage for Overlay {
    fn name(&self) -> StageName {
        OVERLAY
    }

    fn about(&self) -> About {
        About {
            title: "a layer of one's own over a root that all share",
            isolates: "the files of the rootfs: what is written stays in the upper layer",
            leaks: "volumes, which are not part of it; a deleted file is still in its layer",
            since: "Linux 3.18 (2014); for ordinary users: Linux 5.11 (2021)",
            see: &["mount(2)", "mount(8)", "xattr(7)"],
        }
    }

    fn needs(&self) -> &'static [StageName] {
        &[MNT, ROOTFS]
    }

    fn conflicts(&self) -> &'static [StageName] {
        &[STAND_IN]
    }

    fn look(&mut self, spec: &mut Spec) -> Result<(), Error> {
        self.found = find::look(self.keep.as_deref(), self.storage, spec)?;
        Ok(())
    }

    fn check(&self, spec: &Spec) -> Result<(), Error> {
        find::check(self.keep.as_deref(), spec)
    }

    fn doubt(&self, spec: &Spec) -> Option<&'static str> {
        let mounts = spec.layers.driver == Driver::Overlay && !spec.layers.in_memory;
        if mounts {
            Some("the disk below your data directory can hold an upper layer")
        } else {
            None
        }
    }

    fn another_way(&mut self, spec: &mut Spec) -> Result<Option<&'static str>, Error> {
        find::without_disk(self.keep.as_deref(), spec).map(Some)
    }

    fn prepare(&self, spec: &Spec) -> Vec<Step> {
        make::on_disk(spec, &self.found)
    }

    fn enter(&self, spec: &Spec) -> Vec<Step> {
        let mut steps = make::in_memory(spec, &self.found);
        if spec.layers.driver == Driver::Vfs {
            let copy = Mount::bind(spec.layers.upper(), spec.root());
            steps.push(copy.because("show the copy there: as a mount it can become a root"));
        } else {
            let forbidden = if spec.no_suid { MsFlags::MS_NOSUID } else { MsFlags::empty() };
            let overlay = Mount::new("overlay", spec.root(), forbidden);
            let overlay = overlay.with(options::of(spec));
            let step = overlay.because("lay the writable layer over the others");
            steps.push(if spec.layers.in_memory { step } else { step.doubtful() });
        }
        steps.extend(make::name(spec));
        steps
    }

    fn remedy(&self, call: &Syscall, errno: Errno) -> Option<String> {
        match (call, errno) {
            (Syscall::Flock(_), Errno::EWOULDBLOCK) => {
                Some(format!("another sandbox is writing it: {}", kept::BUSY))
            }
            (Syscall::Rename(_), Errno::ENOTEMPTY | Errno::EEXIST) => {
                Some("another sandbox has just taken the name: run it again to go on".to_owned())
            }
            _ => None,
        }
    }
}
// ANCHOR_END: stage
