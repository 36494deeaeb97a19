//! The entries of a store: found by key, kept in order of last use, bounded.

use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;

use tierkeep_generations::Slot;

use super::freshness::{Freshness, Stamp};
use super::{Expiry, Key, Moment, Offer};

/// No entry.
const NONE: u32 = u32::MAX;

/// Bytes of an entry without its key and value: measured at 150 to 170 with the table's share.
const ENTRY_BYTES: usize = 168;

/// Entries that a write looks at to see if they are over. Two a write keep up with any rate of writes.
const SWEPT_BY_A_WRITE: usize = 2;

/// Bytes that a value is taken to need.
pub trait Weigh {
    /// About how many, 0 for what needs none of its own.
    fn weigh(&self) -> usize;
}

/// How many entries leave when there are as many as may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Culling {
    /// A new key finds fewer entries than this, or some leave first.
    pub entries: usize,
    /// One of this many leaves, those not used for longest; 0: all do.
    pub frequency: usize,
}

/// How much a store may keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of all entries together; those not used for longest leave.
    pub bytes: usize,
    /// Number of entries, if that is bounded, too.
    pub culling: Option<Culling>,
}

/// What happened in a store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Lookups that found a live value.
    pub hits: u64,
    /// Lookups that did not.
    pub misses: u64,
    /// Entries that left because of the bounds.
    pub evictions: u64,
    /// Lookups of [`Store::look_late`](super::Store::look_late) that found a value.
    pub late: u64,
}

#[derive(Debug)]
pub(super) struct Entry<V> {
    pub(super) value: V,
    pub(super) expires: Expiry,
    pub(super) stamp: Stamp,
    pub(super) slot: Slot,
    pub(super) tags: Box<[Slot]>,
    pub(super) sequence: u64,
    key: Key,
    weight: usize,
    /// Used next before this one; `NONE` for the entry used last.
    newer: u32,
    /// Used next after this one; `NONE` for the entry not used for longest.
    older: u32,
}

#[derive(Debug)]
pub(super) struct Shelf<V> {
    places: HashMap<Key, u32, foldhash::fast::RandomState>,
    /// Entries, with holes that `free` names.
    entries: Vec<Option<Entry<V>>>,
    free: Vec<u32>,
    /// Keys in order, from the first time they are asked for on: most stores never are.
    ordered: Option<BTreeSet<Key>>,
    newest: u32,
    oldest: u32,
    weight: usize,
    bounds: Bounds,
    /// Of the last write.
    sequence: u64,
    /// The entry that the next write looks at.
    swept: usize,
    /// Nanoseconds for which an entry stays after its end.
    pub(super) grace: u64,
    pub(super) counts: Counts,
}

impl<V: Weigh> Shelf<V> {
    pub(super) fn new(bounds: Bounds) -> Self {
        Shelf {
            places: HashMap::default(),
            entries: Vec::new(),
            free: Vec::new(),
            ordered: None,
            newest: NONE,
            oldest: NONE,
            weight: 0,
            bounds,
            sequence: 0,
            swept: 0,
            grace: 0,
            counts: Counts::default(),
        }
    }

    pub(super) fn bound(&mut self, bounds: Bounds) {
        self.bounds = bounds;
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn weight(&self) -> usize {
        self.weight
    }

    pub(super) fn find(&self, key: &[u8]) -> Option<u32> {
        self.places.get(key).copied()
    }

    pub(super) fn entry(&self, at: u32) -> &Entry<V> {
        self.entries[at as usize].as_ref().expect("a place in `places` or in the order of use has an entry")
    }

    fn entry_mut(&mut self, at: u32) -> &mut Entry<V> {
        self.entries[at as usize].as_mut().expect("a place in `places` or in the order of use has an entry")
    }

    pub(super) fn is_live(&self, key: &[u8], freshness: &Freshness, now: Moment) -> bool {
        self.find(key).is_some_and(|at| {
            let entry = self.entry(at);
            !entry.expires.is_over(now) && freshness.stamp(entry.slot, &entry.tags) == entry.stamp
        })
    }

    /// Puts a value in place of what the key has, and makes room for it.
    pub(super) fn put(
        &mut self,
        key: &[u8],
        slot: Slot,
        stamp: Stamp,
        offer: Offer<V>,
        now: Moment,
        dead: &mut Vec<V>,
    ) {
        let weight = self.weight_of(key, &offer.value, &offer.tags);
        let found = self.find(key);
        if offer.expires.is_over(now) || weight > self.bounds.bytes {
            dead.extend(found.map(|at| self.remove(at)));
            dead.push(offer.value);
            return;
        }
        self.sequence += 1;
        let sequence = self.sequence;
        let Offer { value, expires, tags } = offer;
        if let Some(at) = found {
            let entry = self.entry_mut(at);
            dead.push(std::mem::replace(&mut entry.value, value));
            let before = std::mem::replace(&mut entry.weight, weight);
            (entry.expires, entry.stamp, entry.tags, entry.sequence) = (expires, stamp, tags, sequence);
            self.weight = self.weight - before + weight;
            self.refresh(at);
        } else {
            self.cull(dead);
            self.sweep(now, dead);
            let key = Key::from(key);
            let entry = Entry {
                value,
                expires,
                stamp,
                slot,
                tags,
                sequence,
                key: Key::clone(&key),
                weight,
                newer: NONE,
                older: NONE,
            };
            let at = self.place(entry);
            self.weight += weight;
            if let Some(ordered) = &mut self.ordered {
                ordered.insert(Key::clone(&key));
            }
            self.places.insert(key, at);
            self.link(at);
        }
        while self.weight > self.bounds.bytes {
            self.counts.evictions += 1;
            dead.push(self.remove(self.oldest));
        }
    }

    /// Gives an entry another value, and all else as it was.
    pub(super) fn exchange(&mut self, at: u32, value: V, dead: &mut Vec<V>) {
        let weight = self.weight_of(&self.entry(at).key, &value, &self.entry(at).tags);
        self.sequence += 1;
        let sequence = self.sequence;
        let entry = self.entry_mut(at);
        dead.push(std::mem::replace(&mut entry.value, value));
        let before = std::mem::replace(&mut entry.weight, weight);
        entry.sequence = sequence;
        self.weight = self.weight - before + weight;
        self.refresh(at);
    }

    /// Gives an entry another end; a value that is over by it is given back.
    pub(super) fn postpone(&mut self, at: u32, expires: Expiry, now: Moment) -> Option<V> {
        if expires.is_over(now) {
            return Some(self.remove(at));
        }
        self.sequence += 1;
        let sequence = self.sequence;
        let entry = self.entry_mut(at);
        (entry.expires, entry.sequence) = (expires, sequence);
        None
    }

    pub(super) fn remove(&mut self, at: u32) -> V {
        self.unlink(at);
        let entry = self.entries[at as usize].take().expect("a place in `places` has an entry");
        self.free.push(at);
        self.places.remove(&entry.key);
        if let Some(ordered) = &mut self.ordered {
            ordered.remove(&entry.key);
        }
        self.weight -= entry.weight;
        entry.value
    }

    /// Empties the shelf and gives what was on it, to be dropped elsewhere.
    pub(super) fn take_all(&mut self) -> Shelf<V> {
        let mut empty = Shelf::new(self.bounds);
        (empty.sequence, empty.counts, empty.grace) = (self.sequence, self.counts, self.grace);
        std::mem::replace(self, empty)
    }

    /// Marks the entry as the one used last.
    pub(super) fn refresh(&mut self, at: u32) {
        if self.newest != at {
            self.unlink(at);
            self.link(at);
        }
    }

    /// Keys that begin with `prefix`, in order.
    pub(super) fn keys_from(&mut self, prefix: &[u8]) -> Vec<Key> {
        let ordered = self.ordered.get_or_insert_with(|| self.places.keys().cloned().collect());
        let from = (Bound::Included(prefix), Bound::Unbounded);
        ordered.range::<[u8], _>(from).take_while(|key| key.starts_with(prefix)).cloned().collect()
    }

    fn weight_of(&self, key: &[u8], value: &V, tags: &[Slot]) -> usize {
        ENTRY_BYTES + key.len() + size_of_val(tags) + value.weigh()
    }

    /// Makes room by number, before a new key comes in.
    fn cull(&mut self, dead: &mut Vec<V>) {
        let Some(culling) = self.bounds.culling else { return };
        if self.len() < culling.entries {
            return;
        }
        let leaving = self.len().checked_div(culling.frequency).unwrap_or(self.len());
        for _ in 0..leaving {
            self.counts.evictions += 1;
            dead.push(self.remove(self.oldest));
        }
    }

    /// Removes what is over among the next entries, so that it does not wait for somebody to ask for it.
    fn sweep(&mut self, now: Moment, dead: &mut Vec<V>) {
        for _ in 0..SWEPT_BY_A_WRITE.min(self.entries.len()) {
            self.swept = (self.swept + 1) % self.entries.len();
            if self.entries[self.swept].as_ref().is_some_and(|entry| entry.expires.is_gone(now, self.grace)) {
                #[expect(clippy::cast_possible_truncation, reason = "`place` counts in u32")]
                dead.push(self.remove(self.swept as u32));
            }
        }
    }

    fn place(&mut self, entry: Entry<V>) -> u32 {
        if let Some(at) = self.free.pop() {
            self.entries[at as usize] = Some(entry);
            return at;
        }
        let at =
            u32::try_from(self.entries.len()).ok().filter(|at| *at != NONE).expect("entries fit the bytes allowed");
        self.entries.push(Some(entry));
        at
    }

    fn link(&mut self, at: u32) {
        let before = std::mem::replace(&mut self.newest, at);
        let entry = self.entry_mut(at);
        (entry.newer, entry.older) = (NONE, before);
        if before == NONE {
            self.oldest = at;
        } else {
            self.entry_mut(before).newer = at;
        }
    }

    fn unlink(&mut self, at: u32) {
        let (newer, older) = (self.entry(at).newer, self.entry(at).older);
        if newer == NONE {
            self.newest = older;
        } else {
            self.entry_mut(newer).older = older;
        }
        if older == NONE {
            self.oldest = newer;
        } else {
            self.entry_mut(older).newer = newer;
        }
    }
}
