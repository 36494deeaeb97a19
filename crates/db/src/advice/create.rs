//! Making an index while others read and write, and looking whether it helps.
//!
//! On PostgreSQL an index is made `concurrently`: writers go on, and a failure leaves an index behind that serves nobody
//! and that every write keeps up. [`create`] therefore looks for what is there by definition and not by name, removes what
//! an earlier attempt of its own left, tries again when a lock is not to be had, and checks the result. [`measure`] and [`judge`]
//! compare real runs of statements before and after.

use std::time::Duration;

use serde::Serialize;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use crate::feed::own_change_sqlite;
use crate::plan::Private;
use crate::statement::{Creation, IndexDefinition, drop_index};
use crate::{Database, Dialect, Error, Ident, Pool, SqliteDatabase, TableName};

use super::facts::{ExistingIndex, postgres, sqlite};

pub use verify::{Benefit, Runs, Timing, Trial, Verdict, judge, measure, measure_trials, trials};

mod verify;

/// Advisory locks of this kind; the second half is made from the table's name.
const LOCK_SPACE: i32 = 0x7469_6478;

/// How an index is made. Every value is valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateOptions {
    /// How long each lock is waited for; default 5 s. Writers that come later wait behind us.
    pub lock_timeout: Duration,
    /// How often it is tried again when a lock was not to be had; default 4.
    pub retries: u32,
    /// The wait before the first retry, doubled each time; default 1 s.
    pub pause: Duration,
    /// How long another process that makes an index on the table is waited for, and with what a failure left, those who use
    /// the table; default 1 h.
    pub patience: Duration,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Created {
    /// It was made, after so many failed attempts.
    New {
        /// Its name.
        name: Ident,
        /// Attempts that got no lock.
        failed_attempts: u32,
    },
    /// One with the same definition, or one that serves all that it would, is there.
    Present {
        /// The name of that one.
        name: Ident,
    },
}

/// Why an index was not made. Nothing of ours is left in the database, unless the variant says so.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    /// There is something else of the name.
    #[error("there is another index called {name}, on other columns: drop or rename it")]
    NameTaken {
        /// The name.
        name: Ident,
    },
    /// Another process was making an index on the table all the time.
    #[error("another process made an index on {table} for {waited:?}")]
    Occupied {
        /// The table.
        table: TableName,
        /// [`CreateOptions::patience`].
        waited: Duration,
    },
    /// Some transaction held the table all the time.
    #[error("{table} was held by other transactions in {attempts} attempts of {waited:?} each")]
    Locked {
        /// The table.
        table: TableName,
        /// How often it was tried.
        attempts: u32,
        /// [`CreateOptions::lock_timeout`].
        waited: Duration,
        /// What the server says.
        #[source]
        source: tokio_postgres::Error,
    },
    /// The server gave up: it was cancelled, or a value does not fit.
    #[error("the index on {table} could not be made, and what was begun was removed")]
    Failed {
        /// The table.
        table: TableName,
        /// What the server says.
        #[source]
        source: tokio_postgres::Error,
    },
    /// What was begun could not be removed: drop it by hand.
    #[error("the index on {table} could not be made, and {name} is left: drop it with `{statement}`")]
    Left {
        /// The table.
        table: TableName,
        /// What is left.
        name: Ident,
        /// The statement that drops it.
        statement: String,
        /// Why it could not be removed.
        #[source]
        source: Error,
    },
    /// It was made and is not there, or not valid: somebody else dropped it, or the table.
    #[error("{name} was made on {table} and is not there any more: somebody else changes the indexes of this table")]
    Gone {
        /// The table.
        table: TableName,
        /// The name of the index.
        name: Ident,
    },
    /// The database could not be asked.
    #[error("the database could not be asked for an index")]
    Database(#[from] Error),
}

/// Makes an index, unless one with its definition is there.
///
/// On PostgreSQL writers go on meanwhile; it takes as long as two passes over the table, and waits for every transaction
/// that is older than it. One process at a time makes an index on a table. On SQLite writers wait.
///
/// Takes two connections of the pool; the one that made the index is closed.
///
/// If the future is dropped, the server goes on. Should that end without an index, what it leaves is removed by the next
/// call.
///
/// # Errors
///
/// [`CreateError`], one variant per thing that can be done.
///
/// # Examples
///
/// ```no_run
/// use tierkeep_db::advice::create::{CreateOptions, Runs, Verdict, create, judge, measure};
/// use tierkeep_db::{Database, Ident, IndexDefinition, IndexKey, IndexMethod};
///
/// # async fn example(db: Database) -> Result<(), Box<dyn std::error::Error>> {
/// let index = IndexDefinition {
///     method: IndexMethod::Tree,
///     table: "public.orders".parse()?,
///     keys: vec![IndexKey::ascending(Ident::new("customer")?)],
///     include: Vec::new(),
///     predicate: None,
/// };
/// let statements = [("select * from orders where customer = 7", 1000.0)];
///
/// let before = measure(&db, &statements, &Runs::default()).await?;
/// create(&db, &index, &CreateOptions::default()).await?;
/// let after = measure(&db, &statements, &Runs::default()).await?;
/// assert_ne!(judge(&before, &after).verdict, Verdict::Harmful);
/// # Ok(()) }
/// ```
pub async fn create(db: &Database, index: &IndexDefinition, options: &CreateOptions) -> Result<Created, CreateError> {
    match db {
        Database::Postgres(pool) => create_postgres(pool, index, options).await,
        Database::Sqlite(db) => create_sqlite(db, index.clone()).await,
    }
}

async fn create_postgres(
    pool: &Pool,
    index: &IndexDefinition,
    options: &CreateOptions,
) -> Result<Created, CreateError> {
    let connection = Private::get(pool).await?;
    // Closed at the end: the lock and the settings are of the session.
    lock_table(&connection, index, options).await?;
    let mut failed_attempts = 0;
    let mut pause = options.pause;
    loop {
        if let Some(name) = present(&connection, index).await? {
            return Ok(Created::Present { name });
        }
        remove_leftover(pool, index, options).await?;
        let limit = crate::plan::milliseconds(options.lock_timeout);
        let set = "select set_config('lock_timeout', $1, false), set_config('statement_timeout', '0', false)";
        connection.query_typed(set, &[(&limit, Type::TEXT)]).await.map_err(Error::from)?;
        let sql = index.create(Dialect::Postgres, Some(&index.name()), Creation::Concurrent);
        let Err(error) = connection.batch_execute(&sql).await else {
            return match is_valid(&connection, index).await? {
                true => Ok(Created::New { name: index.name(), failed_attempts }),
                false => Err(CreateError::Gone { table: index.table.clone(), name: index.name() }),
            };
        };
        // Another connection: this one may be gone.
        remove_leftover(pool, index, options).await?;
        let code = error.code().cloned();
        let is_worth_a_retry = matches!(&code, Some(code) if *code == SqlState::LOCK_NOT_AVAILABLE || *code == SqlState::T_R_DEADLOCK_DETECTED);
        match code {
            Some(_) if is_worth_a_retry && failed_attempts < options.retries => {
                failed_attempts += 1;
                tokio::time::sleep(pause).await;
                pause = pause.saturating_mul(2);
            }
            Some(_) if is_worth_a_retry => {
                return Err(CreateError::Locked {
                    table: index.table.clone(),
                    attempts: failed_attempts + 1,
                    waited: options.lock_timeout,
                    source: error,
                });
            }
            _ => return Err(CreateError::Failed { table: index.table.clone(), source: error }),
        }
    }
}

/// Takes the lock of the table, for as long as the connection lives. It is asked for again and again and not waited for:
/// who waits has a snapshot, and an index waits for all snapshots.
async fn lock_table(connection: &Private, index: &IndexDefinition, options: &CreateOptions) -> Result<(), CreateError> {
    let name = index.table.quoted();
    let began = tokio::time::Instant::now();
    let mut pause = Duration::from_millis(20);
    loop {
        let row = connection
            .query_typed(
                "select pg_try_advisory_lock($1, hashtext($2))",
                &[(&LOCK_SPACE, Type::INT4), (&name, Type::TEXT)],
            )
            .await
            .map_err(Error::from)?;
        if row[0].try_get(0).map_err(Error::from)? {
            return Ok(());
        }
        if began.elapsed() >= options.patience {
            return Err(CreateError::Occupied { table: index.table.clone(), waited: options.patience });
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(1));
    }
}

/// The name of an index that makes a new one needless.
///
/// # Errors
///
/// [`CreateError::NameTaken`] if the name is that of something else.
async fn present(connection: &Private, index: &IndexDefinition) -> Result<Option<Ident>, CreateError> {
    let existing = postgres::indexes(connection, &index.table).await?;
    let name = index.name();
    if let Some(found) =
        existing.iter().find(|existing| existing.is_valid && (existing.is(index) || existing.serves(index)))
    {
        return Ok(Some(found.name.clone()));
    }
    let is_ours = existing.iter().any(|existing| is_leftover(existing, index));
    let taken = "select to_regclass($1) is not null";
    let qualified = TableName::new(index.table.schema().cloned(), name.clone()).quoted();
    let row = connection.query_typed(taken, &[(&qualified, Type::TEXT)]).await.map_err(Error::from)?;
    let is_taken: bool = row[0].try_get(0).map_err(Error::from)?;
    if is_taken && !is_ours { Err(CreateError::NameTaken { name }) } else { Ok(None) }
}

/// Whether this is what a failed attempt to make this very index left.
fn is_leftover(existing: &ExistingIndex, index: &IndexDefinition) -> bool {
    !existing.is_valid && existing.name == index.name() && existing.is(index)
}

/// Drops what a failed attempt left. The table's lock is held, so that nobody of us is still making it.
async fn remove_leftover(pool: &Pool, index: &IndexDefinition, options: &CreateOptions) -> Result<(), CreateError> {
    let remove = async || -> Result<(), Error> {
        let connection = Private::get(pool).await?;
        let existing = postgres::indexes(&connection, &index.table).await?;
        if let Some(leftover) = existing.iter().find(|existing| is_leftover(existing, index)) {
            // It waits for whoever uses the table, writers do not wait for it.
            let limit = crate::plan::milliseconds(options.patience);
            let set = "select set_config('lock_timeout', $1, false), set_config('statement_timeout', '0', false)";
            connection.query_typed(set, &[(&limit, Type::TEXT)]).await?;
            connection.batch_execute(&drop_index(Dialect::Postgres, Some(&leftover.schema), &leftover.name)).await?;
            // Its settings are not those that others expect: it is closed.
            return Ok(());
        }
        connection.give_back();
        Ok(())
    };
    remove().await.map_err(|source| left(index, source))
}

async fn is_valid(connection: &Private, index: &IndexDefinition) -> Result<bool, Error> {
    let existing = postgres::indexes(connection, &index.table).await?;
    Ok(existing.iter().any(|existing| existing.is_valid && existing.name == index.name() && existing.is(index)))
}

fn left(index: &IndexDefinition, source: Error) -> CreateError {
    let name = index.name();
    let statement = drop_index(Dialect::Postgres, index.table.schema(), &name);
    CreateError::Left { table: index.table.clone(), name, statement, source }
}

async fn create_sqlite(db: &SqliteDatabase, index: IndexDefinition) -> Result<Created, CreateError> {
    let name = index.name();
    // One transaction: it is there at the end, or nothing is.
    let made = db
        .write(move |tx| {
            let keys = index.keys.iter().cloned();
            let behind = index.include.iter().cloned().map(crate::statement::IndexKey::ascending);
            let whole = IndexDefinition { keys: keys.chain(behind).collect(), include: Vec::new(), ..index.clone() };
            let existing = sqlite::indexes(tx, &index.table)?;
            if let Some(found) = existing.iter().find(|existing| existing.is(&whole) || existing.serves(&whole)) {
                return Ok(Some(Created::Present { name: found.name.clone() }));
            }
            let name = index.name();
            let is_taken: bool = tx.query_row(
                "select count(*) from sqlite_schema where name = ?1 collate nocase",
                [name.as_str()],
                |row| row.get(0),
            )?;
            if is_taken {
                return Ok(None);
            }
            let create = index.create(Dialect::Sqlite, Some(&name), Creation::Plain);
            own_change_sqlite(tx, |tx| tx.execute_batch(&create))?;
            Ok::<_, Error>(Some(Created::New { name, failed_attempts: 0 }))
        })
        .await;
    match made? {
        Some(created) => Ok(created),
        None => Err(CreateError::NameTaken { name }),
    }
}

impl Default for CreateOptions {
    fn default() -> Self {
        Self {
            lock_timeout: Duration::from_secs(5),
            retries: 4,
            pause: Duration::from_secs(1),
            patience: Duration::from_secs(3600),
        }
    }
}
