//! Which database a piece works on, where it works on both.

use crate::{Dialect, Pool, SqliteDatabase};

/// A database by what lends its connections. A cheap handle.
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
