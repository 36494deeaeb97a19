//! tierkeep-cache: memory only, with its defaults (a time to live of five minutes, single flight, owned loads).

use std::sync::Arc;

use ::tierkeep_cache::{Cache, View};
use anyhow::Result;
use async_trait::async_trait;

use crate::{HitPath, Lookup, Payload, Peer, Reads, Source};

/// Bytes of room for an entry: its memory is bounded in bytes, and the probes count entries.
const ENTRY_BYTES: u64 = 1024;

/// `View::get_or_load` and `View::invalidate`.
pub struct Tierkeep {
    view: View<String, String>,
}

impl Tierkeep {
    /// A cache of about this many entries.
    ///
    /// # Errors
    /// It is smaller than 64 entries.
    pub fn new(capacity: u64) -> Result<Self> {
        let cache = Cache::builder("peers").memory(capacity * ENTRY_BYTES).build()?;
        let view = cache.view("pages").build()?;
        Ok(Self { view })
    }

    /// The library's own kind of shared value.
    async fn load(&self, key: &String, source: &Arc<Source>) -> Result<Arc<String>> {
        let source = Arc::clone(source);
        Ok(self
            .view
            .get_or_load(key, |_| async move { source.load().await.map(|value| value.as_ref().to_owned()) })
            .await?)
    }
}

#[async_trait]
impl Peer for Tierkeep {
    fn name(&self) -> &str {
        "tierkeep-cache get_or_load"
    }

    fn invalidation(&self) -> &str {
        "invalidate"
    }

    async fn get_or_load(&self, key: &str, source: Arc<Source>) -> Result<Payload> {
        Ok(self.load(&key.to_owned(), &source).await?.as_str().into())
    }

    async fn invalidate(&self, key: &str) -> Result<()> {
        self.view.invalidate(&key.to_owned()).await.complete()?;
        Ok(())
    }
}

#[async_trait]
impl HitPath for Tierkeep {
    fn lookups(&self) -> &'static [(&'static str, Lookup)] {
        &[("tierkeep-cache get", Lookup::Get), ("tierkeep-cache get_or_load", Lookup::GetOrLoad)]
    }

    async fn read_all(&self, lookup: Lookup, reads: Reads<'_>) -> Result<usize> {
        let mut seen = 0;
        match lookup {
            Lookup::Get => {
                for key in reads.iter() {
                    seen += self.view.get(key).await.map_or(0, |value| value.len());
                }
            }
            Lookup::GetOrLoad => {
                for key in reads.iter() {
                    seen += self.load(key, reads.source).await?.len();
                }
            }
        }
        Ok(seen)
    }
}
