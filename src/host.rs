//! The facts about this machine that plans depend on, gathered once.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use caps::{CapSet, Capability};

/// What a process may do to the machine although it is in a sandbox: no namespace holds these.
const BEYOND_NAMESPACES: &[Capability] = &[
    Capability::CAP_SYS_TIME,
    Capability::CAP_SYS_MODULE,
    Capability::CAP_SYS_RAWIO,
    Capability::CAP_SYS_BOOT,
    Capability::CAP_MKNOD,
];

/// Facts about this machine and about who asks.
#[derive(Clone, Debug, Default)]
pub struct Host {
    /// The effective user id.
    pub uid: u32,
    /// The effective group id.
    pub gid: u32,
    /// Whether this process may mount, change its root and make namespaces without the help of
    /// a user namespace.
    pub privileged: bool,
    /// The capabilities that the guard takes away: those that reach past every namespace. Empty
    /// for anybody but the machine's own root.
    pub guard: Vec<Capability>,
    /// Where sandboxes keep their state: one directory each.
    pub state_base: PathBuf,
    /// A program of this machine that needs shared libraries.
    pub dynamic_program: Option<PathBuf>,
}

impl Host {
    /// Looks at this machine.
    pub fn gather() -> Host {
        let uid = nix::unistd::geteuid().as_raw();
        let has = |cap| caps::has_cap(None, CapSet::Effective, cap).unwrap_or(false);
        let guarded = is_initial_user_namespace() && has(Capability::CAP_SETPCAP);
        let bounded = |cap: &&Capability| {
            guarded && caps::has_cap(None, CapSet::Bounding, **cap).unwrap_or(false)
        };
        Host {
            uid,
            gid: nix::unistd::getegid().as_raw(),
            privileged: has(Capability::CAP_SYS_ADMIN) && has(Capability::CAP_SYS_CHROOT),
            guard: BEYOND_NAMESPACES.iter().filter(bounded).copied().collect(),
            state_base: state_base(uid),
            dynamic_program: dynamic_program(),
        }
    }
}

/// `/run/sandbox` for root, else `$XDG_RUNTIME_DIR/sandbox`, else `/tmp/sandbox-UID`.
fn state_base(uid: u32) -> PathBuf {
    if uid == 0 {
        return PathBuf::from("/run/sandbox");
    }
    match env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from) {
        Some(dir) if dir.is_absolute() && is_writable(&dir) => dir.join("sandbox"),
        _ => PathBuf::from(format!("/tmp/sandbox-{uid}")),
    }
}

fn is_writable(dir: &Path) -> bool {
    nix::unistd::access(dir, nix::unistd::AccessFlags::W_OK).is_ok()
}

/// The initial user namespace maps every id to itself.
fn is_initial_user_namespace() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.split_whitespace().eq(["0", "0", "4294967295"])
}

fn dynamic_program() -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    let mut candidates = env::split_paths(&path).map(|dir| dir.join("ls"));
    candidates.find(|file| {
        let executable =
            fs::metadata(file).is_ok_and(|about| about.permissions().mode() & 0o5 == 5);
        executable && matches!(rootfs_fetch::elf::interpreter(file), Ok(Some(_)))
    })
}
