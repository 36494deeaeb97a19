//! Nightly rows and housekeeping go to the store as they are.

use async_trait::async_trait;
use jiff::Timestamp;
use tierkeep_db::Fence;
use tierkeep_learning::key::UserId;
use tierkeep_learning::local_day::LocalDay;
use tierkeep_learning::statistic::Nightly;
use tierkeep_learning::store::{
    Housekeeping, NightlyAnalytics, Queues, Snapshots, StoreError, Swept, TableSize, Updated,
};

use super::Watched;

#[async_trait]
impl NightlyAnalytics for Watched {
    async fn update_analytics(
        &self,
        now: Timestamp,
        active_days: u32,
        after: Option<UserId>,
        limit: u32,
        fence: Option<&Fence>,
    ) -> Result<Updated, StoreError> {
        self.inner.update_analytics(now, active_days, after, limit, fence).await
    }

    async fn nightly_rows(
        &self,
        user: UserId,
        after: Option<LocalDay>,
        limit: u32,
    ) -> Result<Vec<Nightly>, StoreError> {
        self.inner.nightly_rows(user, after, limit).await
    }
}

#[async_trait]
impl Housekeeping for Watched {
    async fn sweep_summaries(&self, nightly_before: Option<LocalDay>, limit: u32) -> Result<Swept, StoreError> {
        self.inner.sweep_summaries(nightly_before, limit).await
    }

    async fn table_sizes(&self) -> Result<Vec<TableSize>, StoreError> {
        self.inner.table_sizes().await
    }

    async fn queues(&self) -> Result<Queues, StoreError> {
        self.inner.queues().await
    }
}

#[async_trait]
impl Snapshots for Watched {
    async fn snapshot(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.check()?;
        self.inner.snapshot(name).await
    }

    async fn save_snapshot(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.check()?;
        self.inner.save_snapshot(name, bytes).await
    }
}
