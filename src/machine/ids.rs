//! Subordinate ids: what an ordinary user may map besides themselves; see subuid(5).

use std::fs;

use nix::unistd::User;

use super::programs;

/// The subordinate ids of a user, as (first, how many).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubIds {
    /// Of users.
    pub uid: (u32, u32),
    /// Of groups.
    pub gid: (u32, u32),
}

/// The ids that are set aside for this user, where the programs that map them are installed.
pub fn of(uid: u32) -> Option<SubIds> {
    programs::find("newuidmap").and(programs::find("newgidmap"))?;
    let name = User::from_uid(uid.into()).ok()??.name;
    let range = |file: &str| {
        let text = fs::read_to_string(file).ok()?;
        let is_mine = |line: &&str| {
            let owner = line.split(':').next().unwrap_or_default();
            owner == name || owner == uid.to_string()
        };
        let mut fields = text.lines().find(is_mine)?.split(':').skip(1);
        Some((fields.next()?.parse().ok()?, fields.next()?.trim().parse().ok()?))
    };
    Some(SubIds { uid: range("/etc/subuid")?, gid: range("/etc/subgid")? })
}
