//! The files of the rootfs in the new root, and who may write them.

use std::path::Path;

use nix::mount::MsFlags;

use super::tmpfs::Tmpfs;
use crate::plan::step::{Because, Step};
use crate::stages::names::OVERLAY;
use crate::stages::spec::Spec;
use crate::syscall::{Mount, MountSetattr};

const WHY_READ_ONLY: &str = "nothing but what is mounted on it can be written";

const WHY_SHARED: &str =
    "every sandbox has this rootfs, and no layer of its own lies over it: it may only be read";

/// The rootfs as a mount of its own.
pub(super) fn steps(read_only: bool, spec: &Spec) -> Vec<Step> {
    let bind = Mount::bind(spec.rootfs_source(), spec.root()).recursive();
    let mut steps =
        vec![bind.because("show the rootfs there: as a mount of its own it can become a root")];
    let (mut forbidden, mut why) = (MsFlags::empty(), WHY_READ_ONLY);
    if spec.no_suid {
        forbidden |= MsFlags::MS_NOSUID;
        why = "its set-user-ID programs start as any other program";
    }
    if spec.shared || read_only {
        forbidden |= MsFlags::MS_RDONLY;
        why = if read_only { WHY_READ_ONLY } else { WHY_SHARED };
    }
    if !forbidden.is_empty() {
        steps.push(MountSetattr::below(spec.root(), forbidden).because(why));
    }
    if may_write_in_memory(read_only, spec) {
        let memory =
            Mount::new("tmpfs", spec.in_root("/tmp"), MsFlags::MS_NOSUID | MsFlags::MS_NODEV);
        let told = format!("mode=1777,size={}", Tmpfs::SIZE);
        steps.push(memory.with(told).because("where every program may write: memory"));
    }
    steps
}

/// A writable layer has to be there for the places to mount on; so it is closed at the end.
pub(super) fn close(read_only: bool, spec: &Spec) -> Option<Step> {
    let root = MountSetattr::only(spec.root(), MsFlags::MS_RDONLY);
    (read_only && spec.has(OVERLAY)).then(|| root.because(WHY_READ_ONLY))
}

/// Whether nobody asked for a root that is only read, and it is.
fn may_write_in_memory(read_only: bool, spec: &Spec) -> bool {
    let there = |dir: &Path| dir.symlink_metadata().is_ok_and(|about| about.is_dir());
    // A rootfs that is yet to be made will have it.
    let has_tmp = there(&spec.rootfs.join("tmp")) || !spec.rootfs.exists();
    spec.shared && !read_only && has_tmp
}
