//! Building all summaries anew, with other `[days]` if need be.

use tierkeep_db::{Access, DatabaseUrl, Pool, SqliteDatabase};
use tokio_postgres::Client;

use super::StoreError;
use super::checks::{check_postgres, check_sqlite};
use super::open::{OpenOptions, sqlite};
use super::statements::body;
use crate::calendar::ZoneHistory;
use crate::mapping::Mapping;

/// Stores the `[days]` of `options` and forgets all summaries, damaged ones too, so that they are built anew from rows and
/// from the bases of days, which stay on the days they were written for.
///
/// A learner whose history of zones cannot be read gets a new one, which begins with the zone in the learner's row.
///
/// # Errors
/// [`StoreError`].
pub async fn rederive(url: &DatabaseUrl, options: &OpenOptions) -> Result<(), StoreError> {
    match url {
        DatabaseUrl::Postgres(address) => {
            let pool = Pool::new(address, options.pool.clone())?;
            let rederived = rederive_postgres(&pool, options).await;
            pool.close().await;
            rederived
        }
        DatabaseUrl::Sqlite(path) => {
            let db = sqlite(path, Access::ReadWrite).await?;
            let rederived = rederive_sqlite(&db, options).await;
            db.close().await;
            rederived
        }
    }
}

async fn rederive_postgres(pool: &Pool, options: &OpenOptions) -> Result<(), StoreError> {
    let mut db = pool.get().await?;
    check_postgres(&db).await?;
    check_mapping(&db, &options.mapping).await?;
    let tx = db.transaction().await?;
    // a fold takes its first lock on a row of this table: those under way end before, new ones begin after
    tx.batch_execute("lock table tierkeep_learner in exclusive mode").await?;
    let mut unreadable = Vec::new();
    for row in tx.query(STORED_ZONES, &[]).await? {
        unreadable.extend(unreadable_zones(row.try_get(0)?));
    }
    tx.execute("update tierkeep_learner set zones = null where zones = any($1)", &[&unreadable]).await?;
    tx.batch_execute(&body(include_str!("sql/postgres/forget_summaries.sql"))).await?;
    let (zone, day_start) = (options.default_zone.name(), i16::from(options.day_start.get()));
    tx.execute("update tierkeep_state set time_zone = $1, day_start = $2", &[&zone, &day_start]).await?;
    Ok(tx.commit().await?)
}

async fn rederive_sqlite(db: &SqliteDatabase, options: &OpenOptions) -> Result<(), StoreError> {
    check_sqlite(db).await?;
    if !options.mapping.is_own() {
        return Err(StoreError::PlatformTables("rederive"));
    }
    let (zone, day_start) = (options.default_zone.name(), options.day_start.get());
    db.write(move |tx| -> Result<(), StoreError> {
        let stored: Vec<String> =
            tx.prepare(STORED_ZONES)?.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        for zones in stored.into_iter().filter_map(unreadable_zones) {
            tx.execute("update tierkeep_learner set zones = null where zones = ?1", [zones])?;
        }
        tx.execute_batch(&body(include_str!("sql/sqlite/forget_summaries.sql")))?;
        tx.execute("update tierkeep_state set time_zone = ?1, day_start = ?2", (zone, day_start))?;
        Ok(())
    })
    .await
}

/// Whether the database is attached with this mapping, or has Tierkeep's own tables and the mapping speaks of those.
async fn check_mapping(db: &Client, mapping: &Mapping) -> Result<(), StoreError> {
    let row = db.query_one("select mapping from tierkeep_state", &[]).await?;
    match row.try_get::<_, Option<&str>>(0)? {
        None if mapping.is_own() => Ok(()),
        None => Err(StoreError::NotAttached),
        Some(stored) if stored == mapping.to_string() => Ok(()),
        Some(_) => Err(StoreError::MappingChanged),
    }
}

const STORED_ZONES: &str = "select distinct zones from tierkeep_learner where zones is not null";

fn unreadable_zones(stored: String) -> Option<String> {
    stored.parse::<ZoneHistory>().is_err().then_some(stored)
}
