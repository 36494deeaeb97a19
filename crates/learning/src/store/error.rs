//! What can go wrong between a statistic and its rows.

use thiserror::Error;

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
    #[error("stored {what} of learner {learner} cannot be read: {reason}; `tierkeep rederive` rebuilds it")]
    Corrupt {
        /// Which value.
        what: &'static str,
        /// Whose.
        learner: String,
        /// Why.
        reason: String,
    },
}

fn postgres_reason(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(db) => db.message().to_owned(),
        None => std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string),
    }
}
