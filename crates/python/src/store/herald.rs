//! Tells a store of changes that others made, from a thread that must not take the store's lock: only atomics are
//! advanced, so a fork finds nobody inside.

use std::sync::Arc;

use tierkeep_generations::{Generations, Namespace, Slot, SlotCount};

/// Tells one store of changes elsewhere; made by [`Store::herald`](super::Store::herald).
#[derive(Debug, Clone)]
pub struct Herald {
    table: Arc<Generations>,
    /// Changes of keys, in this process only: each process hears of them by itself.
    watched: Arc<Generations>,
    keys: Namespace,
    tags: Namespace,
    any_tag: Slot,
}

impl Herald {
    pub(super) fn new(table: Arc<Generations>, keys: Namespace) -> Self {
        // The same number of counters, so that a name has the same slot in both.
        let slots = SlotCount::new(table.slots().trailing_zeros()).unwrap_or(SlotCount::DEFAULT);
        let watched = Arc::new(Generations::private(slots));
        let any_tag = table.slot(keys.inner("any tag"), b"");
        Herald { watched, keys, tags: keys.inner("tags"), any_tag, table }
    }

    pub(super) fn watched(&self) -> Arc<Generations> {
        Arc::clone(&self.watched)
    }

    /// A key was written, by whomever.
    pub fn key_changed(&self, key: &[u8]) {
        self.watched.bump(self.table.slot(self.keys, key));
    }

    /// Tags were invalidated. The counter of all of them is advanced first: who has seen one of the others, and then
    /// looks at this one, sees it advanced.
    pub fn tags_changed<T: AsRef<[u8]>>(&self, tags: &[T]) {
        if !tags.is_empty() {
            self.table.bump(self.any_tag);
        }
        for tag in tags {
            self.table.bump(self.table.slot(self.tags, tag.as_ref()));
        }
    }

    /// Anything may have changed.
    pub fn everything_changed(&self) {
        self.watched.advance_epoch();
    }

    /// How often any tag was invalidated.
    pub fn any_tag(&self) -> u64 {
        self.table.read(self.any_tag)
    }
}
