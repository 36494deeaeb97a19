//! Reading the sources of SQLite.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use tierkeep_db::SqliteDatabase;

use super::{Reading, Source};

const HEALTH: &str = include_str!("../sql/sqlite/health.sql");

/// Bytes of log up to which nobody asks what of it was written back: 8 MiB.
const SMALL: u64 = 8 << 20;

/// Bytes before each page in the log.
const FRAME_HEADER: u64 = 24;

/// Reads all sources of an SQLite database. `lock_wait` is how long the last batch waited for the write lock.
///
/// The log keeps its length after it was written back. So if it is more than 8 MiB, whatever no reader needs is written
/// back first, which waits for nobody, and what remains is the reading. That costs the writing, which the writer
/// would otherwise have to do.
///
/// The file of the log is never opened by hand: closing it would release the locks that SQLite holds in this process.
pub async fn health_sqlite(db: &SqliteDatabase, lock_wait: Duration) -> Vec<Reading> {
    let path = db.path().to_owned();
    let wal_file = match tokio::task::spawn_blocking(move || unwritten(&path)).await {
        Ok(Ok(bytes)) => Reading::WalFile { bytes },
        Ok(Err(why)) => Reading::Unknown { source: Source::WalFile, why },
        Err(panic) => Reading::Unknown { source: Source::WalFile, why: panic.to_string() },
    };
    vec![wal_file, Reading::WriteLock { waited: lock_wait }]
}

/// Bytes of log that are not in the file.
fn unwritten(path: &Path) -> Result<u64, String> {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let length = match PathBuf::from(log).metadata() {
        Ok(metadata) => metadata.len(),
        // Without a log nothing waits, if there is a database.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && path.exists() => 0,
        Err(error) => return Err(format!("the log of the database cannot be looked at: {error}")),
    };
    if length <= SMALL {
        return Ok(length);
    }
    write_back(path).map_err(|error| format!("the log of the database cannot be written back: {error}"))?.ok_or_else(
        // Not an error: somebody else is at it, and will be done.
        || "the log of the database is just being written back".to_owned(),
    )
}

/// Writes back what no reader needs; the bytes that remain, or `None` while somebody else does it.
pub(crate) fn write_back(path: &Path) -> rusqlite::Result<Option<u64>> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::ZERO)?;
    let page: u32 = connection.query_row("pragma page_size", [], |row| row.get(0))?;
    let (frames, written): (i64, i64) = connection.query_row(HEALTH, [], |row| Ok((row.get(1)?, row.get(2)?)))?;
    let left = frames.checked_sub(written).and_then(|left| u64::try_from(left).ok());
    Ok(left.filter(|_| frames >= 0).map(|left| left.saturating_mul(u64::from(page) + FRAME_HEADER)))
}
