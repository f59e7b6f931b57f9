//! chroot: another root directory.
//!
//! Every process has a root directory: the place where the kernel starts when it resolves a path
//! that begins with `/`. chroot(2) changes that one pointer, for this process and the children it
//! will have. Nothing else happens. No file is copied, nothing is mounted, no list of "what is
//! inside" is kept anywhere.
//!
//! A path cannot climb out, because `..` in the root directory leads to the root directory. But
//! that is a comparison with the pointer, made at every `..`; whoever stands outside of the root
//! never meets it. So a process that stands elsewhere (its working directory, a descriptor that
//! it holds) is not held, and neither is one that may call chroot(2) again: see `attacks.rs`.

// ANCHOR: stage
use std::path::PathBuf;

use crate::stages::stage::{About, Spec, Stage, StageName, Step};
use crate::syscall::Syscall;

pub(super) struct Chroot;

impl Stage for Chroot {
    fn name(&self) -> StageName {
        "chroot"
    }

    fn about(&self) -> About {
        About {
            title: "another root directory",
            isolates: "the files: paths that begin with / start in another directory",
            leaks: "processes, users, hostname, network, mounts; and root can break out",
            since: "Unix, 1979; in Linux from the first day",
            see: &["chroot(2)", "path_resolution(7)", "chroot(1)"],
        }
    }

    fn conflicts(&self) -> &'static [StageName] {
        &["pivot-root"]
    }

    fn enter(&self, spec: &Spec) -> Vec<Step> {
        vec![
            Syscall::Chroot(spec.root()).because("make this directory the root"),
            Syscall::Chdir(PathBuf::from("/"))
                .because("and stand in it, or the old directory stays in reach")
                .forgettable(),
        ]
    }
}
// ANCHOR_END: stage
