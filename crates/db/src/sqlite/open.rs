//! Opening one connection with the settings of the crate.

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::{Access, SqliteConfig, Synchronous};
use crate::Error;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Prepared statements kept per connection; the fixed statements of a program are fewer.
const CACHED_STATEMENTS: usize = 256;
/// Page cache of a reader, in KiB (that is what a negative `cache_size` means).
const CACHE_KIB: i64 = 8 * 1024;
/// Page cache of the writer, in KiB, taken as it is needed: with less, a large transaction spills the pages of its indexes
/// and reads them back.
const WRITER_CACHE_KIB: i64 = 64 * 1024;
/// Pages of the log after which a commit writes it back into the file: 32 MiB. The default of 1,000 wrote the pages of
/// indexes back some ten times in an import.
const CHECKPOINT_PAGES: i64 = 8192;

/// Opens the connection of the writer and puts the file into write-ahead mode.
pub(super) fn writer(path: &Path, config: &SqliteConfig) -> Result<Connection, Error> {
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    if config.access == Access::ReadWriteCreate {
        flags |= OpenFlags::SQLITE_OPEN_CREATE;
    } else if !path.exists() {
        return Err(missing(path));
    }
    let open = || -> Result<Connection, Cause> {
        let connection = Connection::open_with_flags(path, flags)?;
        settings(&connection, config.busy_timeout)?;
        let mode = write_ahead(&connection, config.busy_timeout)?;
        if mode != "wal" {
            return Err(format!("write-ahead logging is needed, here only journal mode {mode} works").into());
        }
        let synchronous = match config.synchronous {
            Synchronous::Normal => "normal",
            Synchronous::Full => "full",
        };
        connection.pragma_update(None, "synchronous", synchronous)?;
        connection.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
        connection.pragma_update_and_check(None, "wal_autocheckpoint", CHECKPOINT_PAGES, |_| Ok(()))?;
        Ok(connection)
    };
    open().map_err(|source| cannot_open(path, source))
}

/// Puts the file into write-ahead mode; the mode that it is in then.
///
/// SQLite begins this by reading, and does not wait for others when it goes on to lock the file: of several programs that
/// open a new file at once all but one would fail. Taking the lock beforehand does wait.
fn write_ahead(connection: &Connection, patience: Duration) -> rusqlite::Result<String> {
    let began = Instant::now();
    loop {
        match connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0)) {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && began.elapsed() < patience => {
                connection.execute_batch("begin exclusive; rollback")?;
            }
            done => return done,
        }
    }
}

/// Opens the connection of a reader, which cannot write.
pub(super) fn reader(path: &Path, config: &SqliteConfig) -> Result<Connection, Error> {
    if !path.exists() {
        return Err(missing(path));
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || -> Result<Connection, Cause> {
        let connection = Connection::open_with_flags(path, flags)?;
        settings(&connection, config.busy_timeout)?;
        connection.pragma_update(None, "query_only", true)?;
        // Reads the header, so that a file that is no database is refused here and not by the first query.
        connection.query_row("select count(*) from sqlite_schema", [], |_| Ok(()))?;
        Ok(connection)
    };
    open().map_err(|source| cannot_open(path, source))
}

fn settings(connection: &Connection, busy_timeout: Duration) -> rusqlite::Result<()> {
    connection.busy_timeout(busy_timeout)?;
    connection.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DDL, false)?;
    // A plan that may depend on bound values is made anew whenever they change: measured, 60 µs of every read.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.pragma_update(None, "foreign_keys", false)?;
    connection.pragma_update(None, "temp_store", "memory")?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    // Answers with the size it took, unlike the others.
    connection.pragma_update_and_check(None, "mmap_size", 0, |_| Ok(()))
}

fn missing(path: &Path) -> Error {
    Error::FileMissing { path: path.to_owned() }
}

fn cannot_open(path: &Path, source: Cause) -> Error {
    Error::Open { path: path.to_owned(), source }
}
