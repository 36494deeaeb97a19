//! What an `#[invalidates]` function, or the companion of a `#[cached]` one, has the cache forget.

use crate::bus::Target;
use crate::cache::Cache;
use crate::call::CallKey;
use crate::counters::Count;
use crate::engine::itself;
use crate::invalidation::{Order, Receipt};
use crate::key::{CacheKey, MAX_KEY_BYTES};
use crate::remote::RemoteKey;
use crate::stamp::Severity;
use crate::tag::Tag;

/// Keys and tags to forget, named before a function runs: it may consume the arguments that they are made of.
#[doc(hidden)]
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Forget {
    keys: Vec<(&'static str, CallKey)>,
    tags: Vec<Tag>,
}

impl Forget {
    pub fn new() -> Self {
        Self::default()
    }

    /// The value under this key of the view with this name.
    pub fn key(mut self, view: &'static str, key: CallKey) -> Self {
        self.keys.push((view, key));
        self
    }

    /// Everything with this tag.
    pub fn tag(mut self, kind: &str, value: impl CacheKey) -> Self {
        self.tags.push(Tag::of(kind, value));
        self
    }

    /// Has it forgotten. The views need not be open on this node: what is not open here is in no memory here, and the
    /// remote tier and the other nodes know views by name.
    pub async fn from(self, cache: &Cache) -> Receipt {
        let mut targets = Vec::with_capacity(self.keys.len() + self.tags.len());
        for (name, key) in &self.keys {
            let view = cache.engine.view(name);
            let bytes = key.as_bytes();
            if bytes.len() > MAX_KEY_BYTES {
                // No tier can hold it.
                view.iter().for_each(|view| view.count(Count::KeyTooLong));
                continue;
            }
            targets.push(Target::Key(RemoteKey::new(name, bytes)));
            if view.is_some_and(|view| view.tracked) {
                targets.push(Target::Tag(itself(name, bytes).id()));
            }
        }
        targets.extend(self.tags.iter().map(|tag| Target::Tag(tag.id())));
        cache.engine.invalidate(Order { targets, severity: Severity::Hard, hold: None }).await
    }

    /// As [`from`](Self::from), for a caller that has no place for a receipt: the cache repeats what is pending until
    /// it is acknowledged, and the log says that it is late.
    pub async fn from_and_log(self, cache: &Cache, function: &'static str) {
        let receipt = self.from(cache).await;
        if !receipt.is_complete() {
            tracing::warn!(function, %receipt, "what it changed is not forgotten everywhere yet");
        }
    }
}
