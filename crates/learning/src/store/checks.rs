//! Whether a database is as this binary and its configuration expect.

use tierkeep_db::{SqliteDatabase, applied_version_postgres, applied_version_sqlite};
use tokio_postgres::Client;

use super::StoreError;
use super::open::NEEDED;
use crate::fold::DayRules;

pub(super) fn check_version(found: Option<u32>) -> Result<(), StoreError> {
    match found {
        None => Err(StoreError::NotMigrated),
        Some(found) if found < NEEDED => Err(StoreError::Outdated { found, needed: NEEDED }),
        Some(found) => refuse_newer(found),
    }
}

pub(super) fn refuse_newer(found: u32) -> Result<(), StoreError> {
    if found > NEEDED {
        return Err(tierkeep_db::Error::DatabaseNewer { found, known: NEEDED }.into());
    }
    Ok(())
}

/// Whether the summaries are still built as this store counts days.
pub(super) async fn check_built_postgres(db: &Client, rules: &DayRules) -> Result<(), StoreError> {
    check_postgres(db).await?;
    let state = db.query_one(BUILT_WITH, &[]).await?;
    check_days(state.try_get(0)?, state.try_get(1)?, rules)
}

/// As [`check_built_postgres`].
pub(super) async fn check_built_sqlite(db: &SqliteDatabase, rules: &DayRules) -> Result<(), StoreError> {
    check_sqlite(db).await?;
    let days: (Option<String>, Option<i16>) = db
        .read(|db| -> Result<_, StoreError> { Ok(db.query_row(BUILT_WITH, [], |row| Ok((row.get(0)?, row.get(1)?)))?) })
        .await?;
    check_days(days.0.as_deref(), days.1, rules)
}

/// The `[days]` that the summaries are built with; an error if a table is missing without which nothing can be answered.
const BUILT_WITH: &str = "select time_zone, day_start from tierkeep_state where not exists \
     (select 1 from tierkeep_outbox, tierkeep_learner, tierkeep_month, tierkeep_global where 1 = 0)";

pub(super) async fn check_postgres(db: &Client) -> Result<(), StoreError> {
    check_version(applied_version_postgres(db).await?)
}

pub(super) async fn check_sqlite(db: &SqliteDatabase) -> Result<(), StoreError> {
    check_version(applied_version_sqlite(db).await?)
}

/// Compares `[days]` with what the summaries were built with.
pub(super) fn check_days(zone: Option<&str>, day_start: Option<i16>, rules: &DayRules) -> Result<(), StoreError> {
    let (Some(zone), Some(day_start)) = (zone, day_start) else { return Ok(()) };
    let wanted = (rules.default_zone.name(), i16::from(rules.day_start.get()));
    if (zone, day_start) == wanted {
        return Ok(());
    }
    let say = |zone: &str, day_start: i16| format!("time_zone = {zone:?}, day_start = {day_start}");
    Err(StoreError::DaysChanged { wanted: say(wanted.0, wanted.1), stored: say(zone, day_start) })
}
