//! Numbered migrations, applied all or nothing on either database.
//!
//! A run is **one transaction**: it takes a lock (an advisory lock of the transaction on PostgreSQL, the write lock on
//! SQLite), compares what was applied with what this program knows, applies what is missing and records it. Two nodes
//! that start at once therefore migrate once, a failure leaves nothing behind, and a dropped future releases the lock
//! with its transaction. `refinery` was tried first: it has no lock, on SQLite it records a migration in another
//! transaction than it applies it in, and its lock would have to belong to the session, where a dropped future leaks it.
//!
//! What was applied is in the table `tierkeep_migrations` with a checksum, so that an edited migration is found. The
//! price of one transaction is that a migration cannot `create index concurrently`; build such an index outside.

use std::time::Duration;

use tokio_postgres::types::Type;
use xxhash_rust::xxh3::xxh3_64;

use crate::{Error, SqliteDatabase};

/// The advisory lock of a run: the first eight bytes of "tierkeep" as a number, so that it is known in `pg_locks`.
const POSTGRES_LOCK: i64 = i64::from_be_bytes(*b"tierkeep");
/// How long another node's run, or a platform's lock on a table, is waited for. Long enough for an index on a large
/// table, short enough that a start that hangs is noticed.
const LOCK_WAIT: Duration = Duration::from_secs(60);

/// An ordered list of migrations: number, name, statements.
///
/// # Examples
///
/// ```
/// use tierkeep_db::Migrations;
///
/// let migrations = Migrations::new([(1, "notes", "create table notes (id integer)"), (2, "tags", "create table tags (id integer)")])?;
/// assert_eq!(migrations.latest(), Some(2));
/// assert!(Migrations::new([(2, "b", ""), (1, "a", "")]).is_err());
/// # Ok::<(), tierkeep_db::MigrationsError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Migrations {
    list: Vec<Migration>,
}

/// Why a list of migrations cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MigrationsError {
    /// The numbers do not rise.
    #[error("migration {version} follows migration {previous}, accepted are rising numbers from 1")]
    Order {
        /// The number that is out of order.
        version: u32,
        /// The number before it; 0 if it is the first one.
        previous: u32,
    },
    /// A number is larger than the column that stores it.
    #[error("migration {version} has too large a number, accepted are 1 to {}", i32::MAX)]
    TooLarge {
        /// The number.
        version: u32,
    },
}

/// What a run did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationReport {
    /// Numbers of the migrations this run applied, in order; empty if the database was up to date.
    pub applied: Vec<u32>,
    /// Version of the database after the run; `None` if the list is empty and nothing was ever applied.
    pub version: Option<u32>,
}

#[derive(Debug, Clone)]
struct Migration {
    version: u32,
    name: String,
    sql: String,
}

/// One row of `tierkeep_migrations`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Applied {
    version: i32,
    name: String,
    checksum: String,
}

impl Migrations {
    /// Checks a list: the numbers rise, from 1.
    ///
    /// The statements may be put together at run time, but must be the same at every start: they are part of the
    /// checksum.
    ///
    /// # Errors
    ///
    /// [`MigrationsError`].
    pub fn new<N, S>(list: impl IntoIterator<Item = (u32, N, S)>) -> Result<Self, MigrationsError>
    where
        N: Into<String>,
        S: Into<String>,
    {
        let mut migrations = Self::default();
        for (version, name, sql) in list {
            let previous = migrations.latest().unwrap_or(0);
            if version <= previous {
                return Err(MigrationsError::Order { version, previous });
            }
            if i32::try_from(version).is_err() {
                return Err(MigrationsError::TooLarge { version });
            }
            migrations.list.push(Migration { version, name: name.into(), sql: sql.into() });
        }
        Ok(migrations)
    }

    /// Returns the highest number, which is the version this program knows.
    pub fn latest(&self) -> Option<u32> {
        self.list.last().map(|migration| migration.version)
    }

    /// Compares with what was applied and returns what is still to be applied.
    fn plan(&self, applied: &[Applied]) -> Result<&[Migration], Error> {
        let found = applied.last().map_or(0, Applied::version);
        let known = self.latest().unwrap_or(0);
        if found > known {
            return Err(Error::DatabaseNewer { found, known });
        }
        let done = self.list.iter().take_while(|migration| migration.version <= found).count();
        let mut rows = applied.iter().peekable();
        for migration in &self.list[..done] {
            match rows.next_if(|row| row.version() <= migration.version) {
                Some(row) if row.version() < migration.version => {
                    return Err(missing(row.version(), &row.name, "this program"));
                }
                Some(row) if row.checksum != migration.checksum() => {
                    return Err(Error::MigrationDivergent {
                        version: migration.version,
                        name: migration.name.clone(),
                        applied: row.name.clone(),
                    });
                }
                Some(_) => {}
                None => return Err(missing(migration.version, &migration.name, "the database")),
            }
        }
        match rows.next() {
            Some(row) => Err(missing(row.version(), &row.name, "this program")),
            None => Ok(&self.list[done..]),
        }
    }

    fn report(&self, pending: &[Migration]) -> MigrationReport {
        MigrationReport { applied: pending.iter().map(|migration| migration.version).collect(), version: self.latest() }
    }
}

impl Migration {
    fn checksum(&self) -> String {
        let text = format!("{}\0{}", self.name, self.sql);
        format!("{:016x}", xxh3_64(text.as_bytes()))
    }

    /// `Migrations::new` refuses larger numbers.
    fn stored_version(&self) -> i32 {
        i32::try_from(self.version).expect("a checked list has only versions that fit")
    }

    fn failed(&self, source: impl std::error::Error + Send + Sync + 'static) -> Error {
        Error::MigrationFailed { version: self.version, name: self.name.clone(), source: Box::new(source) }
    }
}

impl Applied {
    /// A negative number can only come from somebody else's hand; it is then older than anything.
    fn version(&self) -> u32 {
        u32::try_from(self.version).unwrap_or(0)
    }
}

fn missing(version: u32, name: &str, missing_from: &'static str) -> Error {
    Error::MigrationMissing { version, name: name.to_owned(), missing_from }
}

/// Brings a PostgreSQL database to the version of `migrations`.
///
/// Tables without a schema in their name are made in the first schema of the connection's search path. If nothing is
/// missing, nothing is locked or written, and rights to read suffice. If the future is dropped, the transaction is rolled
/// back.
///
/// # Errors
///
/// [`Error::DatabaseNewer`], [`Error::MigrationDivergent`] and [`Error::MigrationMissing`] if the database and the list
/// do not belong together; [`Error::MigrationLocked`] if another node was migrating for 60 s;
/// [`Error::MigrationFailed`] if a statement failed, also if a table stayed locked for 60 s; [`Error::Postgres`].
pub async fn migrate_postgres(
    client: &mut tokio_postgres::Client,
    migrations: &Migrations,
) -> Result<MigrationReport, Error> {
    if let Some(applied) = applied_postgres(client).await?
        && migrations.plan(&applied)?.is_empty()
    {
        return Ok(migrations.report(&[]));
    }
    let tx = client.transaction().await?;
    tx.batch_execute(&format!("set local lock_timeout = {}", LOCK_WAIT.as_millis())).await?;
    match tx.query_typed("select pg_advisory_xact_lock($1)", &[(&POSTGRES_LOCK, Type::INT8)]).await {
        Ok(_) => {}
        Err(error) if error.code() == Some(&tokio_postgres::error::SqlState::LOCK_NOT_AVAILABLE) => {
            return Err(Error::MigrationLocked { waited: LOCK_WAIT });
        }
        Err(error) => return Err(error.into()),
    }
    tx.batch_execute(include_str!("migrate/sql/postgres/create.sql")).await?;
    let applied = applied_postgres(tx.client()).await?.unwrap_or_default();
    let pending = migrations.plan(&applied)?;
    for migration in pending {
        tx.batch_execute(&migration.sql).await.map_err(|source| migration.failed(source))?;
        tx.query_typed(
            include_str!("migrate/sql/postgres/record.sql"),
            &[
                (&migration.stored_version(), Type::INT4),
                (&migration.name, Type::TEXT),
                (&migration.checksum(), Type::TEXT),
            ],
        )
        .await
        .map_err(|source| migration.failed(source))?;
    }
    tx.commit().await?;
    Ok(migrations.report(pending))
}

/// Keeps other nodes from migrating until the transaction ends.
///
/// # Errors
///
/// [`Error::Postgres`], also when `lock_timeout` ran out.
pub async fn lock_migrations_postgres(tx: &tokio_postgres::Transaction<'_>) -> Result<(), Error> {
    tx.query_typed("select pg_advisory_xact_lock($1)", &[(&POSTGRES_LOCK, Type::INT8)]).await?;
    Ok(())
}

/// Returns the statements that [`migrate_postgres`] would run on this database, to be run in their order in one
/// transaction, by whoever has the privilege. Runs none of them; empty if nothing is missing.
///
/// # Errors
///
/// As [`migrate_postgres`] if the database and the list do not belong together; [`Error::Postgres`].
pub async fn pending_postgres(client: &tokio_postgres::Client, migrations: &Migrations) -> Result<Vec<String>, Error> {
    let applied = applied_postgres(client).await?.unwrap_or_default();
    let pending = migrations.plan(&applied)?;
    let mut statements = Vec::new();
    if !pending.is_empty() {
        statements.push(include_str!("migrate/sql/postgres/create.sql").trim_end().to_owned());
    }
    for migration in pending {
        statements.push(migration.sql.clone());
        // the server quotes its own literals
        let row = client
            .query_typed_one(
                "select format('insert into tierkeep_migrations (version, name, checksum) values (%s, %L, %L)', $1, $2, $3)",
                &[
                    (&migration.stored_version(), Type::INT4),
                    (&migration.name, Type::TEXT),
                    (&migration.checksum(), Type::TEXT),
                ],
            )
            .await?;
        statements.push(row.try_get(0)?);
    }
    Ok(statements)
}

/// Brings a SQLite database to the version of `migrations`.
///
/// If nothing is missing, nothing is written, also on a database that was opened read-only. The future can be dropped:
/// the run then goes on to its end.
///
/// # Errors
///
/// [`Error::DatabaseNewer`], [`Error::MigrationDivergent`] and [`Error::MigrationMissing`] if the database and the list
/// do not belong together; [`Error::Busy`] if another process was writing too long; [`Error::MigrationFailed`];
/// [`Error::ReadOnly`]; [`Error::Sqlite`].
pub async fn migrate_sqlite(db: &SqliteDatabase, migrations: &Migrations) -> Result<MigrationReport, Error> {
    if let Some(applied) = db.read(|connection| applied_sqlite(connection)).await?
        && migrations.plan(&applied)?.is_empty()
    {
        return Ok(migrations.report(&[]));
    }
    let migrations = migrations.clone();
    db.write(move |tx| {
        tx.execute_batch(include_str!("migrate/sql/sqlite/create.sql"))?;
        let applied = applied_sqlite(tx)?.unwrap_or_default();
        let pending = migrations.plan(&applied)?;
        for migration in pending {
            tx.execute_batch(&migration.sql)
                .and_then(|()| {
                    tx.execute(
                        include_str!("migrate/sql/sqlite/record.sql"),
                        (migration.version, &migration.name, migration.checksum()),
                    )
                })
                .map_err(|source| migration.failed(source))?;
        }
        Ok(migrations.report(pending))
    })
    .await
}

/// Returns the version of a PostgreSQL database, `None` if it was never migrated. Rights to read suffice.
///
/// # Errors
///
/// [`Error::Postgres`].
pub async fn applied_version_postgres(client: &tokio_postgres::Client) -> Result<Option<u32>, Error> {
    let applied = applied_postgres(client).await?;
    Ok(applied.unwrap_or_default().last().map(Applied::version))
}

/// Returns the version of a SQLite database, `None` if it was never migrated. Writes nothing.
///
/// # Errors
///
/// [`Error::Sqlite`].
pub async fn applied_version_sqlite(db: &SqliteDatabase) -> Result<Option<u32>, Error> {
    let applied = db.read(|connection| applied_sqlite(connection)).await?;
    Ok(applied.unwrap_or_default().last().map(Applied::version))
}

/// `None` if the table does not exist.
async fn applied_postgres(client: &tokio_postgres::Client) -> Result<Option<Vec<Applied>>, Error> {
    let exists = client.query_typed_one("select to_regclass('tierkeep_migrations') is not null", &[]).await?;
    if !exists.try_get::<_, bool>(0)? {
        return Ok(None);
    }
    let rows = client.query_typed(include_str!("migrate/sql/postgres/applied.sql"), &[]).await?;
    rows.iter()
        .map(|row| {
            Ok(Applied {
                version: row.try_get("version")?,
                name: row.try_get("name")?,
                checksum: row.try_get("checksum")?,
            })
        })
        .collect::<Result<_, Error>>()
        .map(Some)
}

/// `None` if the table does not exist.
fn applied_sqlite(connection: &rusqlite::Connection) -> Result<Option<Vec<Applied>>, Error> {
    // `Connection::table_exists` answers from the schema as this connection last saw it, which may be out of date.
    let exists = "select exists (select 1 from sqlite_schema where type = 'table' and name = 'tierkeep_migrations')";
    if !connection.query_row(exists, [], |row| row.get(0))? {
        return Ok(None);
    }
    let mut statement = connection.prepare_cached(include_str!("migrate/sql/sqlite/applied.sql"))?;
    let rows = statement.query_map([], |row| {
        Ok(Applied { version: row.get("version")?, name: row.get("name")?, checksum: row.get("checksum")? })
    })?;
    Ok(Some(rows.collect::<Result<_, _>>()?))
}

#[cfg(test)]
mod tests;
