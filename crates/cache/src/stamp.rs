//! Random stamps: what an invalidation of a tag changes, and no clock is needed to compare.

use crate::tag::TagId;

/// A tag's pair of random numbers. A hard invalidation ends both, a soft one changes `soft`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stamps {
    /// Differs: an entry that carries the old one must not be seen again.
    pub hard: u64,
    /// Differs while `hard` is equal: an entry that carries the old one may be served while one load replaces it.
    pub soft: u64,
}

/// How an invalidation treats the old value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Severity {
    /// The old value is never served again.
    Hard,
    /// The old value may be served, marked stale, while one load replaces it.
    Soft,
}

impl Stamps {
    /// What an entry with these stamps is worth while `current` are the tag's stamps.
    pub fn standing(self, current: Self) -> Standing {
        if self.hard != current.hard {
            Standing::Void
        } else if self.soft != current.soft {
            Standing::Stale
        } else {
            Standing::Current
        }
    }
}

/// What stamps or generations say of an entry, from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// Nothing it depends on was invalidated since its load began.
    Current,
    /// Something was invalidated softly.
    Stale,
    /// Something was invalidated hard: as good as absent.
    Void,
}

/// A tag and the stamps it had when a load began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stamped {
    /// The tag.
    pub tag: TagId,
    /// Its stamps before the load read anything.
    pub stamps: Stamps,
}
