//! Why user namespaces are refused on this machine, and the least that would allow them.
//!
//! Whether they are refused is found by trying. Only then are the settings read that are known to
//! do it, to say which one it was.

use std::fs;

use nix::unistd::{getegid, geteuid};

use super::kernel;

/// A setting, how it forbids, and what to do.
struct Setting {
    file: &'static str,
    forbids: fn(&str) -> bool,
    fix: &'static str,
}

const SETTINGS: &[Setting] = &[
    Setting {
        file: "/proc/sys/user/max_user_namespaces",
        forbids: |value| value == "0",
        fix: "this machine allows no user namespaces: let an administrator run \
              `sysctl user.max_user_namespaces=15000`",
    },
    Setting {
        file: "/proc/sys/kernel/unprivileged_userns_clone",
        forbids: |value| value == "0",
        fix: "this machine keeps user namespaces to root: let an administrator run \
              `sysctl kernel.unprivileged_userns_clone=1`",
    },
    Setting {
        file: "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        forbids: |value| value == "1",
        fix: "AppArmor lets only listed programs use user namespaces (Ubuntu from 23.10 on): let an \
              administrator list this one, as the book's chapter on setting up shows, or run \
              `sysctl kernel.apparmor_restrict_unprivileged_userns=0`",
    },
];

/// What to do when this machine refuses a user namespace.
pub fn remedy() -> String {
    if !has_mapping() {
        return "your ids have no mapping in the user namespace that this runs in, and the kernel makes \
                another one only for ids that have: map them first, with `unshare --map-root-user` \
                or by writing to /proc/PID/uid_map and gid_map"
            .to_owned();
    }
    if is_in_chroot() {
        return "this runs in a chroot, and there the kernel makes a user namespace for nobody: it could \
                be used to break out; run outside of it, or enter the directory with pivot_root(8)"
            .to_owned();
    }
    let read = |setting: &&Setting| {
        fs::read_to_string(setting.file).is_ok_and(|value| (setting.forbids)(value.trim()))
    };
    if let Some(setting) = SETTINGS.iter().find(read) {
        return setting.fix.to_owned();
    }
    if is_in_container() && is_confined() {
        return "the container that this runs in forbids user namespaces: run outside of it, or \
                start it with `--privileged`, or with `--security-opt seccomp=unconfined \
                --security-opt apparmor=unconfined --security-opt systempaths=unconfined`"
            .to_owned();
    }
    if is_confined() {
        return "a filter of system calls or a security module forbids it: ask an administrator. With \
                sudo, what needs no stand-in host works"
            .to_owned();
    }
    "no setting, no filter and no security module forbids it: most likely this runs in a chroot, where \
     the kernel makes a user namespace for nobody. Run outside of it"
        .to_owned()
}

/// Whether our ids are known in our user namespace.
fn has_mapping() -> bool {
    let mapped = |file: &str, id: u32| {
        let Ok(map) = fs::read_to_string(file) else { return true };
        map.lines().any(|line| {
            let mut numbers =
                line.split_whitespace().map(|number| number.parse::<u64>().unwrap_or(0));
            let (first, _, count) = (numbers.next(), numbers.next(), numbers.next());
            let (first, count) = (first.unwrap_or(0), count.unwrap_or(0));
            (first..first + count).contains(&u64::from(id))
        })
    };
    mapped("/proc/self/uid_map", geteuid().as_raw())
        && mapped("/proc/self/gid_map", getegid().as_raw())
}

/// Whether our root directory lies somewhere in a mount. One that is the top of a mount cannot be told
/// from the namespace's own root.
fn is_in_chroot() -> bool {
    let Ok(mounts) = fs::read("/proc/self/mountinfo") else { return false };
    let at = |line: &[u8]| line.split(|byte| *byte == b' ').nth(4) == Some(b"/");
    !mounts.split(|byte| *byte == b'\n').any(at)
}

/// Whether something watches this process's system calls, and may refuse one.
fn is_confined() -> bool {
    let label = fs::read_to_string("/proc/self/attr/current").unwrap_or_default();
    kernel::is_filtered() || !(label.is_empty() || label.contains("unconfined"))
}

/// Whether a container runtime has left its mark.
fn is_in_container() -> bool {
    ["/.dockerenv", "/run/.containerenv"].iter().any(|file| fs::metadata(file).is_ok())
        || std::env::var_os("container").is_some()
}
