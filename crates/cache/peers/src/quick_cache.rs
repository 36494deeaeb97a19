//! quick_cache: the engine with the fastest hit; its guard refuses a fill after a remove.

use std::sync::Arc;

use ::quick_cache::sync::Cache;
use anyhow::Result;
use async_trait::async_trait;

use crate::{HitPath, Lookup, Payload, Peer, Reads, Source};

/// `get_or_insert_async` and `remove`.
pub struct QuickCache {
    cache: Cache<String, Payload>,
}

impl QuickCache {
    /// A cache of this many entries.
    pub fn new(capacity: usize) -> Self {
        Self { cache: Cache::new(capacity) }
    }
}

#[async_trait]
impl Peer for QuickCache {
    fn name(&self) -> &str {
        "quick_cache get_or_insert_async"
    }

    fn invalidation(&self) -> &str {
        "remove"
    }

    async fn get_or_load(&self, key: &str, source: Arc<Source>) -> Result<Payload> {
        Ok(self.cache.get_or_insert_async(key, source.load()).await?)
    }

    async fn invalidate(&self, key: &str) -> Result<()> {
        self.cache.remove(key);
        Ok(())
    }
}

#[async_trait]
impl HitPath for QuickCache {
    fn lookups(&self) -> &'static [(&'static str, Lookup)] {
        &[("quick_cache get", Lookup::Get), ("quick_cache get_or_insert_async", Lookup::GetOrLoad)]
    }

    async fn read_all(&self, lookup: Lookup, reads: Reads<'_>) -> Result<usize> {
        let mut seen = 0;
        match lookup {
            Lookup::Get => {
                for key in reads.iter() {
                    seen += self.cache.get(key).map_or(0, |value| value.len());
                }
            }
            Lookup::GetOrLoad => {
                for key in reads.iter() {
                    seen += self.cache.get_or_insert_async(key, reads.source.load()).await?.len();
                }
            }
        }
        Ok(seen)
    }
}
