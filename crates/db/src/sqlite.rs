//! SQLite on threads of its own: one writer, several readers.
//!
//! A connection of SQLite blocks its thread, so each has one: the writer's and each reader's. A closure is sent to such a
//! thread and its answer awaited. There is one writer because SQLite has one: a second would only wait for the lock and,
//! if it had begun by reading, fail at once. Readers and the writer do not disturb each other (write-ahead log).

use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior};
use tokio::sync::oneshot;

use crate::{Error, SqlitePath};
use counting::Counting;
use threads::{Crew, Job};

pub(crate) mod counting;
mod ease;
mod open;
mod threads;

/// Closures that may wait for a thread before callers wait for a place, per queue. A place is a few words.
const QUEUE_PLACES: usize = 1024;

/// How a database file is opened and served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqliteConfig {
    /// Threads that read at the same time; 1 to 64, default 4.
    pub readers: usize,
    /// How long another process's lock is waited for; default 5 s.
    pub busy_timeout: Duration,
    /// What may be done to the file; default [`Access::ReadWriteCreate`].
    pub access: Access,
    /// When a commit is on the disk; default [`Synchronous::Normal`].
    pub synchronous: Synchronous,
    /// Whether statements are counted; default [`StatementCounts::Off`].
    pub statements: StatementCounts,
}

/// Whether the statements that run on a database are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StatementCounts {
    /// They are not.
    Off,
    /// Calls and times are counted by text, without parameters and without the values in it but those that the definitions of
    /// indexes name when the file is opened and whenever counts are stored, at most 1,000 texts on each connection, until
    /// [`SqliteDatabase::note_statements`] stores them.
    ///
    /// A statement costs about 0.2 µs more (`benches/sqlite_hop.rs`).
    On,
}

/// What may be done to a database file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// Read and write, and make the file if it is absent.
    ReadWriteCreate,
    /// Read and write a file that exists.
    ReadWrite,
    /// Read a file that exists; there is no writer, and nothing of the file is changed.
    ReadOnly,
}

/// When a commit is on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Synchronous {
    /// At the next checkpoint: a power failure may undo the last commits, a crash of this program never does.
    Normal,
    /// Before the commit returns.
    Full,
}

/// An open database file with its threads.
///
/// Cheap to clone; all clones are the same database. When the last one is dropped the threads finish what is queued and
/// end; [`close`](Self::close) waits for that.
///
/// # Settings of each connection
///
/// | setting | value | why |
/// |---|---|---|
/// | `journal_mode` | `wal` | readers go on while the writer writes; stays in the file; left alone when read-only |
/// | `synchronous` | `normal`, or `full` if asked for | `normal` may lose the last commits on a power failure, never consistency |
/// | `busy_timeout` | 5 s | other processes may write the file too |
/// | `foreign_keys` | off | the tables of a platform are not ours to enforce |
/// | `cache_size` | 8 MiB, 64 MiB for writing | the default of 2 MiB does not hold the inner pages of an index over a million rows; given back after ten seconds with less than a hundredth of them at work |
/// | `mmap_size` | 0 | an input error or another process cutting the file would end this process with a signal |
/// | `temp_store` | memory | sorts stay off the disk |
/// | double-quoted text | refused | a misspelt `"column"` must be an error, not a text |
/// | cached statements | 256 | see [`rusqlite::Connection::prepare_cached`] |
///
/// # Cost
///
/// Sending a closure to its thread and awaiting the answer takes 4 to 9 µs (two cores, `benches/sqlite_hop.rs`; a look-up
/// by key takes 2 µs in place). Put the statements that belong together into one closure.
///
/// # If the future is dropped
///
/// A closure that was queued runs to its end, and a write is committed, also when the future of
/// [`read`](Self::read) or [`write`](Self::write) was dropped meanwhile; only its answer is lost.
///
/// # Examples
///
/// ```
/// use tierkeep_db::{Error, SqliteConfig, SqliteDatabase, SqlitePath};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// # let directory = tempfile::tempdir()?;
/// let file = SqlitePath::new(directory.path().join("a.db"));
/// let db = SqliteDatabase::open(&file, SqliteConfig::default()).await?;
/// db.write(|tx| Ok::<_, Error>(tx.execute_batch("create table t (a); insert into t values (1)")?)).await?;
/// let a: i64 = db.read(|c| Ok::<_, Error>(c.query_row("select a from t", [], |row| row.get(0))?)).await?;
/// assert_eq!(a, 1);
/// db.close().await;
/// # Ok(()) })
/// # }
/// ```
#[derive(Clone)]
pub struct SqliteDatabase {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    busy_timeout: Duration,
    /// Absent if nobody wants to know what runs.
    counting: Option<Counting>,
    readers: Crew,
    /// Absent if read-only.
    writer: Option<Crew>,
}

impl SqliteDatabase {
    /// Opens a file and starts its threads.
    ///
    /// # Errors
    ///
    /// [`Error::FileMissing`] if the file must exist and does not; [`Error::Open`] if it cannot be opened or is no
    /// database; [`Error::InvalidSetting`] for a number of readers outside of 1 to 64.
    pub async fn open(path: &SqlitePath, config: SqliteConfig) -> Result<Self, Error> {
        if !(1..=64).contains(&config.readers) {
            return Err(Error::InvalidSetting {
                setting: "readers",
                given: config.readers.to_string(),
                accepted: "1 to 64",
            });
        }
        let path = path.path().to_owned();
        let counting = match config.statements {
            StatementCounts::Off => None,
            StatementCounts::On => Some(Counting::default()),
        };
        // The writer comes first: it makes the file, and recovers it after a crash, which readers may not.
        let writer = match config.access {
            Access::ReadOnly => None,
            Access::ReadWriteCreate | Access::ReadWrite => {
                let (path, config, counting) = (path.clone(), config.clone(), counting.clone());
                let open = move || counted(open::writer(&path, &config)?, counting.as_ref());
                Some(Crew::start("sqlite-writer", 1, QUEUE_PLACES, open).await?)
            }
        };
        let readers = {
            let (path, readers) = (path.clone(), config.readers);
            let (config, counting) = (config.clone(), counting.clone());
            let open = move || counted(open::reader(&path, &config)?, counting.as_ref());
            Crew::start("sqlite-reader", readers, QUEUE_PLACES, open).await?
        };
        Ok(Self { inner: Arc::new(Inner { path, busy_timeout: config.busy_timeout, counting, readers, writer }) })
    }

    /// Returns the path of the file.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// Runs a closure on a reader's connection.
    ///
    /// The connection cannot write. A transaction the closure leaves open is rolled back. Waits if more closures are
    /// queued than there are places.
    ///
    /// # Errors
    ///
    /// What the closure returns; [`Error::Panicked`] if it panics; [`Error::Closed`] after [`close`](Self::close).
    pub async fn read<T, E, F>(&self, f: F) -> Result<T, E>
    where
        F: FnOnce(&mut Connection) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        run(&self.inner.readers, f).await
    }

    /// Runs a closure in a write transaction, which is committed if it returns `Ok` and rolled back otherwise.
    ///
    /// The transaction begins as `immediate`, so the closure has the write lock from its first statement on. Writes run
    /// one after the other in the order in which they were queued.
    ///
    /// # Errors
    ///
    /// What the closure returns; [`Error::Panicked`] if it panics; [`Error::Busy`] if another process kept the lock;
    /// [`Error::ReadOnly`] if the database was opened so; [`Error::Closed`] after [`close`](Self::close);
    /// [`Error::Sqlite`] if the commit fails.
    pub async fn write<T, E, F>(&self, f: F) -> Result<T, E>
    where
        F: FnOnce(&Transaction<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let Some(writer) = &self.inner.writer else {
            return Err(E::from(Error::ReadOnly { path: self.inner.path.clone() }));
        };
        let busy_timeout = self.inner.busy_timeout;
        run(writer, move |connection| {
            let tx =
                connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(|source| match source
                    .sqlite_error_code()
                {
                    Some(ErrorCode::DatabaseBusy) => Error::Busy { waited: busy_timeout, source },
                    _ => Error::Sqlite(source),
                })?;
            let value = f(&tx)?;
            tx.commit().map_err(Error::Sqlite)?;
            Ok(value)
        })
        .await
    }

    /// Adds what was counted since the last time to the table `tierkeep_statement`, which is made if it is absent, and returns
    /// how many texts that were; 0 where nothing is counted. The table keeps the 1,000 texts that took most time.
    ///
    /// Whoever opted in calls it from time to time: what was not stored when the program ends is lost. Several programs may
    /// store counts of one file. If the future is dropped, what was taken is stored or lost.
    ///
    /// # Errors
    ///
    /// Those of [`write`](Self::write); what was counted is kept for the next time.
    pub async fn note_statements(&self) -> Result<u64, Error> {
        let Some(counting) = &self.inner.counting else { return Ok(0) };
        let (texts, dropped) = counting.take().into_parts();
        if texts.is_empty() && dropped == 0 {
            return Ok(0);
        }
        let (count, counting) = (texts.len() as u64, counting.clone());
        let counts = counting::Counts::of(texts.clone(), dropped);
        let stored = self.write(move |tx| {
            crate::statistics::store_statements(tx, &texts, dropped)?;
            Ok::<_, Error>(counting::named_by_indexes(tx)?)
        });
        match stored.await {
            Ok(named) => {
                counting.keep(named);
                Ok(count)
            }
            Err(error) => {
                counting.put_back(counts);
                Err(error)
            }
        }
    }

    /// Refuses new closures, waits for the queued ones, writes the log back into the file and ends the threads.
    ///
    /// A second call waits for nothing.
    pub async fn close(&self) {
        self.inner.readers.close().await;
        if let Some(writer) = &self.inner.writer {
            // Last: only when no reader is left can the log be emptied.
            writer.close().await;
        }
    }
}

impl std::fmt::Debug for SqliteDatabase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteDatabase").field("path", &self.inner.path).finish_non_exhaustive()
    }
}

fn counted(mut connection: Connection, counting: Option<&Counting>) -> Result<Connection, Error> {
    if let Some(counting) = counting {
        counting.watch(&mut connection)?;
    }
    Ok(connection)
}

async fn run<T, E, F>(crew: &Crew, f: F) -> Result<T, E>
where
    F: FnOnce(&mut Connection) -> Result<T, E> + Send + 'static,
    T: Send + 'static,
    E: From<Error> + Send + 'static,
{
    let (answer, answered) = oneshot::channel();
    let job: Job = Box::new(move |connection| {
        let result = std::panic::catch_unwind(AssertUnwindSafe(|| f(connection)));
        if !connection.is_autocommit() {
            // An error here means that SQLite has rolled back by itself.
            let _ = connection.execute_batch("rollback");
        }
        let result =
            result.unwrap_or_else(|panic| Err(E::from(Error::Panicked { message: panic_message(panic.as_ref()) })));
        // Nobody waits for the answer any more if the future was dropped.
        let _ = answer.send(result);
    });
    crew.submit(job).await?;
    match answered.await {
        Ok(result) => result,
        // A queued job is dropped only if its thread could not run it.
        Err(_) => Err(E::from(Error::Closed)),
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    if let Some(text) = panic.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text.clone()
    } else {
        "no message".to_owned()
    }
}

impl Default for SqliteConfig {
    fn default() -> Self {
        Self {
            readers: 4,
            busy_timeout: Duration::from_secs(5),
            access: Access::ReadWriteCreate,
            synchronous: Synchronous::Normal,
            statements: StatementCounts::Off,
        }
    }
}
