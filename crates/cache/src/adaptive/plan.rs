//! Which keys are refreshed: those whose refresh pays most, as long as all of them together stay within an allowance.

use std::collections::{BTreeMap, HashMap};

use crate::clock::Tick;
use crate::memory::EntryKey;

/// A key that wants to be refreshed.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub(crate) key: EntryKey,
    /// Microseconds of waiting that its reads would cost a second if each of them had to load.
    pub(crate) worth: u64,
    /// The load of refreshing it at this pace, in nanoseconds of work a second.
    pub(crate) load: u64,
    /// When its value will have expired, should nobody read it again.
    pub(crate) until: Tick,
}

/// What became of a wish.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It is tracked; these keys had to give way.
    Tracked(Vec<EntryKey>),
    /// What is tracked pays more.
    PutOff,
}

#[derive(Debug)]
struct Tracked {
    /// Its place in the order.
    place: (u64, u64),
    load: u64,
    until: Tick,
}

/// The tracked keys, and the load of all of them.
#[derive(Debug)]
pub(crate) struct Plan {
    most: usize,
    tracked: HashMap<EntryKey, Tracked, foldhash::fast::RandomState>,
    /// By worth; keys of equal worth in the order in which they came.
    order: BTreeMap<(u64, u64), EntryKey>,
    load: u64,
    came: u64,
    tidied: Tick,
}

/// Keys that are no longer read are looked for no oftener than this, in milliseconds: it costs a walk over all.
const TIDY_EVERY: u64 = 1000;

impl Plan {
    /// Of at most this many keys.
    pub(crate) fn new(most: usize) -> Self {
        let (tracked, order) = (HashMap::default(), BTreeMap::new());
        Self { most, tracked, order, load: 0, came: 0, tidied: Tick::default() }
    }

    /// Tracks a key, or goes on doing so, if its load fits beside that of the keys that pay more. Keys that pay less
    /// give way, the least first.
    pub(crate) fn ask(&mut self, now: Tick, wish: Wish, allowance: u64) -> Answer {
        self.forget(&wish.key);
        if !self.fits(&wish, allowance) && now.as_millis() >= self.tidied.as_millis() + TIDY_EVERY {
            self.tidy(now);
        }
        let mut ways = Vec::new();
        let (mut load, mut keys) = (self.load, self.tracked.len());
        for ((worth, _), key) in &self.order {
            if *worth >= wish.worth || (load.saturating_add(wish.load) <= allowance && keys < self.most) {
                break;
            }
            load -= self.tracked.get(key).map_or(0, |tracked| tracked.load);
            keys -= 1;
            ways.push(key.clone());
        }
        if load.saturating_add(wish.load) > allowance || keys >= self.most {
            return Answer::PutOff;
        }
        ways.iter().for_each(|key| self.forget(key));
        self.came += 1;
        let place = (wish.worth, self.came);
        self.load += wish.load;
        self.order.insert(place, wish.key.clone());
        self.tracked.insert(wish.key, Tracked { place, load: wish.load, until: wish.until });
        Answer::Tracked(ways)
    }

    fn fits(&self, wish: &Wish, allowance: u64) -> bool {
        self.load.saturating_add(wish.load) <= allowance && self.tracked.len() < self.most
    }

    /// Forgets a key.
    pub(crate) fn forget(&mut self, key: &EntryKey) {
        if let Some(tracked) = self.tracked.remove(key) {
            self.order.remove(&tracked.place);
            self.load -= tracked.load;
        }
    }

    /// Forgets keys that nobody has read until their values expired.
    pub(crate) fn tidy(&mut self, now: Tick) {
        self.tidied = now;
        let gone = self.tracked.iter().filter(|(_, tracked)| tracked.until <= now).map(|(key, _)| key.clone());
        let gone: Vec<EntryKey> = gone.collect();
        gone.iter().for_each(|key| self.forget(key));
    }

    /// Keys that are tracked, and their load.
    #[cfg(test)]
    pub(crate) fn size(&self) -> (usize, u64) {
        (self.tracked.len(), self.load)
    }
}
