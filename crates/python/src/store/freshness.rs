//! Whether what is kept is still what was written.
//!
//! Counters only grow, so a sum of them changes if and only if one of them does: an entry keeps one number, however many
//! tags it has. From the counters that this store advanced itself for its own keys, its own share is taken off before
//! an entry is compared: only what *others* wrote refuses it. Two keys may share a counter, and without this a process
//! that writes a hundred thousand keys would lose thousands of them to its own writes. Tokens of fills are compared
//! whole, because there the writes of this process count, too.
//!
//! All of this is read and written under the store's lock; only the table itself is shared.

use std::sync::Arc;

use tierkeep_generations::{Generations, Namespace, Slot};

use super::Since;
use super::herald::Herald;

/// What a value that is being made depends on, as it was before its making began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token(u64);

impl Token {
    /// As a number; of use only to tell tokens apart.
    pub fn number(self) -> u64 {
        self.0
    }
}

/// What others have written of an entry's key and tags, in one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp(u64);

#[derive(Debug)]
pub(super) struct Freshness {
    table: Arc<Generations>,
    /// Changes on other machines, advanced by whoever listens to them.
    watched: Option<Arc<Generations>>,
    keys: Namespace,
    tags: Namespace,
    /// Counter of the whole namespace.
    all: Slot,
    /// Counter of all tags together: advanced with each of them.
    any_tag: Slot,
    /// How often this store itself advanced each counter for a key of its own or for its namespace.
    own: Vec<u32>,
}

impl Freshness {
    pub(super) fn new(table: Arc<Generations>, namespace: &str) -> Self {
        let keys = Namespace::new(namespace);
        let own = vec![0; table.slots()];
        let all = table.slot(keys.inner("all"), b"");
        let any_tag = table.slot(keys.inner("any tag"), b"");
        Freshness { watched: None, keys, tags: keys.inner("tags"), all, any_tag, own, table }
    }

    pub(super) fn watch(&mut self, table: Arc<Generations>) {
        self.watched = Some(table);
    }

    pub(super) fn herald(&mut self) -> Herald {
        let herald = Herald::new(Arc::clone(&self.table), self.keys);
        self.watched = Some(herald.watched());
        herald
    }

    pub(super) fn slot(&self, key: &[u8]) -> Slot {
        self.table.slot(self.keys, key)
    }

    pub(super) fn tag(&self, name: &[u8]) -> Slot {
        self.table.slot(self.tags, name)
    }

    pub(super) fn token(&self, slot: Slot, tags: &[Slot]) -> Token {
        let mut sum = self.table.epoch();
        for slot in [self.all, slot].iter().chain(tags) {
            sum = sum.wrapping_add(self.table.read(*slot));
        }
        if let Some(watched) = &self.watched {
            sum = sum.wrapping_add(watched.epoch()).wrapping_add(watched.read(slot));
        }
        Token(sum)
    }

    /// As a token with every tag there is.
    pub(super) fn token_of_any_tag(&self, slot: Slot) -> Token {
        self.token(slot, &[self.any_tag])
    }

    pub(super) fn stamp(&self, slot: Slot, tags: &[Slot]) -> Stamp {
        self.without_own(slot, self.token(slot, tags))
    }

    /// What this store wrote itself for the key and the namespace is taken off.
    fn without_own(&self, slot: Slot, token: Token) -> Stamp {
        let own = u64::from(self.own[self.all.index()]).wrapping_add(u64::from(self.own[slot.index()]));
        Stamp(token.0.wrapping_sub(own))
    }

    /// The stamp of a fill, if nothing that it depends on was written since. What another process writes between the
    /// comparison and the storing shows in the stamp: it is of the counters that were compared, or older.
    pub(super) fn admit(&self, slot: Slot, tags: &[Slot], since: Since) -> Option<Stamp> {
        match since {
            Since::Tags(token) => {
                let now = self.token(slot, tags);
                (now == token).then(|| self.without_own(slot, now))
            }
            Since::AnyTag(token) => {
                // In this order: the counter of any tag is advanced before that of the tag.
                let stamp = self.stamp(slot, tags);
                (self.token_of_any_tag(slot) == token).then_some(stamp)
            }
        }
    }

    /// Advances the counter of a key that this store writes.
    pub(super) fn bump_own(&mut self, slot: Slot) {
        self.table.bump(slot);
        let own = &mut self.own[slot.index()];
        *own = own.wrapping_add(1);
    }

    /// Advances the counter of the namespace: for all other processes, and for fills under way in this one.
    pub(super) fn bump_own_namespace(&mut self) {
        self.bump_own(self.all);
    }

    /// Advances the counters of tags, for everybody, this store included.
    pub(super) fn bump_tags(&self, tags: &[Slot]) {
        if !tags.is_empty() {
            // First: see `admit`.
            self.table.bump(self.any_tag);
        }
        for tag in tags {
            self.table.bump(*tag);
        }
    }
}
