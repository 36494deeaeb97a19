//! Invalidation by key and of a whole view.

use std::time::Duration;

use super::View;
use crate::bus::Target;
use crate::counters::Count;
use crate::engine::itself;
#[cfg(feature = "write-back")]
use crate::invalidation::Acknowledgement;
use crate::invalidation::{Order, Receipt};
use crate::key::{CacheKey, KeyWriter, MAX_KEY_BYTES};
use crate::remote::{Hold, RemoteKey};
use crate::stamp::Severity;

impl<K: CacheKey, V: Send + Sync + 'static> View<K, V> {
    /// Forgets a value, in all tiers and on all nodes. It is never served again, nor is what a load that has
    /// already begun will bring.
    pub async fn invalidate(&self, key: &K) -> Receipt {
        self.invalidate_all_of(std::slice::from_ref(key), Severity::Hard, None).await
    }

    /// Ages a value: it may be served, marked stale, while one load replaces it.
    pub async fn invalidate_softly(&self, key: &K) -> Receipt {
        self.invalidate_all_of(std::slice::from_ref(key), Severity::Soft, None).await
    }

    /// Forgets several values at once.
    pub async fn invalidate_many(&self, keys: &[K]) -> Receipt {
        self.invalidate_all_of(keys, Severity::Hard, None).await
    }

    /// As [`invalidate`](Self::invalidate), for sources with lagging replicas: for `period`, a value is stored only if
    /// its loader says that it has at least this version. Loaders see it in [`LoadContext::minimum_version`](crate::LoadContext::minimum_version).
    pub async fn invalidate_below(&self, key: &K, minimum: u64, period: Duration) -> Receipt {
        let hold = Some(Hold { minimum, period });
        self.invalidate_all_of(std::slice::from_ref(key), Severity::Hard, hold).await
    }

    async fn invalidate_all_of(&self, keys: &[K], severity: Severity, hold: Option<Hold>) -> Receipt {
        let mut targets = Vec::with_capacity(keys.len());
        for key in keys {
            let bytes = KeyWriter::encode(key);
            if bytes.len() > MAX_KEY_BYTES {
                // No tier can hold it.
                self.shared.count(Count::KeyTooLong);
                continue;
            }
            targets.push(Target::Key(RemoteKey::new(&self.shared.name, &bytes)));
            if self.shared.tracked {
                targets.push(Target::Tag(itself(&self.shared.name, &bytes).id()));
            }
        }
        let order = Order { targets, severity, hold };
        #[cfg(feature = "write-back")]
        if self.shared.writes_back() {
            return self.invalidate_dirty(keys, order).await;
        }
        self.engine.invalidate(order).await
    }

    /// Dirty values are handed to the source first, and one that it did not take stays.
    #[cfg(feature = "write-back")]
    async fn invalidate_dirty(&self, keys: &[K], order: Order) -> Receipt {
        let keys: Vec<Box<[u8]>> = keys.iter().map(KeyWriter::encode).collect();
        let clean = Box::pin(self.shared.flush_dirty(&keys)).await;
        let receipt = self.engine.invalidate(order).await;
        let conflict = || Acknowledgement::Pending("a value written back has not reached the source yet".to_owned());
        if clean { receipt } else { Receipt { remote: conflict(), ..receipt } }
    }

    /// Forgets all values of this view, at a cost that does not depend on their number.
    pub async fn clear(&self) -> Receipt {
        let targets = vec![Target::Tag(self.base[1])];
        self.engine.invalidate(Order { targets, severity: Severity::Hard, hold: None }).await
    }
}
