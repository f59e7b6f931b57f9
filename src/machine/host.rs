//! The facts about this machine that plans depend on, gathered once.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use caps::{CapSet, Capability};

use crate::cgroups::Cgroups;

/// What a process may do to the machine although it is in a sandbox: no namespace holds these.
const BEYOND_NAMESPACES: &[Capability] = &[
    Capability::CAP_SYS_TIME,
    Capability::CAP_SYS_MODULE,
    Capability::CAP_SYS_RAWIO,
    Capability::CAP_SYS_BOOT,
    Capability::CAP_MKNOD,
    // open_by_handle_at(2) opens every file of a disk of which one file is in reach.
    Capability::CAP_DAC_READ_SEARCH,
];

/// Facts about this machine and about who asks.
#[derive(Clone, Debug, Default)]
pub struct Host {
    /// The effective user id.
    pub uid: u32,
    /// The effective group id.
    pub gid: u32,
    /// Whether this is the machine's own root, and not root of a user namespace.
    pub machine_root: bool,
    /// Whether this process may mount, change its root and make namespaces without the help of
    /// a user namespace.
    pub privileged: bool,
    /// The capabilities that the guard takes away: those that reach past every namespace. Empty
    /// for anybody but the machine's own root.
    pub guard: Vec<Capability>,
    /// The ids that are set aside for this user to map, where the programs to map them are.
    pub subids: Option<SubIds>,
    /// What of /proc container runtimes hide and is there on this machine, and whether it is a
    /// directory.
    pub hidden: Vec<(PathBuf, bool)>,
    /// What of /proc container runtimes make read-only and is there on this machine.
    pub read_only: Vec<PathBuf>,
    /// The cgroup hierarchies, and where in them we are.
    pub cgroups: Cgroups,
    /// Where the writable layers are: one directory each.
    pub layers_base: PathBuf,
    /// Whether layers have to be in memory, as the disk cannot serve; known only when it was tried.
    pub layers_in_memory: bool,
    /// The name servers, as in /etc/resolv.conf.
    pub resolv_conf: String,
    /// Where sandboxes keep their state: one directory each.
    pub state_base: PathBuf,
    /// A program of this machine that needs shared libraries.
    pub dynamic_program: Option<PathBuf>,
}

/// The subordinate ids of a user, as (first, how many); see subuid(5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubIds {
    /// Of users.
    pub uid: (u32, u32),
    /// Of groups.
    pub gid: (u32, u32),
}

/// What tells about the machine, its keys and its memory.
const HIDDEN: &[&str] = &["acpi", "asound", "kcore", "keys", "latency_stats", "scsi", "timer_list"];

/// What changes the machine when it is written to.
const READ_ONLY: &[&str] = &["bus", "fs", "irq", "sys", "sysrq-trigger"];

impl Host {
    /// Looks at this machine.
    pub fn gather() -> Host {
        let uid = nix::unistd::geteuid().as_raw();
        let has = |cap| caps::has_cap(None, CapSet::Effective, cap).unwrap_or(false);
        let initial = is_initial_user_namespace();
        let guarded = initial && has(Capability::CAP_SETPCAP);
        let bounded = |cap: &&Capability| {
            guarded && caps::has_cap(None, CapSet::Bounding, **cap).unwrap_or(false)
        };
        Host {
            uid,
            gid: nix::unistd::getegid().as_raw(),
            machine_root: uid == 0 && initial,
            privileged: has(Capability::CAP_SYS_ADMIN) && has(Capability::CAP_SYS_CHROOT),
            guard: BEYOND_NAMESPACES.iter().filter(bounded).copied().collect(),
            subids: subids(uid),
            hidden: there(HIDDEN).into_iter().map(|path| (path.clone(), path.is_dir())).collect(),
            read_only: there(READ_ONLY),
            cgroups: Cgroups::gather(),
            layers_base: layers_base().unwrap_or_else(|| state_base(uid, initial)),
            layers_in_memory: false,
            resolv_conf: fs::read_to_string("/etc/resolv.conf").unwrap_or_default(),
            state_base: state_base(uid, initial),
            dynamic_program: dynamic_program(),
        }
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

/// Beside the root filesystems.
fn layers_base() -> Option<PathBuf> {
    let store = rootfs_fetch::Store::open(None).ok()?;
    store.dir().parent().map(|data| data.join("layers"))
}

fn there(names: &[&str]) -> Vec<PathBuf> {
    let files = names.iter().map(|name| PathBuf::from("/proc").join(name));
    files.filter(|file| file.exists()).collect()
}

fn subids(uid: u32) -> Option<SubIds> {
    let path = env::var_os("PATH").unwrap_or_default();
    let installed = |program: &str| env::split_paths(&path).any(|dir| dir.join(program).exists());
    if !installed("newuidmap") || !installed("newgidmap") {
        return None;
    }
    let name = nix::unistd::User::from_uid(uid.into()).ok()??.name;
    let range = |file: &str| {
        let text = fs::read_to_string(file).ok()?;
        let mine = |line: &&str| {
            let owner = line.split(':').next().unwrap_or_default();
            owner == name || owner == uid.to_string()
        };
        let mut fields = text.lines().find(mine)?.split(':').skip(1);
        Some((fields.next()?.parse().ok()?, fields.next()?.trim().parse().ok()?))
    };
    Some(SubIds { uid: range("/etc/subuid")?, gid: range("/etc/subgid")? })
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
