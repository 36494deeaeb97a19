//! What can go wrong with a run.

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use thiserror::Error;

use crate::RunId;
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
    /// Rows did not arrive as they left. The batch was rolled back.
    #[error("a batch was rolled back because it did not do what it should: {0}")]
    Mismatch(String),
    /// A rule speaks of a column that its subject does not have.
    #[error(transparent)]
    Column(#[from] tierkeep_db::UnknownColumn),
    /// Whoever knows what rows mean could not do their part. The batch was rolled back.
    #[error("a batch was rolled back")]
    Companion(#[source] crate::companion::CompanionError),
    /// What was asked for would do harm or cannot be done; nothing was changed. The text says why and what helps.
    #[error("{0}")]
    Refused(String),
    /// Another run works, and went on working for as long as was waited. Worth a retry later.
    #[error(
        "another retention run works: {holder}{}; waited {waited:?}. Wait for it, or end that process: a run that is gone \
         is replaced at once, one that stands still when its lease ends{}",
        .since.map_or_else(String::new, |since| format!(", since {since}")),
        .until.map_or_else(String::new, |until| format!(" (now {until}, renewed with each batch)"))
    )]
    Busy {
        /// Process, address and session of whoever has the lease.
        holder: String,
        /// Since when, by the clock of the database.
        since: Option<Timestamp>,
        /// Until when its lease runs if it does not renew it, by the clock of the database.
        until: Option<Timestamp>,
        /// How long was waited.
        waited: Duration,
    },
    /// The lease has passed to another run, since this one stood still or lost its session, or it was given back. Nothing of
    /// this transaction may be committed.
    #[error(
        "the lease of this retention run has passed on: it stood still for too long, or lost its session; nothing of its \
         last batch was kept. What it did is complete; `runs` lists it, and the next run goes on"
    )]
    Fenced,
    /// Somebody set `tierkeep_retention.stop` while the run worked. Holds what they wrote there.
    #[error("stopped by the switch in table tierkeep_retention: {0}; to allow runs again: {RESET}")]
    Stopped(String),
    /// The database did not answer in time, so nobody can know whether the lease was renewed.
    #[error(
        "the database did not answer within {waited:?}: the retention run cannot know whether it still has its lease"
    )]
    Silent {
        /// The limit that was reached.
        waited: Duration,
    },
    /// The file by which a run on SQLite shows that it lives cannot be made.
    #[error("cannot make {}, by which a retention run shows that it lives: its directory must be writable", path.display())]
    LockFile {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        #[source]
        source: std::io::Error,
    },
    /// There is no run of this number.
    #[error("there is no retention run {0}; `runs` lists them")]
    UnknownRun(RunId),
    /// A batch or an end was to be recorded of a run that has ended, or that there never was.
    #[error("retention run {0} is not under way: it has ended, or there never was one")]
    NotUnderWay(RunId),
    /// A row of the engine's own tables does not say what it should.
    #[error("{place} cannot be read: {why}")]
    Unreadable {
        /// Table, and row where there are several.
        place: String,
        /// What is wrong, and what helps.
        why: String,
    },
    /// Rows could not be exported, or the file of them is not what was exported; they were not deleted.
    #[error(transparent)]
    Export(#[from] ExportError),
}

/// What allows runs again after the switch was used.
pub(crate) const RESET: &str = "update tierkeep_retention set stop = null";

impl From<crate::companion::CompanionError> for RetentionError {
    fn from(error: crate::companion::CompanionError) -> Self {
        Self::Companion(error)
    }
}

fn postgres_reason(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(db) => db.message().to_owned(),
        None => std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string),
    }
}
