//! The change feed on a connection of its own.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tierkeep_db::Pool;
use tierkeep_db::feed::Feed;

use super::super::StoreError;
use super::super::feed::{ChangeFeed, Changes, EVENTS_PER_CALL};
use super::PostgresStore;

/// What the feed is followed with.
#[derive(Debug)]
pub(in crate::store) struct Follower {
    pub(in crate::store) feed: Feed,
    /// One connection: whoever asks for changes must not wait until readers are done.
    pub(in crate::store) pool: Pool,
    /// Whether a change may go unnoticed, so that what is stored proves nothing.
    pub(in crate::store) is_broken: AtomicBool,
}

impl PostgresStore {
    /// Whether stored summaries count.
    pub(super) fn trusts_summaries(&self) -> bool {
        self.tables.have_summaries()
            && !self.follower.as_ref().is_some_and(|follower| follower.is_broken.load(Ordering::Acquire))
    }
}

#[async_trait]
impl ChangeFeed for PostgresStore {
    async fn changes(&self, after: u64) -> Result<Option<Changes>, StoreError> {
        let Some(follower) = &self.follower else { return Ok(None) };
        let db = follower.pool.get().await?;
        let changes = Changes::read(after, follower.feed.poll_postgres(&db, after, EVENTS_PER_CALL).await?);
        follower.is_broken.store(!changes.broken.is_empty(), Ordering::Release);
        Ok(Some(changes))
    }

    async fn prune_changes(&self, keep: Duration, most: u64, most_bytes: u64) -> Result<u64, StoreError> {
        let Some(follower) = &self.follower else { return Ok(0) };
        let db = self.connection().await?;
        if follower.feed.collapse_postgres(&db, most_bytes).await? {
            tracing::warn!(most_bytes, "more changes waited than may: everything counts as changed");
        }
        Ok(follower.feed.prune_postgres(&db, keep, most).await?)
    }
}
