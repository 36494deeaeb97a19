//! How large tables were, once a day: what their growth is told from.

use std::collections::BTreeMap;

use tierkeep_db::statistics::{
    Growth, TableSample, TableStatistics, growth, samples_postgres, samples_sqlite, store_samples_postgres,
    store_samples_sqlite, tables_postgres, tables_sqlite,
};
use tierkeep_db::{Connection, Database, Error};

const HOUR_US: i64 = 3600 * 1_000_000;
/// Least time between two samples: one a day, whenever in it the task comes.
const EVERY_US: i64 = 20 * HOUR_US;
/// How long samples are kept: a year and what it is compared with.
const KEPT_US: i64 = 800 * 24 * HOUR_US;
/// From which samples growth is told.
const TOLD_US: i64 = 90 * 24 * HOUR_US;

/// Growth by the name of the table.
pub(crate) type GrowthByTable = BTreeMap<String, Growth>;

/// Notes how large the tables are, unless that was done today, and forgets what is older than 800 days. Returns how many
/// samples were stored. Cost on SQLite: every page of the file is counted.
pub(crate) async fn note_sizes(db: &Database) -> Result<u64, Error> {
    let samples = match db {
        Database::Postgres(pool) => {
            let client = pool.get().await?;
            let now: i64 = client.query_one(NOW_POSTGRES, &[]).await?.try_get(0)?;
            let last: Option<i64> = client.query_one(LAST, &[]).await?.try_get(0)?;
            if is_recent(last, now) {
                return Ok(0);
            }
            let tables = tables_postgres(&client).await?;
            let samples = taken(tables.found().map_or(&[], Vec::as_slice), now);
            store_samples_postgres(&client, &samples).await?;
            client.execute("delete from tierkeep_table_sample where at_us < $1", &[&(now - KEPT_US)]).await?;
            samples.len()
        }
        Database::Sqlite(db) => {
            // the pages are counted before the writer is asked for: that takes a while
            let found = db
                .read(|connection| {
                    let now: i64 = connection.query_row(NOW_SQLITE, [], |row| row.get(0))?;
                    let last: Option<i64> = connection.query_row(LAST, [], |row| row.get(0))?;
                    let tables = if is_recent(last, now) { Vec::new() } else { tables_sqlite(connection)? };
                    Ok::<_, Error>((taken(&tables, now), now))
                })
                .await?;
            let (samples, now) = found;
            let count = samples.len();
            if count > 0 {
                db.write(move |tx| {
                    store_samples_sqlite(tx, &samples)?;
                    tx.execute("delete from tierkeep_table_sample where at_us < ?1", [now - KEPT_US])?;
                    Ok::<_, Error>(())
                })
                .await?;
            }
            count
        }
    };
    Ok(samples as u64)
}

const LAST: &str = "select max(at_us) from tierkeep_table_sample";
const NOW_POSTGRES: &str = "select (extract(epoch from clock_timestamp()) * 1000000)::bigint";
const NOW_SQLITE: &str = "select cast(unixepoch('subsec') * 1000000 as integer)";

/// A sample from the future, by a clock that was set back, keeps nobody from taking the next one.
fn is_recent(last: Option<i64>, now: i64) -> bool {
    last.is_some_and(|last| (0..EVERY_US).contains(&(now - last)))
}

fn taken(tables: &[TableStatistics], now: i64) -> Vec<TableSample> {
    tables.iter().filter_map(|table| table.sample(now)).collect()
}

/// How tables have grown in the last 90 days; empty where no samples are stored.
pub(super) async fn growth_postgres(client: &Connection, tables: &[TableStatistics]) -> Result<GrowthByTable, Error> {
    let is_there = "select to_regclass('tierkeep_table_sample') is not null";
    if !client.query_one(is_there, &[]).await?.try_get::<_, bool>(0)? {
        return Ok(GrowthByTable::new());
    }
    let now: i64 = client.query_one(NOW_POSTGRES, &[]).await?.try_get(0)?;
    let mut by_table = GrowthByTable::new();
    for TableStatistics { table, .. } in tables {
        let samples = samples_postgres(client, table, now - TOLD_US).await?;
        by_table.extend(growth(&samples).map(|growth| (table.to_string(), growth)));
    }
    Ok(by_table)
}

/// The same on SQLite.
pub(super) fn growth_sqlite(
    connection: &rusqlite::Connection,
    tables: &[TableStatistics],
) -> Result<GrowthByTable, Error> {
    let is_there = "select exists (select 1 from sqlite_schema where name = 'tierkeep_table_sample')";
    if !connection.query_row(is_there, [], |row| row.get::<_, bool>(0))? {
        return Ok(GrowthByTable::new());
    }
    let now: i64 = connection.query_row(NOW_SQLITE, [], |row| row.get(0))?;
    let mut by_table = GrowthByTable::new();
    for TableStatistics { table, .. } in tables {
        let samples = samples_sqlite(connection, table, now - TOLD_US)?;
        by_table.extend(growth(&samples).map(|growth| (table.to_string(), growth)));
    }
    Ok(by_table)
}
