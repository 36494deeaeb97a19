//! Housekeeping on SQLite, and what nodes keep.

use async_trait::async_trait;
use jiff::SignedDuration;
use rusqlite::{Connection, OptionalExtension, Row};

use super::super::StoreError;
use super::super::housekeeping::{COUNTED, Housekeeping, Queues, Swept, TableSize, tables};
use super::super::snapshots::Snapshots;
use super::folding::fold;
use super::wire::key_at;
use super::{Shared, SqliteStore, each};
use crate::key::UserId;
use crate::local_day::LocalDay;

impl SqliteStore {
    /// Whether there is nothing of ours to look after.
    fn keeps_nothing(&self) -> bool {
        self.shared.read_only || !self.shared.tables.have_summaries()
    }
}

#[async_trait]
impl Housekeeping for SqliteStore {
    async fn sweep_summaries(&self, nightly_before: Option<LocalDay>, limit: u32) -> Result<Swept, StoreError> {
        if self.keeps_nothing() {
            return Ok(Swept::default());
        }
        self.write(move |shared, tx| {
            let mut nobody = Vec::new();
            each(tx, &shared.sql.sweep_learners, [limit], &mut |row| {
                nobody.push(UserId::new(key_at(shared.keys, row, 0)?));
                Ok(())
            })?;
            fold(shared, tx, &nobody)?;
            let swept =
                |text: &str| -> Result<u64, StoreError> { Ok(tx.prepare_cached(text)?.execute([limit])? as u64) };
            let mut nightly_rows = swept(&shared.sql.sweep_nights)?;
            if let Some(day) = nightly_before {
                let mut statement = tx.prepare_cached(&shared.sql.sweep_old_nights)?;
                nightly_rows += statement.execute((day.to_string(), limit))? as u64;
            }
            let swept = Swept {
                learners: nobody.len() as u64,
                nightly_rows,
                answers: swept(&shared.sql.sweep_answers)?,
                snapshots: swept(&shared.sql.sweep_snapshots)?,
                more: false,
            };
            Ok(swept.bounded(limit))
        })
        .await
    }

    async fn table_sizes(&self) -> Result<Vec<TableSize>, StoreError> {
        if self.keeps_nothing() {
            return Ok(Vec::new());
        }
        self.read(|shared, db| match db.prepare_cached(&shared.sql.table_sizes) {
            Ok(_) => sizes(shared, db),
            // a library that was built without `dbstat`
            Err(_) => whole_file(db),
        })
        .await
    }

    async fn queues(&self) -> Result<Queues, StoreError> {
        if self.keeps_nothing() {
            return Ok(Queues::default());
        }
        self.read(|shared, db| {
            Ok(db.prepare_cached(&shared.sql.queues)?.query_row([COUNTED], |row| {
                Ok(Queues {
                    outbox_rows: count(row, 0)?,
                    dirty_learners: count(row, 1)?,
                    dirty_days: count(row, 2)?,
                    oldest_change_age: row.get::<_, Option<i64>>(3)?.map(SignedDuration::from_micros),
                    analytics_due: count(row, 4)?,
                })
            })?)
        })
        .await
    }
}

fn sizes(shared: &Shared, db: &Connection) -> Result<Vec<TableSize>, StoreError> {
    let ours: Vec<String> = tables(&shared.names).iter().map(|name| name.replace('"', "")).collect();
    let mut sizes = Vec::new();
    each(db, &shared.sql.table_sizes, [], &mut |row| {
        let size = TableSize { table: row.get(0)?, bytes: count(row, 1)?, rows_estimate: Some(count(row, 2)?) };
        if ours.contains(&size.table) {
            sizes.push(size);
        }
        Ok(())
    })?;
    Ok(sizes)
}

fn whole_file(db: &Connection) -> Result<Vec<TableSize>, StoreError> {
    let bytes = "select page_count * page_size from pragma_page_count, pragma_page_size";
    let bytes = db.query_row(bytes, [], |row| count(row, 0))?;
    Ok(vec![TableSize { table: "database".to_owned(), bytes, rows_estimate: None }])
}

fn count(row: &Row<'_>, column: usize) -> Result<u64, rusqlite::Error> {
    Ok(u64::try_from(row.get::<_, i64>(column)?).unwrap_or(0))
}

#[async_trait]
impl Snapshots for SqliteStore {
    async fn snapshot(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        if self.keeps_nothing() {
            return Ok(None);
        }
        let name = name.to_owned();
        self.read(move |shared, db| {
            Ok(db.prepare_cached(&shared.sql.snapshot_read)?.query_row([name], |row| row.get(0)).optional()?)
        })
        .await
    }

    async fn save_snapshot(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        if self.keeps_nothing() {
            return Ok(());
        }
        let (name, bytes) = (name.to_owned(), bytes.to_vec());
        self.write(move |shared, tx| {
            tx.prepare_cached(&shared.sql.snapshot_save)?.execute((name, bytes))?;
            Ok(())
        })
        .await
    }
}
