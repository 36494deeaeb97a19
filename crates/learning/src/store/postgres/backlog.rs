//! The backlog on PostgreSQL.

use async_trait::async_trait;
use jiff::Timestamp;

use super::super::StoreError;
use super::super::backlog::Backlog;
use super::wire::PgInstant;
use super::{PostgresStore, instant_at};

#[async_trait]
impl Backlog for PostgresStore {
    async fn database_now(&self) -> Result<Timestamp, StoreError> {
        let row = self.connection().await?.query_typed_one("select now()", &[]).await?;
        Ok(row.try_get::<_, PgInstant>(0)?.0)
    }

    async fn retention_backlog(&self, cutoff: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let db = self.connection().await?;
        let statement = db.prepared(&self.sql.backlog).await?;
        let row = db.query_opt(&statement, &[&PgInstant(cutoff)]).await?;
        row.map_or(Ok(None), |row| instant_at(&row, 0))
    }
}
