//! foyer: the in-memory cache of the hybrid cache, with its default eviction (S3-FIFO).

use std::sync::Arc;

use ::foyer::{Cache, CacheBuilder};
use anyhow::Result;
use async_trait::async_trait;

use crate::{HitPath, Lookup, Payload, Peer, Reads, Source};

/// `get_or_fetch` and `remove`.
pub struct Foyer {
    cache: Cache<String, Payload>,
}

impl Foyer {
    /// A cache of this many entries.
    pub fn new(capacity: usize) -> Self {
        Self { cache: CacheBuilder::new(capacity).build() }
    }
}

#[async_trait]
impl Peer for Foyer {
    fn name(&self) -> &str {
        "foyer get_or_fetch"
    }

    fn invalidation(&self) -> &str {
        "remove"
    }

    async fn get_or_load(&self, key: &str, source: Arc<Source>) -> Result<Payload> {
        let entry = self.cache.get_or_fetch(key, || async move { source.load().await }).await?;
        Ok(entry.value().clone())
    }

    async fn invalidate(&self, key: &str) -> Result<()> {
        self.cache.remove(key);
        Ok(())
    }
}

#[async_trait]
impl HitPath for Foyer {
    fn lookups(&self) -> &'static [(&'static str, Lookup)] {
        &[("foyer get", Lookup::Get), ("foyer get_or_fetch", Lookup::GetOrLoad)]
    }

    async fn read_all(&self, lookup: Lookup, reads: Reads<'_>) -> Result<usize> {
        let mut seen = 0;
        match lookup {
            Lookup::Get => {
                for key in reads.iter() {
                    seen += self.cache.get(key).map_or(0, |entry| entry.value().len());
                }
            }
            Lookup::GetOrLoad => {
                for key in reads.iter() {
                    let source = Arc::clone(reads.source);
                    let entry = self.cache.get_or_fetch(key, || async move { source.load().await }).await?;
                    seen += entry.value().len();
                }
            }
        }
        Ok(seen)
    }
}
