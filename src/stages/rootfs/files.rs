//! The files of the rootfs in the new root, and who may write them.

use nix::mount::MsFlags;

use super::tmpfs::Tmpfs;
use crate::layers::Mounted;
use crate::plan::step::{Because, Step};
use crate::stages::names::OVERLAY;
use crate::stages::spec::Spec;
use crate::syscall::{Mount, MountSetattr};

const WHY_READ_ONLY: &str = "nothing but what is mounted on it can be written";

const TMP: &str = "/tmp";

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
    if memory(read_only, spec).is_some() {
        let memory = Mount::new("tmpfs", spec.in_root(TMP), MsFlags::MS_NOSUID | MsFlags::MS_NODEV);
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

/// What is mounted where every program may write, when nobody asked for a root that is only read, and
/// it is.
pub(super) fn memory(read_only: bool, spec: &Spec) -> Option<Mounted> {
    let at = spec.rootfs.join(TMP.trim_start_matches('/'));
    // A rootfs that is yet to be made will have it.
    let there = at.symlink_metadata().map_or(!spec.rootfs.exists(), |about| about.is_dir());
    let mounted = Mounted { at: TMP.into(), layers: Vec::new(), is_file: false, writable: true };
    (spec.shared && !spec.has(OVERLAY) && !read_only && there).then_some(mounted)
}
