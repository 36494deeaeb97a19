//! The backlog on SQLite.

use async_trait::async_trait;
use jiff::Timestamp;

use super::super::StoreError;
use super::super::backlog::Backlog;
use super::SqliteStore;
use super::wire::instant_at;

#[async_trait]
impl Backlog for SqliteStore {
    async fn database_now(&self) -> Result<Timestamp, StoreError> {
        self.timed(|_, _, now| Ok(now)).await
    }

    async fn retention_backlog(&self, cutoff: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let cutoff = cutoff.as_microsecond();
        self.read(move |shared, db| {
            let mut statement = db.prepare_cached(&shared.sql.backlog)?;
            let mut rows = statement.query([cutoff])?;
            rows.next()?.map(|row| instant_at(row, 0)).transpose()
        })
        .await
    }
}
