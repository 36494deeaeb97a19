//! A value of a batch, and what the caller wants of it.

use std::sync::Arc;

use crate::clock::Tick;
use crate::engine::{Served, Source};
use crate::key::CacheKey;
use crate::memory::{AnyValue, Entry};
use crate::view::{Found, View, value_of};
use crate::waits::Waits;

/// A value of a batch, before it is known what the caller wants of it.
pub(super) struct Piece<'a> {
    pub(super) value: Option<&'a AnyValue>,
    pub(super) source: Source,
    pub(super) stale: bool,
    pub(super) loaded_at: Tick,
}

impl<'a> Piece<'a> {
    pub(super) fn of(served: &'a Served) -> Self {
        Self { value: served.value.as_ref(), source: served.source, stale: served.stale, loaded_at: served.loaded_at }
    }

    pub(super) fn in_memory(entry: &'a Entry) -> Self {
        Self { value: entry.value.as_ref(), source: Source::Memory, stale: false, loaded_at: entry.loaded_at }
    }
}

/// What a caller wants of a value; `None` where there is none.
pub(super) type Pick<K, V, T> = fn(&View<K, V>, Piece<'_>) -> Option<T>;

impl<K: CacheKey, V: Send + Sync + 'static> View<K, V> {
    pub(super) fn value_alone(&self, piece: Piece<'_>) -> Option<Arc<V>> {
        value_of(piece.value)
    }

    pub(super) fn value_and_origin(&self, piece: Piece<'_>) -> Option<Found<V>> {
        let value = Some(value_of(piece.value)?);
        let age = self.engine.clock.now().since(piece.loaded_at);
        Some(Found { value, source: piece.source, stale: piece.stale, age, waits: Waits::default() })
    }
}
