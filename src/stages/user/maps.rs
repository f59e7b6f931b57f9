//! Who is who on either side of a user namespace.

use crate::machine::ids::{self, Range, SubIds};
use crate::plan::step::{Because, Step};
use crate::syscall::{Location, MapIds, Write};

// ANCHOR: one
/// Root inside is this user outside, and nobody else is mapped: everybody may do that.
pub(super) fn one(uid: u32, gid: u32) -> [Step; 3] {
    let own = |file: &str| Location::from("/proc/self").join(file);
    [
        Write(own("setgroups"), "deny".into())
            .because("give up setgroups(2): the kernel wants that before the group map"),
        Write(own("uid_map"), format!("0 {uid} 1").into())
            .because("root inside is this user outside")
            .forgettable(),
        Write(own("gid_map"), format!("0 {gid} 1").into())
            .because("and the group likewise")
            .forgettable(),
    ]
}
// ANCHOR_END: one

/// Other people's ids a program maps that is allowed to, from outside.
pub(super) fn many(uid: u32, gid: u32, ids: &SubIds) -> [Step; 2] {
    let map = |program, own, ids: &[Range]| MapIds { program, ranges: ids::map(own, ids) };
    [
        map("newuidmap", uid, &ids.uid)
            .because("root inside is this user outside, and the rest are ids set aside")
            .by_parent(),
        map("newgidmap", gid, &ids.gid).because("and the groups likewise").by_parent(),
    ]
}
