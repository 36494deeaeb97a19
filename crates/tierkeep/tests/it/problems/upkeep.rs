//! Nightly rows and housekeeping of a store whose statements fail.

use async_trait::async_trait;
use jiff::Timestamp;
use tierkeep_db::Fence;
use tierkeep_learning::key::UserId;
use tierkeep_learning::local_day::LocalDay;
use tierkeep_learning::statistic::Nightly;
use tierkeep_learning::store::{
    Housekeeping, NightlyAnalytics, Queues, Snapshots, StoreError, Swept, TableSize, Updated,
};

use super::{Faulty, statement_failed};

#[async_trait]
impl NightlyAnalytics for Faulty {
    async fn update_analytics(
        &self,
        _: Timestamp,
        _: u32,
        _: Option<UserId>,
        _: u32,
        _: Option<&Fence>,
    ) -> Result<Updated, StoreError> {
        Err(statement_failed())
    }

    async fn nightly_rows(&self, _: UserId, _: Option<LocalDay>, _: u32) -> Result<Vec<Nightly>, StoreError> {
        Err(statement_failed())
    }
}

#[async_trait]
impl Housekeeping for Faulty {
    async fn sweep_summaries(&self, _: Option<LocalDay>, _: u32) -> Result<Swept, StoreError> {
        Err(statement_failed())
    }

    async fn table_sizes(&self) -> Result<Vec<TableSize>, StoreError> {
        Err(statement_failed())
    }

    async fn queues(&self) -> Result<Queues, StoreError> {
        Err(statement_failed())
    }
}

#[async_trait]
impl Snapshots for Faulty {
    async fn snapshot(&self, _: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Err(statement_failed())
    }

    async fn save_snapshot(&self, _: &str, _: &[u8]) -> Result<(), StoreError> {
        Err(statement_failed())
    }
}
