//! Subordinate ids: what an ordinary user may map besides themselves; see subuid(5).

use std::fs;

use nix::unistd::User;

use super::programs;

/// Ids in a row: the first, and how many.
pub type Range = (u32, u32);

/// The subordinate ids of a user: sorted, none twice, and only those that there are in this user
/// namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubIds {
    /// Of users.
    pub uid: Vec<Range>,
    /// Of groups.
    pub gid: Vec<Range>,
}

/// The ids that are set aside for this user, where the programs that map them are installed.
pub fn of(uid: u32) -> Option<SubIds> {
    programs::find("newuidmap").and(programs::find("newgidmap"))?;
    let name = User::from_uid(uid.into()).ok().flatten().map(|user| user.name);
    let ids = |file, map| {
        let (text, map) = (fs::read(file).unwrap_or_default(), fs::read(map).unwrap_or_default());
        let own = owned(&String::from_utf8_lossy(&text), uid, name.as_deref());
        let found = within(&own, &there(&String::from_utf8_lossy(&map)));
        (!found.is_empty()).then_some(found)
    };
    Some(SubIds {
        uid: ids("/etc/subuid", "/proc/self/uid_map")?,
        gid: ids("/etc/subgid", "/proc/self/gid_map")?,
    })
}

/// The ids in the order in which they are mapped: the first inside, the first outside, how many. The
/// caller's own is 0 inside.
pub fn map(own: u32, ids: &[Range]) -> Vec<(u32, u32, u32)> {
    let mut map = vec![(0, own, 1)];
    let mut next = 1;
    for (first, count) in apart_from(own, ids) {
        map.push((next, first, count));
        next += count;
    }
    map
}

/// The lines of a user, by name or by number. One that is none is passed over, as newuidmap(1) does.
fn owned(text: &str, uid: u32, name: Option<&str>) -> Vec<Range> {
    let line = |line: &str| {
        let (owner, range) = line.trim().split_once(':')?;
        let (first, count) = range.split_once(':')?;
        let (first, count): (u32, u32) = (first.parse().ok()?, count.parse().ok()?);
        let is_mine = Some(owner) == name || owner == uid.to_string();
        (is_mine && count > 0 && first.checked_add(count).is_some()).then_some((first, count))
    };
    let mut ranges: Vec<Range> = text.lines().filter_map(line).collect();
    ranges.sort();
    let mut whole: Vec<Range> = Vec::new();
    for (first, count) in ranges {
        match whole.last_mut() {
            // Nothing can be mapped twice.
            Some((start, length)) if first <= *start + *length => {
                *length = (*length).max(first + count - *start);
            }
            _ => whole.push((first, count)),
        }
    }
    whole
}

/// The ids that there are in this user namespace, as its map says.
fn there(map: &str) -> Vec<Range> {
    let line = |line: &str| {
        let mut numbers = line.split_whitespace().map(|number| number.parse().ok());
        Some((numbers.next()??, numbers.nth(1)??))
    };
    map.lines().filter_map(line).collect()
}

/// What two lists of ranges have in common.
fn within(ids: &[Range], others: &[Range]) -> Vec<Range> {
    let mut common = Vec::new();
    for (first, count) in ids {
        for (start, length) in others {
            let begin = first.max(start);
            let end = (first + count).min(start.saturating_add(*length));
            if *begin < end {
                common.push((*begin, end - begin));
            }
        }
    }
    common
}

/// The ranges without this one id.
fn apart_from(own: u32, ids: &[Range]) -> Vec<Range> {
    within(ids, &[(0, own), (own + 1, u32::MAX - own - 1)])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn all_ranges_of_a_user_count_each_id_once_and_lines_that_are_none_do_not() {
        let text = "# comment\n\nme:100000:65536\nyou:165536:65536\n1000:300000:10\nme:x:5\nme:5\n\
                    me:4294967290:100\nme:7:0\nme:165530:10\nme:100000:65536\n";
        let both = [(100_000, 65_540), (300_000, 10)];
        assert_eq!(owned(text, 1000, Some("me")), both);
        assert_eq!(owned(text, 1000, None), [(300_000, 10)]);
        assert_eq!(owned(text, 5, Some("nobody")), []);
        assert_eq!(map(1000, &both), [(0, 1000, 1), (1, 100_000, 65_540), (65_541, 300_000, 10)]);
        assert_eq!(map(300_004, &both)[2..], [(65_541, 300_000, 4), (65_545, 300_005, 5)]);
    }

    #[test]
    fn in_a_user_namespace_only_what_it_maps_is_there() {
        let all = there("         0          0 4294967295\n");
        assert_eq!(within(&[(100_000, 65_536)], &all), [(100_000, 65_536)]);
        let some = there("0 1000 1\n1 100000 65536\n");
        assert_eq!(within(&[(100_000, 65_536)], &some), []);
        assert_eq!(within(&[(1, 70_000)], &some), [(1, 65_536)]);
    }

    /// Text as it might stand in /etc/subuid, and any other.
    fn text() -> impl Strategy<Value = String> {
        let number = prop_oneof![0..200_u32, (u32::MAX - 200)..=u32::MAX, any::<u32>()];
        let owner = prop::sample::select(vec!["me", "you", "1000", ""]);
        let line = prop_oneof![
            4 => (owner, number.clone(), number).prop_map(|(o, f, c)| format!("{o}:{f}:{c}")),
            1 => any::<String>(),
        ];
        prop::collection::vec(line, 0..8).prop_map(|lines| lines.join("\n"))
    }

    /// The own id and ranges near each other, and near both ends.
    fn own() -> impl Strategy<Value = u32> {
        prop_oneof![0..250_u32, (u32::MAX - 250)..u32::MAX]
    }

    fn holds(ranges: &[Range], id: u32) -> bool {
        ranges.iter().any(|(first, count)| id >= *first && id - first < *count)
    }

    proptest! {
        #[test]
        fn whatever_stands_in_the_files_can_be_read(
            text in text(),
            map in any::<String>(),
            uid in any::<u32>(),
        ) {
            let _ = within(&owned(&text, uid, Some("me")), &there(&map));
        }

        #[test]
        fn no_id_is_mapped_twice_and_none_is_lost(text in text(), own in own()) {
            let ranges = owned(&text, 1000, Some("me"));
            let map = map(own, &ranges);
            prop_assert_eq!(map[0], (0, own, 1));
            let (mut inside, mut outside) = (0_u64, Vec::new());
            for (first, out, count) in &map {
                prop_assert_eq!(u64::from(*first), inside, "{:?}", &map);
                inside += u64::from(*count);
                outside.push((u64::from(*out), u64::from(*out) + u64::from(*count)));
            }
            outside.sort_unstable();
            prop_assert!(outside.is_sorted_by(|a, b| a.1 <= b.0), "{:?}", &map);
            let mapped: Vec<Range> = map.iter().map(|(_, out, count)| (*out, *count)).collect();
            let ends = map.iter().map(|(_, out, count)| out.wrapping_add(*count));
            let told = text.split([':', '\n']).filter_map(|number| number.parse::<u32>().ok());
            for id in ends.chain(told).flat_map(|id| [id.wrapping_sub(1), id, id.wrapping_add(1)]) {
                let is_ours = id == own || holds(&ranges, id);
                prop_assert_eq!(holds(&mapped, id), is_ours, "{} of {:?}", id, &map);
            }
        }

        #[test]
        fn what_is_merged_is_what_stands_there(text in text(), id in own()) {
            let ranges = owned(&text, 1000, Some("me"));
            let stands = text.lines().any(|line| {
                let parts: Vec<&str> = line.trim().split(':').collect();
                let [owner, first, count] = parts[..] else { return false };
                let (Ok(first), Ok(count)) = (first.parse::<u64>(), count.parse::<u64>()) else {
                    return false;
                };
                let is_range = first + count <= u64::from(u32::MAX);
                ["me", "1000"].contains(&owner) && is_range && (first..first + count).contains(&id.into())
            });
            prop_assert_eq!(holds(&ranges, id), stands, "{:?}", &ranges);
            prop_assert!(ranges.is_sorted_by(|a, b| a.0 + a.1 < b.0), "{:?}", &ranges);
        }
    }
}
