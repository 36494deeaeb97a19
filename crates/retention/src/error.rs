//! What can go wrong with a run.

use thiserror::Error;

use crate::export::ExportError;

/// Failure of the engine.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RetentionError {
    /// The database cannot be reached, or refused a statement.
    #[error(transparent)]
    Database(#[from] tierkeep_db::Error),
    /// PostgreSQL refused a statement or broke the connection.
    #[error("the database refused a statement: {}", postgres_reason(.0))]
    Postgres(#[from] tokio_postgres::Error),
    /// SQLite refused a statement.
    #[error("the database refused a statement")]
    Sqlite(#[from] rusqlite::Error),
    /// What was asked for would do harm or cannot be done; nothing was changed. The text says why and what helps.
    #[error("{0}")]
    Refused(String),
    /// Rows could not be exported, or the file of them is not what was exported; they were not deleted.
    #[error(transparent)]
    Export(#[from] ExportError),
}

fn postgres_reason(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(db) => db.message().to_owned(),
        None => std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string),
    }
}
