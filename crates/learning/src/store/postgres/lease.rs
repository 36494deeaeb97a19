//! Leases on PostgreSQL.

use std::time::Duration;

use async_trait::async_trait;

use super::super::StoreError;
use super::super::lease::{Leases, microseconds};
use super::PostgresStore;

#[async_trait]
impl Leases for PostgresStore {
    async fn take_lease(&self, name: &str, holder: &str, time: Duration) -> Result<Option<u64>, StoreError> {
        if self.read_only || !self.tables.have_summaries() {
            return Ok(None);
        }
        let db = self.connection().await?;
        let statement = db.prepared(&self.sql.lease_take).await?;
        // as a double, which is what an interval is multiplied with
        let time = microseconds(time) as f64;
        let fence = db.query_opt(&statement, &[&name, &holder, &time]).await?;
        fence.map(|row| Ok(u64::try_from(row.try_get::<_, i64>(0)?).unwrap_or(0))).transpose()
    }

    async fn release_lease(&self, name: &str, holder: &str) -> Result<(), StoreError> {
        let db = self.connection().await?;
        db.execute(&db.prepared(&self.sql.lease_release).await?, &[&name, &holder]).await?;
        Ok(())
    }
}
