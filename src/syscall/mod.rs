//! A system call as a value: how it is written, how it is done by hand, and how it is done.
//!
//! The calls stand in files by what they are about, each whole in one place: what it is called, what
//! to type instead, how it is made, and what to do when the kernel refuses it. Here is only the list.

pub mod call;
mod directory;
mod file;
mod identity;
mod location;
mod mount;
mod namespace;
mod net;
mod process;
pub(crate) mod quote;

use std::fmt;
use std::ops::Deref;

pub use call::{Call, Shell};
pub use directory::{Chdir, Chroot, CloseFrom, Fchdir, Hold, Mkdir, MkdirAll, OpenAs};
pub use file::{Chown, CopyTree, Create, Flock, Rename, Symlink, Truncate, Write};
pub use identity::{
    ClearGroups, DropCapability, JoinSessionKeyring, MapIds, SetDumpable, Setresgid, Setresuid,
};
pub use location::Location;
pub use mount::{Mount, MountSetattr, PivotRoot, Umount2};
pub use namespace::{CLONE_NEWTIME, Sethostname, Setns, TimeOffset, Unshare};
pub use net::LoopbackUp;
pub use process::{
    CloneIntoCgroup, CloneIntoNamespaces, DieWithParent, Execve, Fork, PidfdOpen, Setpriority,
    Setrlimit,
};

/// Makes one type of many calls, so that a plan can hold, copy and compare them.
macro_rules! calls {
    ($($Call:ident)*) => {
        /// A system call. Whichever it is, it is a [`Call`].
        #[derive(Clone, Debug, PartialEq)]
        #[allow(missing_docs)] // each has its own
        pub enum Syscall {
            $($Call($Call)),*
        }

        impl Deref for Syscall {
            type Target = dyn Call;

            fn deref(&self) -> &(dyn Call + 'static) {
                match self {
                    $(Syscall::$Call(call) => call),*
                }
            }
        }

        $(impl From<$Call> for Syscall {
            fn from(call: $Call) -> Syscall {
                Syscall::$Call(call)
            }
        })*
    };
}

calls! {
    // process.rs
    Fork CloneIntoNamespaces CloneIntoCgroup DieWithParent Setrlimit Setpriority PidfdOpen Execve
    // identity.rs
    DropCapability ClearGroups Setresgid Setresuid SetDumpable JoinSessionKeyring MapIds
    // namespace.rs
    Unshare Setns Sethostname TimeOffset
    // mount.rs
    Mount MountSetattr Umount2 PivotRoot
    // directory.rs
    Chroot Chdir OpenAs Hold Fchdir CloseFrom Mkdir MkdirAll
    // file.rs
    Create Chown Truncate Write Symlink CopyTree Rename Flock
    // net.rs
    LoopbackUp
}

impl fmt::Display for Syscall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.strace())
    }
}

impl Syscall {
    /// The name of the call, as `--forget` takes it.
    pub fn name(&self) -> String {
        self.strace().split('(').next().unwrap_or_default().to_owned()
    }
}
