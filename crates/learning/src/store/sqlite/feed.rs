//! The change feed on a reader of its own.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;

use super::super::StoreError;
use super::super::feed::{ChangeFeed, Changes, EVENTS_PER_CALL};
use super::SqliteStore;

#[async_trait]
impl ChangeFeed for SqliteStore {
    async fn changes(&self, after: u64) -> Result<Option<Changes>, StoreError> {
        let Some(follower) = &self.follower else { return Ok(None) };
        let shared = Arc::clone(&self.shared);
        let polled = move |db: &mut rusqlite::Connection| -> Result<_, StoreError> {
            let tx = db.transaction()?;
            let polled = shared.feed.poll_sqlite(&tx, after, EVENTS_PER_CALL)?;
            tx.commit()?;
            Ok(polled)
        };
        let changes = Changes::read(after, follower.read(polled).await?);
        self.shared.is_broken.store(!changes.broken.is_empty(), Ordering::Release);
        Ok(Some(changes))
    }

    async fn prune_changes(&self, keep: Duration, most: u64, most_bytes: u64) -> Result<u64, StoreError> {
        if self.follower.is_none() {
            return Ok(0);
        }
        let shared = Arc::clone(&self.shared);
        let pruned = self.db.write(move |tx| -> Result<_, StoreError> {
            if shared.feed.collapse_sqlite(tx, most_bytes)? {
                tracing::warn!(most_bytes, "more changes waited than may: everything counts as changed");
            }
            Ok(shared.feed.prune_sqlite(tx, keep, most)?)
        });
        pruned.await
    }
}
