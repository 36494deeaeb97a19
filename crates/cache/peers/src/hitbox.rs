//! hitbox: `#[cached]` functions over its moka backend, with its guard against herds switched on.
//!
//! It has no call to invalidate. Its backend can remove a key, and the key of a `#[cached]` function is public
//! in its parts: the function's name, then its arguments.

use std::sync::Arc;
use std::time::Duration;

use ::hitbox::CacheKey;
use ::hitbox::backend::Backend;
use ::hitbox::concurrency::BroadcastConcurrencyManager;
use ::hitbox::policy::{ConcurrencyLimit, PolicyConfig};
use anyhow::{Result, anyhow};
use async_trait::async_trait;
use hitbox_backend::format::BincodeFormat;
use hitbox_fn::prelude::cached;
use hitbox_moka::MokaBackend;

use crate::{HitPath, LoadError, Lookup, Payload, Peer, Reads, Source};

/// Longer than any measurement.
const TTL: Duration = Duration::from_secs(3600);

/// What the cached function answers; it is stored in encoded form.
type Answer = Result<String, LoadError>;

type Cache = hitbox_fn::Cache<MokaBackend<BincodeFormat>, BroadcastConcurrencyManager<Answer>>;

#[cached(skip(source))]
async fn page(source: Arc<Source>, _key: String) -> Answer {
    source.load().await.map(|value| value.as_ref().to_owned())
}

/// A `#[cached]` function and `Backend::remove`.
pub struct Hitbox {
    cache: Cache,
}

impl Hitbox {
    /// A cache of this many entries.
    pub fn new(capacity: u64) -> Self {
        let one_at_a_time = ConcurrencyLimit::new(1).expect("one is within the limits");
        let cache = hitbox_fn::Cache::builder()
            .backend(MokaBackend::builder().max_entries(capacity).value_format(BincodeFormat).build())
            .policy(PolicyConfig::builder().ttl(TTL).concurrency(one_at_a_time).build())
            .concurrency_manager(BroadcastConcurrencyManager::new())
            .build();
        Self { cache }
    }
}

#[async_trait]
impl Peer for Hitbox {
    fn name(&self) -> &str {
        "hitbox #[cached]"
    }

    fn invalidation(&self) -> &str {
        "Backend::remove"
    }

    async fn get_or_load(&self, key: &str, source: Arc<Source>) -> Result<Payload> {
        Ok(page(source, key.to_owned()).cache(&self.cache).await?.into())
    }

    async fn invalidate(&self, key: &str) -> Result<()> {
        let key = CacheKey::from_slice(&[("fn", Some("page")), ("_key", Some(key))]);
        // Its error is not `Sync`, which anyhow asks for.
        self.cache.backend().remove(&key).await.map_err(|error| anyhow!("hitbox: {error}"))?;
        Ok(())
    }
}

#[async_trait]
impl HitPath for Hitbox {
    fn lookups(&self) -> &'static [(&'static str, Lookup)] {
        &[("hitbox #[cached]", Lookup::GetOrLoad)]
    }

    async fn settle(&self) {
        self.cache.backend().cache().run_pending_tasks().await;
    }

    async fn read_all(&self, _lookup: Lookup, reads: Reads<'_>) -> Result<usize> {
        let mut seen = 0;
        for key in reads.iter() {
            seen += page(Arc::clone(reads.source), key.to_owned()).cache(&self.cache).await?.len();
        }
        Ok(seen)
    }
}
