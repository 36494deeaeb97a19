//! Opening a database: from an address to a store, tables made or checked on the way.

use std::sync::Arc;

use tierkeep_db::{
    Access, CatalogColumn, DatabaseUrl, Dialect, MigrationReport, Migrations, Pool, PoolConfig, PostgresUrl,
    SqliteConfig, SqliteDatabase, SqlitePath, applied_version_postgres, applied_version_sqlite, columns_postgres,
    columns_sqlite, migrate_postgres, migrate_sqlite,
};
use tokio_postgres::Client;

use super::postgres::PostgresStore;
use super::sqlite::SqliteStore;
use super::statements::{Learners, Statements, absent_tables, body, render};
use super::tables::Tables;
use super::{Store, StoreError};
use crate::calendar::{DayStart, Zone, ZoneHistory};
use crate::fold::DayRules;
use crate::key::KeyType;
use crate::mapping::{Mapping, Source};

/// How to open a database.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    /// What may be made or changed on the way.
    pub mode: OpenMode,
    /// The pool, for PostgreSQL.
    pub pool: PoolConfig,
    /// The zone of learners without one.
    pub default_zone: Zone,
    /// The hour at which a local day begins.
    pub day_start: DayStart,
    /// Whose tables these are.
    pub mapping: Mapping,
}

/// What opening may do to a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// Makes the database and its tables where they are missing. Tables that exist and are empty change to `ids`.
    Create {
        /// Type of the keys; `None` = as the tables have it, UUIDs in new ones.
        ids: Option<KeyType>,
    },
    /// Everything must be there.
    Existing,
    /// Everything must be there, and nothing is ever stored. Works with SELECT rights, on a platform's tables as well.
    ReadOnly,
}

/// What [`migrate`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migrated {
    /// Type of the keys.
    pub ids: KeyType,
    /// Last migration applied.
    pub version: u32,
    /// How many were applied just now.
    pub applied: u32,
}

/// The fixed migrations, in order: number, name, PostgreSQL, SQLite.
const MIGRATIONS: &[(u32, &str, &str, &str)] = &[
    (1, "tables", include_str!("migrations/postgres/V1__tables.sql"), include_str!("migrations/sqlite/V1__tables.sql")),
    (
        2,
        "summaries",
        include_str!("migrations/postgres/V2__summaries.sql"),
        include_str!("migrations/sqlite/V2__summaries.sql"),
    ),
    (
        3,
        "capture",
        include_str!("migrations/postgres/V3__capture.sql"),
        include_str!("migrations/sqlite/V3__capture.sql"),
    ),
    (4, "feed", include_str!("migrations/postgres/V4__feed.sql"), include_str!("migrations/sqlite/V4__feed.sql")),
];

/// The migration this binary needs.
const NEEDED: u32 = MIGRATIONS[MIGRATIONS.len() - 1].0;

/// Tables that are dropped when an empty database changes the type of its keys. Fixed text, no name from outside.
const DROP_OWN_TABLES: &str = include_str!("migrations/drop_own_tables.sql");

fn migrations(dialect: Dialect, keys: KeyType) -> Migrations {
    let list = MIGRATIONS.iter().map(|(version, name, postgres, sqlite)| {
        let text = match dialect {
            Dialect::Postgres => postgres,
            Dialect::Sqlite => sqlite,
        };
        (*version, *name, render(text, dialect, keys))
    });
    Migrations::new(list).expect("the numbers above rise from 1")
}

/// Opens a database.
///
/// # Errors
/// [`StoreError`]: unreachable, not migrated, newer than this binary, other `[days]` than stored, a mapping that names
/// what is not there, or a platform's tables without [`OpenMode::ReadOnly`].
pub async fn open(url: &DatabaseUrl, options: &OpenOptions) -> Result<Arc<dyn Store>, StoreError> {
    options.mapping.check()?;
    if !options.mapping.is_own() && options.mode != OpenMode::ReadOnly {
        return Err(StoreError::PlatformTables);
    }
    if let OpenMode::Create { .. } = options.mode {
        migrate(url, options).await?;
    }
    match url {
        DatabaseUrl::Postgres(address) => open_postgres(address, &url.to_string(), options).await,
        DatabaseUrl::Sqlite(path) => open_sqlite(path, &url.to_string(), options).await,
    }
}

/// Makes or upgrades Tierkeep's own tables and stores `[days]` if none is stored.
///
/// # Errors
/// [`StoreError`], [`StoreError::OtherKeyType`] among them when the tables hold rows with the other type of key.
pub async fn migrate(url: &DatabaseUrl, options: &OpenOptions) -> Result<Migrated, StoreError> {
    if !options.mapping.is_own() {
        return Err(StoreError::PlatformTables);
    }
    let asked = if let OpenMode::Create { ids } = options.mode { ids } else { None };
    match url {
        DatabaseUrl::Postgres(address) => {
            let pool = Pool::new(address, options.pool.clone())?;
            let migrated = migrate_own_postgres(&pool, asked, options).await;
            pool.close().await;
            migrated
        }
        DatabaseUrl::Sqlite(path) => {
            let db = sqlite(path, Access::ReadWriteCreate).await?;
            let migrated = migrate_own_sqlite(&db, asked, options).await;
            db.close().await;
            migrated
        }
    }
}

/// Stores the `[days]` of `options` and forgets all summaries, damaged ones too, so that they are built anew from rows.
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

const STORED_ZONES: &str = "select distinct zones from tierkeep_learner where zones is not null";

fn unreadable_zones(stored: String) -> Option<String> {
    stored.parse::<ZoneHistory>().is_err().then_some(stored)
}

async fn sqlite(path: &SqlitePath, access: Access) -> Result<SqliteDatabase, StoreError> {
    Ok(SqliteDatabase::open(path, SqliteConfig { access, ..SqliteConfig::default() }).await?)
}

/// A table that has the name of one of ours, if there is one.
const TAKEN_POSTGRES: &str = "select coalesce(to_regclass('users'), to_regclass('course_progress'), \
     to_regclass('study_sessions'), to_regclass('study_sessions_archive'))::text";
/// The same on SQLite.
const TAKEN_SQLITE: &str = "select min(name) from sqlite_schema \
     where name in ('users', 'course_progress', 'study_sessions', 'study_sessions_archive')";

/// Tables that exist without our migrations belong to somebody else.
fn refuse_foreign(version: Option<u32>, taken: Option<String>) -> Result<(), StoreError> {
    match (version, taken) {
        (None, Some(table)) => Err(StoreError::ForeignTable(table)),
        _ => Ok(()),
    }
}

async fn migrate_own_postgres(
    pool: &Pool,
    asked: Option<KeyType>,
    options: &OpenOptions,
) -> Result<Migrated, StoreError> {
    let mut db = pool.get().await?;
    let mut found = None;
    // before the version: another node that makes the tables makes both at once
    let taken: Option<String> = db.query_one(TAKEN_POSTGRES, &[]).await?.try_get(0)?;
    let version = applied_version_postgres(&db).await?;
    refuse_foreign(version, taken)?;
    if let Some(version) = version {
        refuse_newer(version)?;
        found = Some(key_type(db.query_one("select key_type from tierkeep_state", &[]).await?.try_get(0)?)?);
    }
    if let (Some(found), Some(asked)) = (found, asked.filter(|asked| Some(*asked) != found)) {
        let tx = db.transaction().await?;
        tx.batch_execute("lock table users, course_progress, study_sessions, study_sessions_archive").await?;
        let used: bool = tx.query_one(ANY_ROW, &[]).await?.try_get(0)?;
        if used {
            return Err(StoreError::OtherKeyType { found, asked });
        }
        tx.batch_execute(DROP_OWN_TABLES).await?;
        tx.batch_execute("drop function if exists tierkeep_note_sessions, tierkeep_note_users, tierkeep_note_courses")
            .await?;
        tx.commit().await?;
    }
    let keys = asked.or(found).unwrap_or(KeyType::Uuid);
    let report = migrate_postgres(&mut db, &migrations(Dialect::Postgres, keys)).await?;
    let (zone, day_start) = (options.default_zone.name(), i16::from(options.day_start.get()));
    db.execute(
        "update tierkeep_state set time_zone = $1, day_start = $2 where time_zone is null",
        &[&zone, &day_start],
    )
    .await?;
    let state = db.query_one("select time_zone, day_start from tierkeep_state", &[]).await?;
    check_days(state.try_get(0)?, state.try_get(1)?, &rules(options))?;
    Ok(migrated(keys, &report))
}

async fn migrate_own_sqlite(
    db: &SqliteDatabase,
    asked: Option<KeyType>,
    options: &OpenOptions,
) -> Result<Migrated, StoreError> {
    let mut found = None;
    let taken = db
        .read(|db| -> Result<Option<String>, StoreError> { Ok(db.query_row(TAKEN_SQLITE, [], |row| row.get(0))?) })
        .await?;
    let version = applied_version_sqlite(db).await?;
    refuse_foreign(version, taken)?;
    if let Some(version) = version {
        refuse_newer(version)?;
        found = Some(sqlite_key_type(db).await?);
    }
    if let (Some(found), Some(asked)) = (found, asked.filter(|asked| Some(*asked) != found)) {
        db.write(move |tx| -> Result<(), StoreError> {
            if tx.query_row(ANY_ROW, [], |row| row.get(0))? {
                return Err(StoreError::OtherKeyType { found, asked });
            }
            Ok(tx.execute_batch(DROP_OWN_TABLES)?)
        })
        .await?;
    }
    let keys = asked.or(found).unwrap_or(KeyType::Uuid);
    let report = migrate_sqlite(db, &migrations(Dialect::Sqlite, keys)).await?;
    let rules = rules(options);
    db.write(move |tx| -> Result<(), StoreError> {
        tx.execute(
            "update tierkeep_state set time_zone = ?1, day_start = ?2 where time_zone is null",
            (rules.default_zone.name(), rules.day_start.get()),
        )?;
        let (zone, day_start): (Option<String>, Option<i16>) =
            tx.query_row("select time_zone, day_start from tierkeep_state", [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        check_days(zone.as_deref(), day_start, &rules)
    })
    .await?;
    Ok(migrated(keys, &report))
}

/// Whether any of the tables that hold what cannot be made again has a row.
const ANY_ROW: &str = "select exists (select 1 from users) or exists (select 1 from course_progress) \
     or exists (select 1 from study_sessions) or exists (select 1 from study_sessions_archive)";

fn migrated(ids: KeyType, report: &MigrationReport) -> Migrated {
    Migrated {
        ids,
        version: report.version.unwrap_or(0),
        applied: u32::try_from(report.applied.len()).unwrap_or(u32::MAX),
    }
}

fn key_type(stored: &str) -> Result<KeyType, StoreError> {
    stored.parse().map_err(|error| StoreError::State { reason: format!("its type of keys: {error}") })
}

async fn sqlite_key_type(db: &SqliteDatabase) -> Result<KeyType, StoreError> {
    let stored: String = db
        .read(|db| -> Result<_, StoreError> {
            Ok(db.query_row("select key_type from tierkeep_state", [], |row| row.get(0))?)
        })
        .await?;
    key_type(&stored)
}

fn check_version(found: Option<u32>) -> Result<(), StoreError> {
    match found {
        None => Err(StoreError::NotMigrated),
        Some(found) if found < NEEDED => Err(StoreError::Outdated { found, needed: NEEDED }),
        Some(found) => refuse_newer(found),
    }
}

fn refuse_newer(found: u32) -> Result<(), StoreError> {
    if found > NEEDED {
        return Err(tierkeep_db::Error::DatabaseNewer { found, known: NEEDED }.into());
    }
    Ok(())
}

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

async fn open_postgres(
    address: &PostgresUrl,
    shown: &str,
    options: &OpenOptions,
) -> Result<Arc<dyn Store>, StoreError> {
    let pool = Pool::new(address, options.pool.clone())?;
    let db = pool.get().await?;
    let read_only = options.mode == OpenMode::ReadOnly;
    let is_own = options.mapping.is_own() && (!read_only || applied_version_postgres(&db).await?.is_some());
    let (keys, tables, prefix);
    if is_own {
        check_postgres(&db).await?;
        let state = db.query_one("select key_type, time_zone, day_start from tierkeep_state", &[]).await?;
        check_days(state.try_get(1)?, state.try_get(2)?, &rules(options))?;
        (keys, tables, prefix) = (key_type(state.try_get(0)?)?, Tables::Own, Vec::new());
    } else {
        let mut found = Vec::new();
        for source in Source::ALL {
            let table = options.mapping.table(source);
            let columns = columns_postgres(&db, &table).await?;
            found.push((source, columns.ok_or_else(|| no_table(&options.mapping, source))?));
        }
        keys = options.mapping.key_type(Dialect::Postgres, &found[0].1)?;
        (tables, prefix) = (Tables::Platform, platform_prefix(&options.mapping, Dialect::Postgres, keys, &found)?);
    }
    drop(db);
    Ok(Arc::new(PostgresStore {
        pool,
        keys,
        rules: rules(options),
        sql: statements(Dialect::Postgres, keys, Learners::Many, &prefix)?,
        sql_of_one: statements(Dialect::Postgres, keys, Learners::One, &prefix)?,
        tables,
        read_only,
        address: shown.to_owned(),
    }))
}

async fn open_sqlite(path: &SqlitePath, shown: &str, options: &OpenOptions) -> Result<Arc<dyn Store>, StoreError> {
    let read_only = options.mode == OpenMode::ReadOnly;
    let db = sqlite(path, if read_only { Access::ReadOnly } else { Access::ReadWrite }).await?;
    let is_own = options.mapping.is_own() && (!read_only || applied_version_sqlite(&db).await?.is_some());
    let (keys, tables, prefix);
    if is_own {
        check_sqlite(&db).await?;
        keys = sqlite_key_type(&db).await?;
        let days: (Option<String>, Option<i16>) = db
            .read(|db| -> Result<_, StoreError> {
                Ok(db.query_row("select time_zone, day_start from tierkeep_state", [], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })?)
            })
            .await?;
        check_days(days.0.as_deref(), days.1, &rules(options))?;
        (tables, prefix) = (Tables::Own, Vec::new());
    } else {
        let mapping = options.mapping.clone();
        let found = db
            .read(move |db| -> Result<_, StoreError> {
                let mut found = Vec::new();
                for source in Source::ALL {
                    let columns = columns_sqlite(db, &mapping.table(source))?;
                    found.push((source, columns.ok_or_else(|| no_table(&mapping, source))?));
                }
                Ok(found)
            })
            .await?;
        keys = options.mapping.key_type(Dialect::Sqlite, &found[0].1)?;
        (tables, prefix) = (Tables::Platform, platform_prefix(&options.mapping, Dialect::Sqlite, keys, &found)?);
    }
    let sql = statements(Dialect::Sqlite, keys, Learners::One, &prefix)?;
    Ok(Arc::new(SqliteStore::new(db, keys, rules(options), sql, tables, read_only, shown)))
}

fn rules(options: &OpenOptions) -> DayRules {
    DayRules { default_zone: options.default_zone, day_start: options.day_start }
}

fn statements(
    dialect: Dialect,
    keys: KeyType,
    learners: Learners,
    prefix: &[String],
) -> Result<Statements, StoreError> {
    Statements::render(dialect, keys, learners, prefix).map_err(|error| StoreError::Mapping(error.to_string()))
}

fn no_table(mapping: &Mapping, source: Source) -> StoreError {
    StoreError::Mapping(format!(
        "there is no table {} for {source}; name the platform's table in [mapping.{source}]",
        mapping.table(source).quoted()
    ))
}

fn platform_prefix(
    mapping: &Mapping,
    dialect: Dialect,
    keys: KeyType,
    found: &[(Source, Vec<CatalogColumn>)],
) -> Result<Vec<String>, StoreError> {
    let mut prefix = Vec::new();
    for (source, columns) in found {
        prefix.push(mapping.projection(*source, dialect, keys, columns)?);
    }
    prefix.extend(absent_tables(dialect, keys));
    Ok(prefix)
}
