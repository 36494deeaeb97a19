//! Leases on SQLite.

use std::time::Duration;

use async_trait::async_trait;
use rusqlite::OptionalExtension;

use super::super::StoreError;
use super::super::lease::{Leases, microseconds};
use super::SqliteStore;

#[async_trait]
impl Leases for SqliteStore {
    async fn take_lease(&self, name: &str, holder: &str, time: Duration) -> Result<Option<u64>, StoreError> {
        if self.shared.read_only || !self.shared.tables.have_summaries() {
            return Ok(None);
        }
        let (name, holder) = (name.to_owned(), holder.to_owned());
        self.write(move |shared, db| {
            let mut statement = db.prepare_cached(&shared.sql.lease_take)?;
            let fence: Option<i64> =
                statement.query_row((name, holder, microseconds(time)), |row| row.get(0)).optional()?;
            Ok(fence.map(|fence| u64::try_from(fence).unwrap_or(0)))
        })
        .await
    }

    async fn release_lease(&self, name: &str, holder: &str) -> Result<(), StoreError> {
        let (name, holder) = (name.to_owned(), holder.to_owned());
        self.write(move |shared, db| {
            db.prepare_cached(&shared.sql.lease_release)?.execute((name, holder))?;
            Ok(())
        })
        .await
    }
}
