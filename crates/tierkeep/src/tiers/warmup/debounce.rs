//! Whose turn it is: a burst of changes is one event, and a stream of them has one now and then.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::time::Duration;

use tokio::time::Instant;

/// A stream of changes cannot postpone a turn beyond this many delays.
const LONGEST: u32 = 6;

/// Keys that changed, each once, by the time of their turn: `delay` after the last change, and at most six times that
/// after the first.
#[derive(Debug)]
pub(super) struct Debounce<K> {
    delay: Duration,
    /// Most keys; beyond it the one whose turn is next goes.
    room: usize,
    turns: BTreeMap<Turn, K>,
    waiting: HashMap<K, Waiting>,
    number: u64,
}

/// When, and a number that makes it unique.
type Turn = (Instant, u64);

#[derive(Debug, Clone, Copy)]
struct Waiting {
    first: Instant,
    turn: Turn,
}

impl<K: Copy + Eq + Hash> Debounce<K> {
    pub(super) fn new(delay: Duration, room: usize) -> Self {
        Self { delay, room: room.max(1), turns: BTreeMap::new(), waiting: HashMap::new(), number: 0 }
    }

    /// A key changed. Gives the key that had to go for it, if one had.
    pub(super) fn note(&mut self, key: K, now: Instant) -> Option<K> {
        let first = match self.waiting.get(&key) {
            Some(waiting) => {
                self.turns.remove(&waiting.turn);
                waiting.first
            }
            None => now,
        };
        let displaced =
            if self.turns.len() < self.room { None } else { self.turns.pop_first().map(|(_, displaced)| displaced) };
        if let Some(displaced) = displaced {
            self.waiting.remove(&displaced);
        }
        self.number += 1;
        let turn = ((now + self.delay).min(first + self.delay * LONGEST), self.number);
        self.turns.insert(turn, key);
        self.waiting.insert(key, Waiting { first, turn });
        displaced
    }

    /// When the next turn is.
    pub(super) fn next(&self) -> Option<Instant> {
        self.turns.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes a key whose turn it is.
    pub(super) fn take(&mut self, now: Instant) -> Option<K> {
        let turn = self.turns.first_entry().filter(|turn| turn.key().0 <= now)?;
        let key = turn.remove();
        self.waiting.remove(&key);
        Some(key)
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.turns.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DELAY: Duration = Duration::from_secs(5);

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    /// Notes one key at these times, and takes it whenever its turn is; tells when that was.
    fn turns(delay: Duration, times: impl IntoIterator<Item = u64>) -> Vec<u64> {
        let (began, mut debounce, mut taken) = (Instant::now(), Debounce::new(delay, 10), Vec::new());
        let mut drain = |debounce: &mut Debounce<u8>, until: Option<Instant>| {
            while let Some(next) = debounce.next().filter(|next| until.is_none_or(|until| *next <= until)) {
                debounce.take(next).unwrap();
                taken.push(u64::try_from((next - began).as_millis()).unwrap());
            }
        };
        for time in times {
            drain(&mut debounce, Some(began + ms(time)));
            debounce.note(1, began + ms(time));
        }
        drain(&mut debounce, None);
        taken
    }

    #[test]
    fn a_burst_of_a_thousand_changes_is_one_turn() {
        assert_eq!(turns(DELAY, 0..1000), [5999]);
    }

    #[test]
    fn without_a_delay_each_change_is_a_turn() {
        assert_eq!(turns(Duration::ZERO, (0..1000).map(|n| n * 2)).len(), 1000);
    }

    #[test]
    fn a_stream_of_changes_has_a_turn_every_six_delays() {
        // the turn at 30 s comes before the change of that moment, which begins the next burst
        assert_eq!(turns(DELAY, (0..100).map(|n| n * 1000)), [30_000, 60_000, 90_000, 104_000]);
    }

    #[test]
    fn the_queue_is_bounded_and_the_next_one_goes() {
        let (now, mut debounce) = (Instant::now(), Debounce::new(DELAY, 2));

        let displaced = [debounce.note(1, now), debounce.note(2, now), debounce.note(1, now), debounce.note(3, now)];

        assert_eq!(displaced, [None, None, None, Some(2)]);
        assert_eq!(debounce.len(), 2);
        let mut taken = || debounce.take(now + DELAY);
        assert_eq!([taken(), taken(), taken()], [Some(1), Some(3), None]);
    }

    proptest! {
        /// No turn comes before `delay` is over, nor later than promised, and no change is left without one.
        #[test]
        fn every_change_has_a_turn_in_time(
            changes in prop::collection::vec((0_u8..5, 0_u64..20_000), 1..200),
        ) {
            let began = Instant::now();
            let mut debounce = Debounce::new(DELAY, 10);
            let mut open: HashMap<u8, (Instant, Instant)> = HashMap::new();
            let mut now = began;
            for (key, pause) in changes.into_iter().chain([(9, 200_000)]) {
                let until = now + ms(pause);
                while let Some(next) = debounce.next().filter(|next| *next <= until) {
                    let (first, last) = open.remove(&debounce.take(next).unwrap()).unwrap();
                    prop_assert_eq!(next, (last + DELAY).min(first + DELAY * LONGEST));
                }
                now = until;
                debounce.note(key, now);
                open.entry(key).or_insert((now, now)).1 = now;
                prop_assert_eq!(open.len(), debounce.len());
            }
            prop_assert_eq!(open.len(), 1);
        }
    }
}
