//! What can go wrong between a statistic and its rows.

use thiserror::Error;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::WrongType;

use crate::calendar::ZoneError;
use crate::key::{KeyType, UserId};

/// Failure of a store.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The database cannot be reached, or refused a statement.
    #[error(transparent)]
    Database(#[from] tierkeep_db::Error),
    /// PostgreSQL refused a statement or broke the connection.
    #[error("the database refused a statement: {}", postgres_reason(.0))]
    Postgres(#[from] tokio_postgres::Error),
    /// SQLite refused a statement.
    #[error("the database refused a statement")]
    Sqlite(#[from] rusqlite::Error),
    /// The database has not been migrated.
    #[error(
        "the database has no tables of tierkeep; run `tierkeep migrate`, or use --read-only on a platform's own tables"
    )]
    NotMigrated,
    /// The database was migrated by an older version.
    #[error("the database is at migration {found} and this binary needs {needed}; run `tierkeep migrate`")]
    Outdated {
        /// Last migration applied.
        found: u32,
        /// Last migration known.
        needed: u32,
    },
    /// `[days]` differs from what the stored summaries were built with.
    #[error(
        "[days] says {wanted} but the stored summaries were built with {stored}; restore the old values, \
         or rebuild with `tierkeep rederive`"
    )]
    DaysChanged {
        /// What the configuration says.
        wanted: String,
        /// What the database says.
        stored: String,
    },
    /// The tables exist with the other type of key.
    #[error("the database has ids of type {found}, not {asked}; only empty tables change their type")]
    OtherKeyType {
        /// What the database has.
        found: KeyType,
        /// What was asked for.
        asked: KeyType,
    },
    /// A write through a store that only reads.
    #[error("this store is read-only: nothing is written to {0}")]
    ReadOnly(String),
    /// The mapping names something that the database does not have, or leaves out something needed.
    #[error("{0}")]
    Mapping(String),
    /// A platform's tables to which nothing is attached.
    #[error(
        "[mapping] speaks of a platform's tables, to which tierkeep is not attached: run `tierkeep attach`, \
         or add --read-only"
    )]
    NotAttached,
    /// Something that is done with Tierkeep's own tables only.
    #[error(
        "[mapping] speaks of a platform's tables, and {0} is for tierkeep's own: the platform writes its tables itself"
    )]
    PlatformTables(&'static str),
    /// A database that was attached with another mapping.
    #[error(
        "the database was attached with another [mapping]; restore the old one, or run `tierkeep attach` with the new one"
    )]
    MappingChanged,
    /// Attaching to a platform's tables, or detaching from them, that would do harm or cannot be done; nothing was changed.
    #[error("{0}")]
    Attaching(String),
    /// Something about retention.
    #[error(transparent)]
    Retention(#[from] tierkeep_retention::RetentionError),
    /// The change feed cannot be read or installed.
    #[error(transparent)]
    Feed(#[from] tierkeep_db::feed::FeedError),
    /// A table of the name of one of ours that we did not make.
    #[error(
        "the table {0} exists and tierkeep did not make it; accepted: an empty database, \
         or --read-only with [mapping] to read a platform's own tables"
    )]
    ForeignTable(String),
    /// What the database says of itself cannot be read.
    #[error("tierkeep_state cannot be read: {reason}")]
    State {
        /// Why.
        reason: String,
    },
    /// A stored zone name is unknown to this binary.
    #[error("a stored time zone is unknown to this binary")]
    Zone(#[from] ZoneError),
    /// Another token of this name is not revoked.
    #[error("a token named {0} exists; choose another name, or revoke it first with `tierkeep token revoke {0}`")]
    TokenNameTaken(String),
    /// Rows about learners who were erased. Nothing was written.
    #[error("learner {} was erased; rows about them are not accepted", .0.first().map(ToString::to_string).unwrap_or_default())]
    Erased(Vec<UserId>),
    /// A stored value of ours cannot be read.
    #[error("stored {what} of learner {learner} cannot be read: {reason}; {}", remedy(what))]
    Corrupt {
        /// Which value.
        what: &'static str,
        /// Whose.
        learner: String,
        /// Why.
        reason: String,
    },
}

/// [`StoreError::Corrupt::what`] of what deleted sessions contributed to their days.
pub(super) const DAY_BASE: &str = "day base";

fn remedy(what: &str) -> &'static str {
    if what == DAY_BASE {
        "nothing can compute it again: restore its row of tierkeep_base from a backup, or delete the row, which gives up what \
         deleted sessions of this month counted for"
    } else {
        "`tierkeep rederive` rebuilds it"
    }
}

impl StoreError {
    /// How the database differs from what this store expects; `None` if it does not. It was changed since the store was
    /// opened, so one that is opened anew, or with another configuration, would answer.
    #[must_use]
    pub fn misfit(&self) -> Option<String> {
        let refusal = match self {
            Self::DaysChanged { .. } | Self::MappingChanged | Self::NotAttached => return Some(self.to_string()),
            Self::Database(tierkeep_db::Error::Postgres(error)) | Self::Postgres(error) => error,
            _ => return None,
        };
        let why = match refusal.as_db_error() {
            Some(db) if SCHEMA_STATES.contains(db.code()) => db.message().to_owned(),
            // the driver says so, and not the server
            None if std::error::Error::source(refusal).is_some_and(<dyn std::error::Error>::is::<WrongType>) => {
                refusal.to_string()
            }
            _ => return None,
        };
        Some(format!(
            "{why}; if the platform's tables have changed, correct [mapping], run `tierkeep attach` and start this node \
             again"
        ))
    }
}

/// Tables, columns or operators that do not exist, types that do not fit, rights that are missing, and plans of a schema
/// that is no more.
const SCHEMA_STATES: [SqlState; 7] = [
    SqlState::UNDEFINED_TABLE,
    SqlState::UNDEFINED_COLUMN,
    SqlState::UNDEFINED_FUNCTION,
    SqlState::DATATYPE_MISMATCH,
    SqlState::CANNOT_COERCE,
    SqlState::INSUFFICIENT_PRIVILEGE,
    SqlState::FEATURE_NOT_SUPPORTED,
];

fn postgres_reason(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(db) => db.message().to_owned(),
        None => std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string),
    }
}
