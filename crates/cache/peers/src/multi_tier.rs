//! multi-tier-cache: moka in front of Redis, with its announcements to other nodes switched on.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use async_trait::async_trait;
use multi_tier_cache::{
    Bytes, CacheError, CacheManager, CacheStrategy, InvalidationConfig, L1Cache, L2Cache, L2CacheBackend,
    MokaCacheConfig,
};
use tierkeep_testkit::RedisServer;

use crate::{HitPath, Kept, Lookup, Payload, Peer, Reads, Source};

/// Its own preset for short-lived values: five minutes.
const STRATEGY: CacheStrategy = CacheStrategy::ShortTerm;

/// Longer than any measurement: nothing may end while it is read.
const L1_LIFE: Duration = Duration::from_secs(3600);

/// `get_or_compute_with` and `invalidate`.
pub struct MultiTier {
    manager: CacheManager,
    redis: Arc<L2Cache>,
}

impl MultiTier {
    /// A cache of this many entries in memory, and of all in `redis`.
    ///
    /// # Errors
    /// The server does not answer.
    pub async fn connect(capacity: u64, redis: &RedisServer) -> Result<Self> {
        let memory = MokaCacheConfig { max_capacity: capacity, time_to_live: L1_LIFE, time_to_idle: L1_LIFE };
        let l1 = Arc::new(L1Cache::new(memory)?);
        let l2 = Arc::new(L2Cache::with_url(&redis.url()).await?);
        let config = InvalidationConfig::default();
        let manager = CacheManager::new_with_invalidation(l1, Arc::clone(&l2), &redis.url(), config).await?;
        Ok(Self { manager, redis: l2 })
    }

    async fn compute(&self, key: &str, source: &Source) -> Result<Bytes, CacheError> {
        let load = || async {
            let loaded = source.load().await.map_err(|error| CacheError::BackendError(error.to_string()))?;
            Ok(Bytes::copy_from_slice(loaded.as_bytes()))
        };
        self.manager.get_or_compute_with(key, STRATEGY, load).await
    }
}

#[async_trait]
impl Peer for MultiTier {
    fn name(&self) -> &str {
        "multi-tier-cache get_or_compute_with"
    }

    fn invalidation(&self) -> &str {
        "invalidate"
    }

    async fn get_or_load(&self, key: &str, source: Arc<Source>) -> Result<Payload> {
        payload(&self.compute(key, &source).await?)
    }

    async fn invalidate(&self, key: &str) -> Result<()> {
        Ok(self.manager.invalidate(key).await?)
    }

    async fn kept_below(&self, key: &str) -> Result<Option<Kept>> {
        Ok(Some(match self.redis.get_with_ttl(key).await {
            Some((value, left)) => Kept::Value(payload(&value)?, left),
            None => Kept::Nothing,
        }))
    }
}

#[async_trait]
impl HitPath for MultiTier {
    fn lookups(&self) -> &'static [(&'static str, Lookup)] {
        &[("multi-tier-cache get", Lookup::Get), ("multi-tier-cache get_or_compute_with", Lookup::GetOrLoad)]
    }

    async fn read_all(&self, lookup: Lookup, reads: Reads<'_>) -> Result<usize> {
        let mut seen = 0;
        match lookup {
            Lookup::Get => {
                for key in reads.iter() {
                    seen += self.manager.get(key).await?.map_or(0, |value| value.len());
                }
            }
            Lookup::GetOrLoad => {
                for key in reads.iter() {
                    seen += self.compute(key, reads.source).await?.len();
                }
            }
        }
        Ok(seen)
    }
}

fn payload(bytes: &[u8]) -> Result<Payload> {
    Ok(std::str::from_utf8(bytes)?.into())
}
