//! Why user namespaces are refused on this machine, and the least that would allow them.
//!
//! Whether they are refused is found by trying. Only then are the settings read that are known to
//! do it, to say which one it was.

use std::fs;

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
    if let Some(setting) = SETTINGS.iter().find(read) {
        return setting.fix.to_owned();
    }
    if is_in_container() {
        return "the container that this runs in forbids user namespaces: run outside of it, or \
                start it with `--privileged`, or with `--security-opt seccomp=unconfined \
                --security-opt apparmor=unconfined --security-opt systempaths=unconfined`"
            .to_owned();
    }
    "this machine does not let ordinary users make user namespaces, and none of \
     the known settings says so: ask an administrator. With sudo, what needs no stand-in host works"
        .to_owned()
}

/// Whether a container runtime has left its mark.
fn is_in_container() -> bool {
    ["/.dockerenv", "/run/.containerenv"].iter().any(|file| fs::metadata(file).is_ok())
        || std::env::var_os("container").is_some()
}
