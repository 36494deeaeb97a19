//! L1: what one process keeps, bounded, and refused the moment any process of the machine has changed it.
//!
//! A [`Store`] knows keys, expiry, tags, bounds and generations, and nothing of Python: values are of any type. Every
//! method takes the lock once and runs no foreign code under it but the closures that are said to be run there; values
//! that leave the store are dropped after the lock is given back, because dropping one may run anything.
//!
//! - [`Store::set`], [`Store::delete`], [`Store::touch`], [`Store::replace`] are *authoritative*: they advance the key's
//!   generation, so that every other process drops what it keeps of the key. What this process keeps of other keys
//!   stays, even where they share a counter with the written one.
//! - [`Store::fill`] and [`Store::add`] with a [`Token`] store what was computed or fetched after the token was taken,
//!   and refuse it if the key or a tag was written since, here or elsewhere. They advance nothing: processes that fill
//!   would empty each other for ever.

mod expiry;
mod freshness;
mod herald;
mod shelf;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tierkeep_generations::{Generations, Slot};

pub use expiry::{Expiry, Moment, NotATime};
use freshness::Freshness;
pub use freshness::Token;
pub use herald::Herald;
use shelf::Shelf;
pub use shelf::{Bounds, Counts, Culling, Weigh};

/// A key as it lies in the store.
pub type Key = Arc<[u8]>;

/// A value on its way into a store.
#[derive(Debug)]
pub struct Offer<V> {
    /// What is kept.
    pub value: V,
    /// Until when.
    pub expires: Expiry,
    /// What it depends on beside its key: slots of [`Store::tag`].
    pub tags: Box<[Slot]>,
}

/// What is known of a kept value beside itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// Changes with every write of the entry; for [`Store::replace`].
    pub sequence: u64,
    /// Until when it is kept.
    pub expires: Expiry,
}

/// Values by key, shared by the threads of one process.
#[derive(Debug)]
pub struct Store<V> {
    inside: Mutex<Inside<V>>,
}

#[derive(Debug)]
struct Inside<V> {
    shelf: Shelf<V>,
    freshness: Freshness,
}

/// What a fill is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// A token of its key and its tags.
    Tags(Token),
    /// A token of its key and any tag.
    AnyTag(Token),
}

impl From<Token> for Since {
    fn from(token: Token) -> Self {
        Since::Tags(token)
    }
}

impl<V: Weigh> Store<V> {
    /// An empty store whose keys have their counters in `table`. Stores of the same `namespace` in other processes that
    /// use the same table are told what this one writes.
    pub fn new(bounds: Bounds, table: Arc<Generations>, namespace: &str) -> Self {
        let inside = Inside { shelf: Shelf::new(bounds), freshness: Freshness::new(table, namespace) };
        Store { inside: Mutex::new(inside) }
    }

    /// Also refuses what was filled before `table` was advanced: changes that other machines tell of.
    pub fn watch(&self, table: Arc<Generations>) {
        self.lock().freshness.watch(table);
    }

    /// Who tells this store of changes elsewhere, without its lock: a thread that Python knows nothing of.
    pub fn herald(&self) -> Herald {
        self.lock().freshness.herald()
    }

    /// The slot of a tag.
    pub fn tag(&self, name: &[u8]) -> Slot {
        self.lock().freshness.tag(name)
    }

    /// Changes the bounds; what is too much leaves with the next write.
    pub fn bound(&self, bounds: Bounds) {
        self.lock().shelf.bound(bounds);
    }

    /// Looks a live value up and hands it to `take`, which runs under the lock: it may copy a handle, nothing more.
    pub fn get<R>(&self, key: &[u8], now: Moment, take: impl FnOnce(&V) -> R) -> Option<R> {
        self.look(key, now, |value, _| take(value))
    }

    /// Whether there is a live value. Counts as no use of it.
    pub fn holds(&self, key: &[u8], now: Moment) -> bool {
        let mut inside = self.lock();
        let Inside { shelf, freshness } = &mut *inside;
        shelf.find(key).is_some_and(|at| {
            let entry = shelf.entry(at);
            !entry.expires.is_over(now) && freshness.stamp(entry.slot, &entry.tags) == entry.stamp
        })
    }

    /// As [`Store::get`], with what else is known of the value.
    pub fn look<R>(&self, key: &[u8], now: Moment, take: impl FnOnce(&V, Facts) -> R) -> Option<R> {
        let mut inside = self.lock();
        let Inside { shelf, freshness } = &mut *inside;
        let Some(at) = shelf.find(key) else {
            shelf.counts.misses += 1;
            return None;
        };
        let entry = shelf.entry(at);
        let is_changed = freshness.stamp(entry.slot, &entry.tags) != entry.stamp;
        let expires = entry.expires;
        if is_changed || expires.is_over(now) {
            shelf.counts.misses += 1;
            if !is_changed && !expires.is_gone(now, shelf.grace) {
                return None;
            }
            let dead = shelf.remove(at);
            drop(inside);
            drop(dead);
            return None;
        }
        let taken = take(&entry.value, Facts { sequence: entry.sequence, expires: entry.expires });
        shelf.counts.hits += 1;
        shelf.refresh(at);
        Some(taken)
    }

    /// Keeps values for `nanos` after their end, for [`Store::look_late`] alone.
    pub fn keep_late(&self, nanos: u64) {
        self.lock().shelf.grace = nanos;
    }

    /// As [`Store::get`], also of a value whose end came no longer ago than [`Store::keep_late`] allows. Never of one
    /// that was changed.
    pub fn look_late<R>(&self, key: &[u8], now: Moment, take: impl FnOnce(&V) -> R) -> Option<R> {
        let mut inside = self.lock();
        let Inside { shelf, freshness } = &mut *inside;
        let entry = shelf.entry(shelf.find(key)?);
        if entry.expires.is_gone(now, shelf.grace) || freshness.stamp(entry.slot, &entry.tags) != entry.stamp {
            return None;
        }
        let taken = take(&entry.value);
        shelf.counts.late += 1;
        Some(taken)
    }

    /// What has to be unchanged when a value that is computed or fetched from now on is filled in.
    pub fn token(&self, key: &[u8], tags: &[Slot]) -> Token {
        let inside = self.lock();
        let slot = inside.freshness.slot(key);
        inside.freshness.token(slot, tags)
    }

    /// As [`Store::token`], for a value whose tags are not known yet: an invalidation of any tag counts.
    pub fn token_of_any_tag(&self, key: &[u8]) -> Token {
        let inside = self.lock();
        let slot = inside.freshness.slot(key);
        inside.freshness.token_of_any_tag(slot)
    }

    /// Stores a value that somebody decided on: every process drops what it kept of the key. A value that is over
    /// already, or heavier than the whole store may be, only removes the old one.
    pub fn set(&self, key: &[u8], offer: Offer<V>, now: Moment) {
        let mut dead = Vec::new();
        let mut inside = self.lock();
        let Inside { shelf, freshness } = &mut *inside;
        let slot = freshness.slot(key);
        // Before the bump, which changes nothing of it: what another process writes from here on refuses the entry.
        let stamp = freshness.stamp(slot, &offer.tags);
        freshness.bump_own(slot);
        shelf.put(key, slot, stamp, offer, now, &mut dead);
        drop(inside);
        drop(dead);
    }

    /// Stores a value that was made after `token` was taken, in place of what is there. False: it was refused, as
    /// something it depends on has been written since.
    pub fn fill(&self, key: &[u8], offer: Offer<V>, since: impl Into<Since>, now: Moment) -> bool {
        let mut dead = Vec::new();
        let mut inside = self.lock();
        let Inside { shelf, freshness } = &mut *inside;
        let slot = freshness.slot(key);
        let admitted = freshness.admit(slot, &offer.tags, since.into());
        if let Some(stamp) = admitted {
            shelf.put(key, slot, stamp, offer, now, &mut dead);
        } else {
            dead.push(offer.value);
        }
        drop(inside);
        drop(dead);
        admitted.is_some()
    }

    /// Stores a value if no live one is there: of any number of threads, one does. With a token, only if nothing it
    /// depends on was written since. True if it is stored, or would have been but is over already.
    pub fn add(&self, key: &[u8], offer: Offer<V>, since: Option<Since>, now: Moment) -> bool {
        let mut dead = Vec::new();
        let mut inside = self.lock();
        let Inside { shelf, freshness } = &mut *inside;
        let slot = freshness.slot(key);
        let admitted = match since {
            None => Some(freshness.stamp(slot, &offer.tags)),
            Some(since) => freshness.admit(slot, &offer.tags, since),
        };
        let admitted = admitted.filter(|_| !shelf.is_live(key, freshness, now));
        if let Some(stamp) = admitted {
            shelf.put(key, slot, stamp, offer, now, &mut dead);
        } else {
            dead.push(offer.value);
        }
        drop(inside);
        drop(dead);
        admitted.is_some()
    }

    /// As [`Store::set`], but only if a live value is there; true if one was.
    pub fn set_if_present(&self, key: &[u8], offer: Offer<V>, now: Moment) -> bool {
        let mut dead = Vec::new();
        let mut inside = self.lock();
        let Inside { shelf, freshness } = &mut *inside;
        let was_live = shelf.is_live(key, freshness, now);
        if was_live {
            let slot = freshness.slot(key);
            let stamp = freshness.stamp(slot, &offer.tags);
            freshness.bump_own(slot);
            shelf.put(key, slot, stamp, offer, now, &mut dead);
        } else {
            dead.push(offer.value);
        }
        drop(inside);
        drop(dead);
        was_live
    }

    /// Moves a live value to another key, in place of what is there, with its expiry and tags. False: there is none.
    /// `handle` makes another handle of the value, under the lock.
    pub fn rename(&self, from: &[u8], to: &[u8], handle: impl FnOnce(&V) -> V, now: Moment) -> bool {
        let mut dead = Vec::new();
        let mut inside = self.lock();
        let Inside { shelf, freshness } = &mut *inside;
        let found = shelf.find(from).filter(|_| shelf.is_live(from, freshness, now));
        if let Some(at) = found {
            let entry = shelf.entry(at);
            let offer = Offer { value: handle(&entry.value), expires: entry.expires, tags: entry.tags.clone() };
            let slot = freshness.slot(to);
            let stamp = freshness.stamp(slot, &offer.tags);
            for key in [from, to] {
                freshness.bump_own(freshness.slot(key));
            }
            dead.push(shelf.remove(at));
            shelf.put(to, slot, stamp, offer, now, &mut dead);
        }
        drop(inside);
        drop(dead);
        found.is_some()
    }

    /// Gives the entry another value if it has not been written since `sequence` was seen; expiry and tags stay.
    pub fn replace(&self, key: &[u8], sequence: u64, value: V, now: Moment) -> bool {
        let mut dead = Vec::new();
        let mut inside = self.lock();
        let Inside { shelf, freshness } = &mut *inside;
        let at =
            shelf.find(key).filter(|at| shelf.entry(*at).sequence == sequence && shelf.is_live(key, freshness, now));
        if let Some(at) = at {
            // The entry keeps its stamp: what this store writes is not in it.
            freshness.bump_own(shelf.entry(at).slot);
            shelf.exchange(at, value, &mut dead);
        } else {
            dead.push(value);
        }
        drop(inside);
        drop(dead);
        at.is_some()
    }

    /// Gives a live entry another expiry. False: there is none.
    pub fn touch(&self, key: &[u8], expires: Expiry, now: Moment) -> bool {
        let mut inside = self.lock();
        let Inside { shelf, freshness } = &mut *inside;
        let slot = freshness.slot(key);
        let Some(at) = shelf.find(key).filter(|_| shelf.is_live(key, freshness, now)) else { return false };
        freshness.bump_own(slot);
        let dead = shelf.postpone(at, expires, now);
        drop(inside);
        drop(dead);
        true
    }

    /// Removes an entry, here and, if others keep one, there. True if a live one was here.
    pub fn delete(&self, key: &[u8], now: Moment) -> bool {
        let mut inside = self.lock();
        let Inside { shelf, freshness } = &mut *inside;
        let was_live = shelf.is_live(key, freshness, now);
        let slot = freshness.slot(key);
        freshness.bump_own(slot);
        let dead = shelf.find(key).map(|at| shelf.remove(at));
        drop(inside);
        drop(dead);
        was_live
    }

    /// Removes only this process's copy, and tells nobody.
    pub fn forget(&self, key: &[u8]) {
        let mut inside = self.lock();
        let dead = inside.shelf.find(key).map(|at| inside.shelf.remove(at));
        drop(inside);
        drop(dead);
    }

    /// The live keys that begin with `prefix` and satisfy `matches`, in order. `matches` runs under the lock.
    pub fn keys(&self, prefix: &[u8], mut matches: impl FnMut(&[u8]) -> bool, now: Moment) -> Vec<Key> {
        let mut inside = self.lock();
        let Inside { shelf, freshness } = &mut *inside;
        let mut keys = shelf.keys_from(prefix);
        keys.retain(|key| matches(key) && shelf.is_live(key, freshness, now));
        keys
    }

    /// Removes the entries whose keys begin with `prefix` and satisfy `matches`, which runs under the lock; gives how
    /// many live ones there were. Costs what begins with the prefix. Fills that are under way are refused, and other
    /// processes drop all of this store's namespace: more than needed, never less.
    pub fn delete_matching(&self, prefix: &[u8], matches: impl FnMut(&[u8]) -> bool, now: Moment) -> usize {
        let keys = self.keys(prefix, matches, now);
        let mut dead = Vec::new();
        let mut inside = self.lock();
        inside.freshness.bump_own_namespace();
        for key in &keys {
            if let Some(at) = inside.shelf.find(key) {
                dead.push(inside.shelf.remove(at));
            }
        }
        drop(inside);
        let removed = dead.len();
        drop(dead);
        removed
    }

    /// Empties this namespace, in every process.
    pub fn clear(&self) {
        let mut inside = self.lock();
        inside.freshness.bump_own_namespace();
        let dead = inside.shelf.take_all();
        drop(inside);
        drop(dead);
    }

    /// Refuses all that has the tag, in every process; fills that are under way, too.
    pub fn invalidate_tags(&self, tags: &[Slot]) {
        self.lock().freshness.bump_tags(tags);
    }

    /// Number of entries, those that are over but not yet removed counted in.
    pub fn len(&self) -> usize {
        self.lock().shelf.len()
    }

    /// True if there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that all entries together are taken to need.
    pub fn weight(&self) -> usize {
        self.lock().shelf.weight()
    }

    /// What happened so far.
    pub fn counts(&self) -> Counts {
        self.lock().shelf.counts
    }

    fn lock(&self) -> MutexGuard<'_, Inside<V>> {
        // A panic under the lock can only come from a closure of the caller's, before anything was changed.
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
