//! The change feed on a connection of its own.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tierkeep_db::feed::Feed;
use tierkeep_db::{Connection, Pool};

use super::super::StoreError;
use super::super::feed::{ChangeFeed, Changes, EVENTS_PER_CALL};
use super::PostgresStore;
use super::drift::Platform;

/// What the feed is followed with.
#[derive(Debug)]
pub(in crate::store) struct Follower {
    feed: Feed,
    /// One connection: whoever asks for changes must not wait until readers are done.
    pool: Pool,
    /// That connection between two questions, and how many it has asked: to give it back to the pool, which sees to it that
    /// it is fit for the next, would cost as much as the question.
    held: tokio::sync::Mutex<Option<(Connection, u32)>>,
    /// Whether a change may go unnoticed, so that what is stored proves nothing.
    is_broken: AtomicBool,
    /// The platform's columns, where Tierkeep is attached to them.
    platform: Option<Platform>,
    /// Whether the database is attached with another mapping now.
    is_misfit: AtomicBool,
}

/// Questions after which a connection goes back to the pool, which replaces old ones.
const QUESTIONS_PER_CONNECTION: u32 = 10_000;

impl Follower {
    pub(in crate::store) fn new(feed: Feed, pool: Pool, platform: Option<Platform>) -> Self {
        Self {
            feed,
            pool,
            held: tokio::sync::Mutex::default(),
            is_broken: AtomicBool::new(false),
            platform,
            is_misfit: AtomicBool::new(false),
        }
    }

    /// Asks on the one connection. Whatever fails, or is given up, the next question has another one.
    async fn ask(&self, after: u64) -> Result<Changes, StoreError> {
        let mut held = self.held.lock().await;
        let (db, asked) = match held.take() {
            Some(held) => held,
            None => (self.pool.get().await?, 0),
        };
        let mut changes = Changes::read(after, self.feed.poll_postgres(&db, after, EVENTS_PER_CALL).await?);
        self.look_closely(&db, &mut changes).await?;
        if asked < QUESTIONS_PER_CONNECTION {
            *held = Some((db, asked + 1));
        }
        Ok(changes)
    }

    pub(super) async fn close(&self) {
        self.held.lock().await.take();
        self.pool.close().await;
    }

    pub(super) fn feed(&self) -> &Feed {
        &self.feed
    }

    pub(super) fn is_misfit(&self) -> bool {
        self.is_misfit.load(Ordering::Acquire)
    }

    /// Looks whether the platform's columns are as they were, which can be otherwise only after something that the feed
    /// took for "everything changed", or for a defect.
    async fn look_closely(&self, db: &Connection, changes: &mut Changes) -> Result<(), StoreError> {
        let Some(platform) = &self.platform else { return Ok(()) };
        let was_broken = self.is_broken.load(Ordering::Acquire);
        if changes.everybody.is_none() && changes.broken.is_empty() && !was_broken {
            return Ok(());
        }
        let found = platform.look(db).await?;
        self.is_misfit.store(found.is_misfit, Ordering::Release);
        changes.broken.splice(0..0, found.problems);
        Ok(())
    }
}

impl PostgresStore {
    /// Whether stored summaries count: not where nobody looks whether every change is noted.
    pub(super) fn trusts_summaries(&self) -> bool {
        self.tables.have_summaries()
            && !self.read_only
            && !self.follower.as_ref().is_some_and(|follower| follower.is_broken.load(Ordering::Acquire))
    }
}

#[async_trait]
impl ChangeFeed for PostgresStore {
    async fn changes(&self, after: u64) -> Result<Option<Changes>, StoreError> {
        let Some(follower) = &self.follower else { return Ok(None) };
        let changes = follower.ask(after).await?;
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
