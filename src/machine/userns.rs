//! Why user namespaces are refused on this machine, and the least that would allow them.
//!
//! Whether they are refused is found by trying. Only then are the settings read that are known to
//! do it, to say which one it was.

use std::fs;
use std::path::Path;

use nix::unistd::{getegid, geteuid};

use super::mounts;

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
    let read = |setting: &&Setting| {
        fs::read_to_string(setting.file).is_ok_and(|value| (setting.forbids)(value.trim()))
    };
    if !is_mapped() {
        return "your user id or group id is not mapped in the user namespace that this runs in, and \
                the kernel lets only ids that are make another: map them, `unshare --map-root-user`"
            .to_owned();
    }
    if is_chrooted() {
        return "this runs in a chroot, where the kernel makes no user namespaces: run it outside, or \
                switch the root with pivot_root(2) in place of chroot(2)"
            .to_owned();
    }
    if let Some(setting) = SETTINGS.iter().find(read) {
        return setting.fix.to_owned();
    }
    if is_in_container() {
        return "the container that this runs in forbids user namespaces: run outside of it, or \
                start it with `--privileged`, or with `--security-opt seccomp=unconfined \
                --security-opt apparmor=unconfined --security-opt systempaths=unconfined`. In a chroot \
                the kernel makes no user namespaces, whatever else is allowed"
            .to_owned();
    }
    "no known setting of this machine forbids user namespaces. In a chroot the kernel makes none: if \
     this runs in one, run it outside. Otherwise ask an administrator; with sudo, what needs no \
     stand-in host works"
        .to_owned()
}

/// Whether our ids are any in this user namespace.
fn is_mapped() -> bool {
    let has = |file: &str, id: u32| {
        let map = fs::read_to_string(file).unwrap_or_default();
        map.lines().any(|line| {
            let mut numbers = line.split_whitespace().map(|number| number.parse::<u32>());
            match (numbers.next(), numbers.nth(1)) {
                (Some(Ok(first)), Some(Ok(count))) => id >= first && id - first < count,
                _ => false,
            }
        })
    };
    has("/proc/self/uid_map", geteuid().as_raw()) && has("/proc/self/gid_map", getegid().as_raw())
}

/// Whether our root directory is one that chroot(2) made. One on which something is mounted cannot be
/// told from the machine's own.
fn is_chrooted() -> bool {
    let mounts = mounts::table().unwrap_or_default();
    !mounts.is_empty() && mounts.iter().all(|mount| mount.point != Path::new("/"))
}

/// Whether a container runtime has left its mark.
fn is_in_container() -> bool {
    ["/.dockerenv", "/run/.containerenv"].iter().any(|file| fs::metadata(file).is_ok())
        || std::env::var_os("container").is_some()
}
