//! Which database is looked after.

use std::time::Duration;

use tierkeep_db::{Dialect, Pool, SqliteDatabase};

use crate::pace::Pace;

/// A database by what lends its connections.
#[derive(Debug, Clone)]
pub enum Database {
    /// PostgreSQL 13 or later.
    Postgres(Pool),
    /// An SQLite file.
    Sqlite(SqliteDatabase),
}

/// Time that a batch is to take on SQLite, where it has the write lock of the whole file.
const SQLITE_BATCH: Duration = Duration::from_millis(50);

impl Database {
    /// Time that a batch is to take unless told otherwise.
    pub(crate) fn batch_time(&self) -> Duration {
        match self {
            Self::Postgres(_) => Pace::TARGET,
            Self::Sqlite(_) => SQLITE_BATCH,
        }
    }

    /// Which language it speaks.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        match self {
            Self::Postgres(_) => Dialect::Postgres,
            Self::Sqlite(_) => Dialect::Sqlite,
        }
    }
}
