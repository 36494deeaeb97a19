//! What a cache must be able to do to take part.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use async_trait::async_trait;

use crate::{Payload, Source};

/// A cache in front of a source, used as its documentation advises.
#[async_trait]
pub trait Peer: Send + Sync {
    /// The library and its call that loads.
    fn name(&self) -> &str;

    /// Its call that invalidates.
    fn invalidation(&self) -> &str;

    /// Answers from the cache, else loads from `source` and fills the cache.
    ///
    /// # Errors
    /// The source failed, or the cache did.
    async fn get_or_load(&self, key: &str, source: Arc<Source>) -> Result<Payload>;

    /// Makes the cache forget `key`, by the library's own means, and waits as long as the library does.
    ///
    /// # Errors
    /// The cache failed.
    async fn invalidate(&self, key: &str) -> Result<()>;

    /// What the level below the memory of this process holds; `None` if there is no such level.
    ///
    /// # Errors
    /// The cache failed.
    async fn kept_below(&self, _key: &str) -> Result<Option<Kept>> {
        Ok(None)
    }
}

/// What a second level holds under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Nothing.
    Nothing,
    /// A value, and the time it has left if it has a limit.
    Value(Payload, Option<Duration>),
}

/// A peer whose hits are measured.
///
/// The loop is inside the library's module so that the compiler sees it together with the library's call.
#[async_trait]
pub trait HitPath: Peer {
    /// The calls that read, by their names.
    fn lookups(&self) -> &'static [(&'static str, Lookup)];

    /// Waits until what was stored is in the places where it will stay.
    async fn settle(&self) {}

    /// Performs the reads with this call; the sum of the lengths of the values found.
    ///
    /// # Errors
    /// The cache failed.
    async fn read_all(&self, lookup: Lookup, reads: Reads<'_>) -> Result<usize>;
}

/// A call that reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// Answers what is there, and never loads.
    Get,
    /// Would load what is not there.
    GetOrLoad,
}

/// A sequence of keys to read.
#[derive(Clone, Copy, Debug)]
pub struct Reads<'a> {
    /// All keys.
    pub keys: &'a [String],
    /// Places in `keys`, in the order of the reads.
    pub order: &'a [u32],
    /// What a load would ask; it is never asked if all keys are present.
    pub source: &'a Arc<Source>,
}

impl<'a> Reads<'a> {
    /// The keys in the order of the reads.
    ///
    /// Whole `String`s, for libraries that look up nothing else than their type of keys.
    pub fn iter(self) -> impl Iterator<Item = &'a String> {
        self.order.iter().map(move |&place| &self.keys[place as usize])
    }
}
