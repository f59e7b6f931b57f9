//! Wrong passwords, counted: so that guessing is slow, and nobody has to be kept waiting for it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The most wrong ones from one address in a second. After them none is looked at, right or wrong.
const MOST: u32 = 10;

/// The most addresses that are told apart. More count as one.
const ADDRESSES: usize = 1024;

/// All of them.
#[derive(Default)]
pub(super) struct Guesses(Mutex<Wrong>);

/// Those of one second.
#[derive(Default)]
struct Wrong {
    since: Option<Instant>,
    from: HashMap<Option<IpAddr>, u32>,
}

impl Guesses {
    /// Whether nothing more is looked at from there for now.
    pub(super) fn too_many(&self, from: IpAddr) -> bool {
        self.add(from, 0) >= MOST
    }

    /// Counts a wrong one.
    pub(super) fn count(&self, from: IpAddr) {
        self.add(from, 1);
    }

    fn add(&self, from: IpAddr, more: u32) -> u32 {
        let mut wrong = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if wrong.since.is_none_or(|since| since.elapsed() >= Duration::from_secs(1)) {
            *wrong = Wrong { since: Some(Instant::now()), from: HashMap::new() };
        }
        let told_apart = wrong.from.len() < ADDRESSES || wrong.from.contains_key(&Some(from));
        let known = wrong.from.entry(told_apart.then_some(from)).or_default();
        *known += more;
        *known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_guesses_keeps_only_their_own_address_from_trying() {
        let (guesses, [one, other]) = (Guesses::default(), [[127, 0, 0, 1], [127, 0, 0, 2]]);
        let begun = Instant::now();
        for _ in 0..MOST {
            guesses.count(one.into());
        }
        let (kept, free) = (guesses.too_many(one.into()), guesses.too_many(other.into()));
        assert!(begun.elapsed() > Duration::from_millis(900) || (kept && !free));
        std::thread::sleep(Duration::from_millis(1100));
        assert!(!guesses.too_many(one.into()));
    }
}
