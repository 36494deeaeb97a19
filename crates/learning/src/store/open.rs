//! Opening a database: from an address to a store, tables made or checked on the way.

use std::sync::Arc;

use tierkeep_db::{
    Access, DatabaseUrl, Dialect, MigrationReport, Migrations, Pool, PoolConfig, PostgresUrl, SqliteConfig,
    SqliteDatabase, SqlitePath, StatementCounts, applied_version_postgres, applied_version_sqlite, migrate_postgres,
    migrate_sqlite,
};
use tokio_postgres::Client;

use self::found::{Found, columns_of_postgres, columns_of_sqlite, platform};
use super::checks::{check_built_sqlite, check_days, check_version, refuse_newer};
use super::erasure::Removal;
use super::feed::feed;
use super::postgres::PostgresStore;
use super::postgres::feed::Follower;
use super::sqlite::{Parts, SqliteStore};
use super::statements::{Learners, Statements, render};
use super::tables::Tables;
use super::{Store, StoreError};
use crate::calendar::{DayStart, Zone};
use crate::fold::DayRules;
use crate::key::KeyType;
use crate::mapping::Mapping;

mod found;

pub(super) use found::mapped_postgres;

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
pub(super) const MIGRATIONS: &[(u32, &str, &str, &str)] = &[
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
    (5, "tokens", include_str!("migrations/postgres/V5__tokens.sql"), include_str!("migrations/sqlite/V5__tokens.sql")),
    (6, "writes", include_str!("migrations/postgres/V6__writes.sql"), include_str!("migrations/sqlite/V6__writes.sql")),
    (
        7,
        "erasure",
        include_str!("migrations/postgres/V7__erasure.sql"),
        include_str!("migrations/sqlite/V7__erasure.sql"),
    ),
    (8, "base", include_str!("migrations/postgres/V8__base.sql"), include_str!("migrations/sqlite/V8__base.sql")),
    (
        9,
        "archived_by",
        include_str!("migrations/postgres/V9__archived_by.sql"),
        include_str!("migrations/sqlite/V9__archived_by.sql"),
    ),
    (10, "retention", tierkeep_retention::TABLES_POSTGRES, tierkeep_retention::TABLES_SQLITE),
    (11, "schedule", tierkeep_schedule::TABLES_POSTGRES, tierkeep_schedule::TABLES_SQLITE),
    (
        12,
        "analytics",
        include_str!("migrations/postgres/V12__analytics.sql"),
        include_str!("migrations/sqlite/V12__analytics.sql"),
    ),
    (13, "table_samples", tierkeep_db::statistics::SAMPLES_POSTGRES, tierkeep_db::statistics::SAMPLES_SQLITE),
];

/// The migration this binary needs.
pub(super) const NEEDED: u32 = MIGRATIONS[MIGRATIONS.len() - 1].0;

/// Tables that are dropped when an empty database changes the type of its keys. Fixed text, no name from outside.
pub(super) const DROP_OWN_TABLES: &str = include_str!("migrations/drop_own_tables.sql");

/// Migrations that make and watch the tables of rows: on a platform's tables there is nothing of theirs to do.
pub(super) const OF_OWN_ROWS: [u32; 3] = [1, 3, 9];

/// `of_rows`: whether the tables of rows are Tierkeep's own.
pub(super) fn migrations(dialect: Dialect, keys: KeyType, of_rows: bool) -> Migrations {
    let list = MIGRATIONS.iter().map(|(version, name, postgres, sqlite)| {
        let text = match dialect {
            _ if !of_rows && OF_OWN_ROWS.contains(version) => "select 1",
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
    if let OpenMode::Create { .. } = options.mode
        && options.mapping.is_own()
    {
        migrate(url, options).await?;
    }
    let store = match url {
        DatabaseUrl::Postgres(address) => open_postgres(address, &url.to_string(), options).await,
        DatabaseUrl::Sqlite(path) => open_sqlite(path, &url.to_string(), options).await,
    }?;
    // whether every change is noted: if not, the first answer must not rest on what is stored
    store.changes(i64::MAX.unsigned_abs()).await?;
    Ok(store)
}

/// Makes or upgrades Tierkeep's own tables and stores `[days]` if none is stored.
///
/// # Errors
/// [`StoreError`], [`StoreError::OtherKeyType`] among them when the tables hold rows with the other type of key.
pub async fn migrate(url: &DatabaseUrl, options: &OpenOptions) -> Result<Migrated, StoreError> {
    if !options.mapping.is_own() {
        return Err(StoreError::PlatformTables("migrate"));
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

pub(super) async fn sqlite(path: &SqlitePath, access: Access) -> Result<SqliteDatabase, StoreError> {
    // what only reads could not store what it counts
    let statements = if access == Access::ReadOnly { StatementCounts::Off } else { StatementCounts::On };
    Ok(SqliteDatabase::open(path, SqliteConfig { access, statements, ..SqliteConfig::default() }).await?)
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
        // the first migrations have no column of that name
        let state = "select key_type, to_jsonb(s) ->> 'mapping' is not null from tierkeep_state s";
        let state = db.query_one(state, &[]).await?;
        if state.try_get(1)? {
            return Err(StoreError::MappingChanged);
        }
        found = Some(key_type(state.try_get(0)?)?);
    }
    if let (Some(found), Some(asked)) = (found, asked.filter(|asked| Some(*asked) != found)) {
        let tx = db.transaction().await?;
        tx.batch_execute("lock table users, course_progress, study_sessions, study_sessions_archive").await?;
        let used: bool = tx.query_one(&any_row(version), &[]).await?.try_get(0)?;
        if used {
            return Err(StoreError::OtherKeyType { found, asked });
        }
        for text in feed(found, &options.mapping, true)?.remove_sql(Dialect::Postgres) {
            tx.batch_execute(&text).await?;
        }
        tx.batch_execute(DROP_OWN_TABLES).await?;
        tx.commit().await?;
    }
    let keys = asked.or(found).unwrap_or(KeyType::Uuid);
    let report = migrate_postgres(&mut db, &migrations(Dialect::Postgres, keys, true)).await?;
    let (zone, day_start) = (options.default_zone.name(), i16::from(options.day_start.get()));
    let tx = db.transaction().await?;
    // the row is locked until the commit, so nodes that start together install the feed one after the other
    tx.execute(
        "update tierkeep_state set time_zone = coalesce(time_zone, $1), day_start = coalesce(day_start, $2)",
        &[&zone, &day_start],
    )
    .await?;
    feed(keys, &options.mapping, true)?.install_postgres(&tx).await?;
    tx.commit().await?;
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
            if tx.query_row(&any_row(version), [], |row| row.get(0))? {
                return Err(StoreError::OtherKeyType { found, asked });
            }
            Ok(tx.execute_batch(DROP_OWN_TABLES)?)
        })
        .await?;
    }
    let keys = asked.or(found).unwrap_or(KeyType::Uuid);
    let report = migrate_sqlite(db, &migrations(Dialect::Sqlite, keys, true)).await?;
    let (rules, feed) = (rules(options), feed(keys, &options.mapping, true)?);
    db.write(move |tx| -> Result<(), StoreError> {
        feed.install_sqlite(tx)?;
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

/// Whether any of the tables that hold what cannot be made again has a row, in a database at this migration.
fn any_row(version: Option<u32>) -> String {
    let later = if version >= Some(9) { ANY_BASE } else { "" };
    format!("{ANY_ROW}{later}")
}

const ANY_BASE: &str = " or exists (select 1 from tierkeep_base) or exists (select 1 from tierkeep_quarantine)";
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

async fn open_postgres(
    address: &PostgresUrl,
    shown: &str,
    options: &OpenOptions,
) -> Result<Arc<dyn Store>, StoreError> {
    let pool = Pool::new(address, options.pool.clone())?;
    let db = pool.get().await?;
    let read_only = options.mode == OpenMode::ReadOnly;
    let version = applied_version_postgres(&db).await?;
    let found = if options.mapping.is_own() && (version.is_some() || !read_only) {
        check_version(version)?;
        let state = db.query_one("select key_type, time_zone, day_start, mapping from tierkeep_state", &[]).await?;
        if state.try_get::<_, Option<&str>>(3)?.is_some() {
            return Err(StoreError::MappingChanged);
        }
        check_days(state.try_get(1)?, state.try_get(2)?, &rules(options))?;
        let columns = columns_of_postgres(&db, &options.mapping).await?;
        Found::own(&options.mapping, Dialect::Postgres, key_type(state.try_get(0)?)?, &columns)?
    } else {
        let is_attached = if version.is_some() { check_attached(&db, version, options).await? } else { false };
        if !is_attached && !read_only {
            return Err(StoreError::NotAttached);
        }
        mapped_postgres(&db, &options.mapping, is_attached).await?
    };
    drop(db);
    let follower = if read_only || !found.tables.have_summaries() {
        None
    } else {
        let name = format!("{} changes", options.pool.application_name);
        // each question is itself the sign of life, and the next one comes soon
        let alone =
            PoolConfig { size: 1, overflow: 0, pre_ping: false, application_name: name, ..options.pool.clone() };
        let feed = feed(found.keys, &options.mapping, found.has_zones)?;
        Some(Follower::new(feed, Pool::new(address, alone)?, found.platform))
    };
    let mapping = (found.tables == Tables::Attached).then(|| options.mapping.to_string());
    Ok(Arc::new(PostgresStore {
        pool,
        names: options.mapping.clone(),
        keys: found.keys,
        rules: rules(options),
        sql: statements(Dialect::Postgres, found.keys, Learners::Many, &found.prefix)?,
        sql_of_one: statements(Dialect::Postgres, found.keys, Learners::One, &found.prefix)?,
        removal: Removal::new(Dialect::Postgres, found.keys, &options.mapping, found.tables)?,
        rows: found.rows,
        tables: found.tables,
        mapping,
        follower,
        read_only,
        address: shown.to_owned(),
    }))
}

/// Whether Tierkeep is attached with this mapping; an error if with another.
async fn check_attached(db: &Client, version: Option<u32>, options: &OpenOptions) -> Result<bool, StoreError> {
    check_version(version)?;
    let state = db.query_one("select mapping, time_zone, day_start from tierkeep_state", &[]).await?;
    let Some(mapping) = state.try_get::<_, Option<&str>>(0)? else { return Ok(false) };
    if mapping != options.mapping.to_string() {
        return Err(StoreError::MappingChanged);
    }
    check_days(state.try_get(1)?, state.try_get(2)?, &rules(options))?;
    Ok(true)
}

async fn open_sqlite(path: &SqlitePath, shown: &str, options: &OpenOptions) -> Result<Arc<dyn Store>, StoreError> {
    let read_only = options.mode == OpenMode::ReadOnly;
    let db = sqlite(path, if read_only { Access::ReadOnly } else { Access::ReadWrite }).await?;
    let found = if options.mapping.is_own() && (!read_only || applied_version_sqlite(&db).await?.is_some()) {
        check_built_sqlite(&db, &rules(options)).await?;
        let columns = columns_of_sqlite(&db, &options.mapping).await?;
        Found::own(&options.mapping, Dialect::Sqlite, sqlite_key_type(&db).await?, &columns)?
    } else {
        if !read_only {
            return Err(StoreError::Attaching(
                "[mapping] speaks of a platform's tables, and tierkeep attaches to those on PostgreSQL only: add \
                 --read-only to read them on SQLite"
                    .to_owned(),
            ));
        }
        let found = columns_of_sqlite(&db, &options.mapping).await?;
        let keys = options.mapping.key_type(Dialect::Sqlite, &found[0].1)?;
        platform(&options.mapping, Dialect::Sqlite, keys, &found, false, None)?
    };
    let follower = if read_only {
        None
    } else {
        let alone = SqliteConfig { access: Access::ReadOnly, readers: 1, ..SqliteConfig::default() };
        Some(SqliteDatabase::open(path, alone).await?)
    };
    let parts = Parts {
        keys: found.keys,
        names: options.mapping.clone(),
        rules: rules(options),
        sql: statements(Dialect::Sqlite, found.keys, Learners::One, &found.prefix)?,
        removal: Removal::new(Dialect::Sqlite, found.keys, &options.mapping, found.tables)?,
        rows: found.rows,
        tables: found.tables,
        feed: feed(found.keys, &options.mapping, found.has_zones)?,
        read_only,
        address: shown.to_owned(),
    };
    Ok(Arc::new(SqliteStore::new(db, follower, parts)))
}

pub(super) fn rules(options: &OpenOptions) -> DayRules {
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
