//! Housekeeping on PostgreSQL, and what nodes keep.

use async_trait::async_trait;
use jiff::SignedDuration;

use super::super::StoreError;
use super::super::housekeeping::{COUNTED, Housekeeping, Queues, Swept, TableSize, tables};
use super::super::snapshots::Snapshots;
use super::{PostgresStore, key};
use crate::key::UserId;
use crate::local_day::LocalDay;

impl PostgresStore {
    /// Whether there is nothing of ours to look after.
    fn keeps_nothing(&self) -> bool {
        self.read_only || !self.tables.have_summaries()
    }
}

#[async_trait]
impl Housekeeping for PostgresStore {
    async fn sweep_summaries(&self, nightly_before: Option<LocalDay>, limit: u32) -> Result<Swept, StoreError> {
        if self.keeps_nothing() {
            return Ok(Swept::default());
        }
        let many = i64::from(limit);
        let db = self.connection().await?;
        let mut nobody = Vec::new();
        for row in db.query(&db.prepared(&self.sql.sweep_learners).await?, &[&many]).await? {
            nobody.extend(key(&row, 0)?.map(UserId::new));
        }
        drop(db);
        if !nobody.is_empty() {
            self.fold(&nobody).await?;
        }
        let db = self.connection().await?;
        let mut swept = Swept { learners: nobody.len() as u64, ..Swept::default() };
        swept.nightly_rows = db.execute(&db.prepared(&self.sql.sweep_nights).await?, &[&many]).await?;
        if let Some(day) = nightly_before {
            let statement = db.prepared(&self.sql.sweep_old_nights).await?;
            swept.nightly_rows += db.execute(&statement, &[&day.number(), &many]).await?;
        }
        swept.answers = db.execute(&db.prepared(&self.sql.sweep_answers).await?, &[&many]).await?;
        swept.snapshots = db.execute(&db.prepared(&self.sql.sweep_snapshots).await?, &[&many]).await?;
        Ok(swept.bounded(limit))
    }

    async fn table_sizes(&self) -> Result<Vec<TableSize>, StoreError> {
        if self.keeps_nothing() {
            return Ok(Vec::new());
        }
        let db = self.connection().await?;
        let statement = db.prepared(&self.sql.table_sizes).await?;
        let mut sizes = Vec::new();
        for row in db.query(&statement, &[&tables(&self.names)]).await? {
            let table = row.try_get::<_, &str>(0)?.replace('"', "");
            let bytes = u64::try_from(row.try_get::<_, i64>(1)?).unwrap_or(0);
            // -1, or 0 up to version 13: the table was never measured
            let rows: i64 = row.try_get(2)?;
            sizes.push(TableSize { table, bytes, rows_estimate: u64::try_from(rows).ok().filter(|rows| *rows > 0) });
        }
        Ok(sizes)
    }

    async fn queues(&self) -> Result<Queues, StoreError> {
        if self.keeps_nothing() {
            return Ok(Queues::default());
        }
        let db = self.connection().await?;
        let row = db.query_one(&db.prepared(&self.sql.queues).await?, &[&i64::from(COUNTED)]).await?;
        let count =
            |column| -> Result<u64, StoreError> { Ok(u64::try_from(row.try_get::<_, i64>(column)?).unwrap_or(0)) };
        Ok(Queues {
            outbox_rows: count(0)?,
            dirty_learners: count(1)?,
            dirty_days: count(2)?,
            oldest_change_age: row.try_get::<_, Option<i64>>(3)?.map(SignedDuration::from_micros),
            analytics_due: count(4)?,
        })
    }
}

#[async_trait]
impl Snapshots for PostgresStore {
    async fn snapshot(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        if self.keeps_nothing() {
            return Ok(None);
        }
        let db = self.connection().await?;
        let row = db.query_opt(&db.prepared(&self.sql.snapshot_read).await?, &[&name]).await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?)
    }

    async fn save_snapshot(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        if self.keeps_nothing() {
            return Ok(());
        }
        let db = self.connection().await?;
        db.execute(&db.prepared(&self.sql.snapshot_save).await?, &[&name, &bytes]).await?;
        Ok(())
    }
}
