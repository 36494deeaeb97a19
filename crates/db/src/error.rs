//! What can go wrong, one variant per thing a caller could do differently.

use std::path::PathBuf;
use std::time::Duration;

/// A failure of this crate.
///
/// Messages are one sentence in lower case. The cause, where there is one, is in
/// [`source`](std::error::Error::source) and is not repeated in the message.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The database server does not answer, or refuses the connection. Worth a retry later.
    #[error("cannot connect to {target}")]
    Unreachable {
        /// The address without its password.
        target: String,
        /// What the driver says.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No connection was established in time. Worth a retry later.
    #[error("{target} did not accept a connection within {waited:?}")]
    ConnectTimeout {
        /// The address without its password.
        target: String,
        /// The limit that was reached, [`PoolConfig::connect_timeout`](crate::PoolConfig).
        waited: Duration,
    },
    /// All connections of the pool stayed in use. Worth a retry, a larger pool, or less work at once.
    #[error(
        "no connection became free within {waited:?} (timeout): {in_use} of {} (size {size} + overflow {overflow}) are in \
         use and {others} others wait",
        size.saturating_add(*overflow)
    )]
    PoolTimeout {
        /// The limit that was reached, [`PoolConfig::timeout`](crate::PoolConfig).
        waited: Duration,
        /// Connections that are kept when idle.
        size: u32,
        /// Connections that may exist beyond `size`.
        overflow: u32,
        /// Connections that were lent, being made, checked or closed at that moment.
        in_use: u32,
        /// Other callers that waited at that moment.
        others: u32,
    },
    /// A pool or a database was used after `close`.
    #[error("the database was closed by this program")]
    Closed,
    /// What a [`Fence`](crate::Fence) stands before has passed to somebody else: this transaction must not commit.
    #[error("{name} has passed to another process")]
    Fenced {
        /// The name of the fence.
        name: String,
    },
    /// A setting has a value that cannot be used.
    #[error("{setting} is {given}, accepted is {accepted}")]
    InvalidSetting {
        /// Name of the setting.
        setting: &'static str,
        /// The value that was given.
        given: String,
        /// What would have been accepted.
        accepted: &'static str,
    },
    /// The address asks for TLS, and this build, this host or its certificates cannot provide it.
    #[error("sslmode=require cannot be honoured: {reason}")]
    TlsUnavailable {
        /// What is missing.
        reason: String,
    },
    /// A closure given to [`SqliteDatabase`](crate::SqliteDatabase) panicked; its transaction was rolled back.
    #[error("a database closure panicked: {message}")]
    Panicked {
        /// The text of the panic.
        message: String,
    },
    /// The SQLite file does not exist and may not be created.
    #[error("the database file {} does not exist", path.display())]
    FileMissing {
        /// The file that was looked for.
        path: PathBuf,
    },
    /// The SQLite file exists, or should be created, and cannot be opened as a database.
    #[error("cannot open the database file {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What SQLite or the operating system says.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A write was asked of a database that was opened read-only.
    #[error("the database file {} was opened read-only", path.display())]
    ReadOnly {
        /// The file.
        path: PathBuf,
    },
    /// Another process kept the write lock of the SQLite file. Worth a retry.
    #[error("another process kept the write lock of the database for {waited:?}")]
    Busy {
        /// The limit that was reached, [`SqliteConfig::busy_timeout`](crate::SqliteConfig).
        waited: Duration,
        /// What SQLite says.
        #[source]
        source: rusqlite::Error,
    },
    /// The database was migrated by a newer program; this one would misread it. Upgrade the program.
    #[error("the database is at version {found}, this program knows versions up to {known}: use a newer program")]
    DatabaseNewer {
        /// Version of the database.
        found: u32,
        /// Highest version this program knows.
        known: u32,
    },
    /// A migration was edited after it had been applied.
    #[error(
        "migration {version} ({name}) differs from the one that was applied ({applied}): migrations must not be edited"
    )]
    MigrationDivergent {
        /// Its number.
        version: u32,
        /// Its name in this program.
        name: String,
        /// Its name in the database.
        applied: String,
    },
    /// A migration below the version of the database was never applied, or one that was applied is gone.
    #[error("migration {version} ({name}) is missing from {missing_from}, though later ones were applied")]
    MigrationMissing {
        /// Its number.
        version: u32,
        /// Its name.
        name: String,
        /// `the database` or `this program`.
        missing_from: &'static str,
    },
    /// A migration failed; nothing of this run was applied.
    #[error("migration {version} ({name}) failed and nothing was changed")]
    MigrationFailed {
        /// Its number.
        version: u32,
        /// Its name.
        name: String,
        /// What the database says.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Another node was migrating all the time. Worth a retry.
    #[error("another node was migrating the database for {waited:?}")]
    MigrationLocked {
        /// The limit that was reached.
        waited: Duration,
    },
    /// A name cannot be used.
    #[error(transparent)]
    Statement(#[from] crate::StatementError),
    /// A value cannot be written to its column, or read from it.
    #[error(transparent)]
    Value(#[from] crate::ValueError),
    /// A statement of the caller and its parameters do not fit together.
    #[error(transparent)]
    Raw(#[from] crate::raw::RawError),
    /// A filter or an order speaks of what the rows do not have.
    #[error(transparent)]
    Selection(#[from] crate::SelectionError),
    /// A page by key cannot be read: the order, or the cursor.
    #[error(transparent)]
    Keyset(#[from] crate::keyset::KeysetError),
    /// A page by number cannot be read.
    #[error(transparent)]
    Offset(#[from] crate::offset::OffsetError),
    /// Many rows at once cannot be written.
    #[error(transparent)]
    Bulk(#[from] crate::bulk::BulkError),
    /// Related rows cannot be put together.
    #[error(transparent)]
    Related(#[from] crate::relations::RelatedError),
    /// PostgreSQL, or the way to it, refused a request.
    #[error("the request to postgresql failed")]
    Postgres(#[from] tokio_postgres::Error),
    /// SQLite refused a request.
    #[error("the request to sqlite failed")]
    Sqlite(#[from] rusqlite::Error),
}
