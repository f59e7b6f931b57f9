//! Who asks, and where on this machine their sandboxes leave a trace.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use caps::{CapSet, Capability};
use nix::unistd::{AccessFlags, access, getegid, geteuid};

/// The facts that every plan depends on. What only one stage needs to know it looks up itself.
#[derive(Clone, Debug, Default)]
pub struct Host {
    /// The effective user id.
    pub uid: u32,
    /// The effective group id.
    pub gid: u32,
    /// Whether this is the machine's own user namespace, the initial one.
    pub initial: bool,
    /// Whether this process may mount, change its root and make namespaces without the help of
    /// a user namespace.
    pub privileged: bool,
    /// Where sandboxes keep their state: one directory each.
    pub state_base: PathBuf,
}

impl Host {
    /// Looks at this machine.
    pub fn gather() -> Host {
        let uid = geteuid().as_raw();
        let has = |cap| caps::has_cap(None, CapSet::Effective, cap).unwrap_or(false);
        let initial = is_initial_user_namespace();
        Host {
            uid,
            gid: getegid().as_raw(),
            initial,
            privileged: has(Capability::CAP_SYS_ADMIN) && has(Capability::CAP_SYS_CHROOT),
            state_base: state_base(uid, initial),
        }
    }

    /// Whether we are this machine's own root, and not root of a user namespace.
    pub fn machine_root(&self) -> bool {
        self.uid == 0 && self.initial
    }
}

/// `/run/sandbox` for the machine's root, else `$XDG_RUNTIME_DIR/sandbox`, else `/tmp/sandbox-UID`.
fn state_base(uid: u32, initial: bool) -> PathBuf {
    if uid == 0 && initial {
        return PathBuf::from("/run/sandbox");
    }
    match env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from) {
        Some(dir) if dir.is_absolute() && is_writable(&dir) => dir.join("sandbox"),
        _ => PathBuf::from(format!("/tmp/sandbox-{uid}")),
    }
}

fn is_writable(dir: &Path) -> bool {
    access(dir, AccessFlags::W_OK).is_ok()
}

/// The initial user namespace maps every id to itself.
fn is_initial_user_namespace() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.split_whitespace().eq(["0", "0", "4294967295"])
}
