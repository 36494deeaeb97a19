//! What can go wrong with a schedule.

use rusqlite::ErrorCode;
use thiserror::Error;
use tokio_postgres::error::SqlState;

use crate::{RunId, TaskName};

/// Why something about a schedule could not be done.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ScheduleError {
    /// No such task.
    #[error("there is no task {given:?}; accepted: {accepted}")]
    UnknownTask {
        /// What was asked for.
        given: String,
        /// The names there are, the most alike first.
        accepted: String,
    },
    /// It works already, here or on another node, or was asked for already.
    #[error("{task} is at work already (run {run})")]
    Busy {
        /// The task.
        task: TaskName,
        /// Its run.
        run: RunId,
    },
    /// The database has no tables for this: it is of an older version.
    #[error("the tables of the schedule are missing: migrate the database")]
    TablesMissing(#[source] tierkeep_db::Error),
    /// The database may not be written to.
    #[error("the schedule cannot be changed: the database is read-only")]
    ReadOnly(#[source] tierkeep_db::Error),
    /// The database failed.
    #[error(transparent)]
    Database(tierkeep_db::Error),
}

impl From<tierkeep_db::Error> for ScheduleError {
    fn from(error: tierkeep_db::Error) -> Self {
        match &error {
            tierkeep_db::Error::Postgres(source) if source.code() == Some(&SqlState::UNDEFINED_TABLE) => {
                Self::TablesMissing(error)
            }
            tierkeep_db::Error::Postgres(source) if source.code() == Some(&SqlState::READ_ONLY_SQL_TRANSACTION) => {
                Self::ReadOnly(error)
            }
            tierkeep_db::Error::Sqlite(source) if source.to_string().starts_with("no such table") => {
                Self::TablesMissing(error)
            }
            tierkeep_db::Error::Sqlite(source) if source.sqlite_error_code() == Some(ErrorCode::ReadOnly) => {
                Self::ReadOnly(error)
            }
            tierkeep_db::Error::ReadOnly { .. } => Self::ReadOnly(error),
            _ => Self::Database(error),
        }
    }
}

/// Whether somebody else has what was asked for locked: there is another look soon.
pub(crate) fn is_locked(error: &tierkeep_db::Error) -> bool {
    match error {
        tierkeep_db::Error::Postgres(error) => {
            matches!(error.code(), Some(&SqlState::LOCK_NOT_AVAILABLE | &SqlState::T_R_DEADLOCK_DETECTED))
        }
        tierkeep_db::Error::Busy { .. } => true,
        _ => false,
    }
}
