//! Which database is looked after.

use tierkeep_db::{Dialect, Pool, SqliteDatabase};

/// A database by what lends its connections.
#[derive(Debug, Clone)]
pub enum Database {
    /// PostgreSQL 13 or later.
    Postgres(Pool),
    /// An SQLite file.
    Sqlite(SqliteDatabase),
}

impl Database {
    /// Which language it speaks.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        match self {
            Self::Postgres(_) => Dialect::Postgres,
            Self::Sqlite(_) => Dialect::Sqlite,
        }
    }
}
