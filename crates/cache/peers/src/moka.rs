//! moka: the most used cache of the language, in its asynchronous form.

use std::sync::Arc;

use ::moka::future::Cache;
use ::moka::ops::compute::{CompResult, Op};
use anyhow::{Result, anyhow};
use async_trait::async_trait;

use crate::{HitPath, LoadError, Lookup, Payload, Peer, Reads, Source};

/// A way to load and to invalidate with moka.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// `get_with` and `invalidate`; only for sources that answer, because the call has no error.
    GetWith,
    /// `get_with` and `invalidate_all`; only for sources that answer.
    GetWithInvalidateAll,
    /// `try_get_with` and `invalidate`.
    TryGetWith,
    /// `entry().and_try_compute_with` for both, which puts load and removal in one queue per key.
    Compute,
}

/// A moka cache that is used in one way.
pub struct Moka {
    cache: Cache<String, Payload>,
    way: Way,
}

impl Moka {
    /// A cache of this many entries.
    pub fn new(capacity: u64, way: Way) -> Self {
        Self { cache: Cache::new(capacity), way }
    }

    /// Loads under the key's lock, unless somebody who held it before has.
    async fn load_in_turn(&self, key: &str, source: &Source) -> Result<Payload> {
        if let Some(value) = self.cache.get(key).await {
            return Ok(value);
        }
        let loaded = self
            .cache
            .entry_by_ref(key)
            .and_try_compute_with(|entry| async move {
                match entry {
                    Some(_) => Ok::<_, LoadError>(Op::Nop),
                    None => source.load().await.map(Op::Put),
                }
            })
            .await?;
        match loaded {
            CompResult::Inserted(entry) | CompResult::ReplacedWith(entry) | CompResult::Unchanged(entry) => {
                Ok(entry.into_value())
            }
            CompResult::StillNone(_) | CompResult::Removed(_) => Err(anyhow!("moka kept nothing of a load")),
        }
    }
}

#[async_trait]
impl Peer for Moka {
    fn name(&self) -> &str {
        match self.way {
            Way::GetWith | Way::GetWithInvalidateAll => "moka get_with",
            Way::TryGetWith => "moka try_get_with",
            Way::Compute => "moka entry().and_try_compute_with",
        }
    }

    fn invalidation(&self) -> &str {
        match self.way {
            Way::GetWith | Way::TryGetWith => "invalidate",
            Way::GetWithInvalidateAll => "invalidate_all",
            Way::Compute => "entry().and_compute_with",
        }
    }

    async fn get_or_load(&self, key: &str, source: Arc<Source>) -> Result<Payload> {
        match self.way {
            Way::GetWith | Way::GetWithInvalidateAll => {
                let load = async move { source.load().await.expect("this way is used with sources that answer") };
                Ok(self.cache.get_with_by_ref(key, load).await)
            }
            Way::TryGetWith => Ok(self.cache.try_get_with_by_ref(key, async move { source.load().await }).await?),
            Way::Compute => self.load_in_turn(key, &source).await,
        }
    }

    async fn invalidate(&self, key: &str) -> Result<()> {
        match self.way {
            Way::GetWith | Way::TryGetWith => self.cache.invalidate(key).await,
            Way::GetWithInvalidateAll => self.cache.invalidate_all(),
            Way::Compute => {
                self.cache.entry_by_ref(key).and_compute_with(|_| async { Op::Remove }).await;
            }
        }
        Ok(())
    }
}

#[async_trait]
impl HitPath for Moka {
    fn lookups(&self) -> &'static [(&'static str, Lookup)] {
        &[("moka get", Lookup::Get), ("moka try_get_with", Lookup::GetOrLoad)]
    }

    async fn settle(&self) {
        self.cache.run_pending_tasks().await;
    }

    async fn read_all(&self, lookup: Lookup, reads: Reads<'_>) -> Result<usize> {
        let mut seen = 0;
        match lookup {
            Lookup::Get => {
                for key in reads.iter() {
                    seen += self.cache.get(key).await.map_or(0, |value| value.len());
                }
            }
            Lookup::GetOrLoad => {
                for key in reads.iter() {
                    seen += self.cache.try_get_with_by_ref(key, reads.source.load()).await?.len();
                }
            }
        }
        Ok(seen)
    }
}
