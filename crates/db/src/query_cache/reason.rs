//! Why an answer is not kept.

use std::sync::Arc;

/// Why the answers of a query can never be kept. The query runs all the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Uncachable {
    /// The text cannot be read; the database will say what is wrong, if anything is.
    #[error("the query cannot be read: {0}")]
    Unparsable(String),
    /// It is longer than 64 KiB.
    #[error("the text has {0} bytes, accepted are 65536")]
    TooLong(usize),
    /// It writes, or is no query.
    #[error("it is no plain query: {0}")]
    NoQuery(String),
    /// It locks rows.
    #[error("it locks rows")]
    Locks,
    /// A function may give another result each time, or reads tables.
    #[error("the function {0} may give another result next time")]
    Volatile(String),
    /// Nobody knows the function.
    #[error("the function {0} is not known")]
    UnknownFunction(String),
    /// A word or a text stands for the present, the session or chance.
    #[error("`{0}` depends on more than tables")]
    Changeable(String),
    /// A table is not among the sources of the feed.
    #[error("changes of {0} are not told")]
    Unwatched(String),
    /// A table is watched, but not every change of it is told.
    #[error("not every change of {table} is told: {why}")]
    PartlyWatched {
        /// The table.
        table: String,
        /// What is not told.
        why: &'static str,
    },
    /// A relation that no trigger can watch.
    #[error("{table} is a {kind}")]
    Kind {
        /// The relation.
        table: String,
        /// What it is.
        kind: &'static str,
    },
    /// What is seen of the table depends on who looks.
    #[error("{0} has row-level security")]
    RowSecurity(String),
    /// The database has operators or casts of its own that may give another result next time.
    #[error("this database has operators or casts of its own that may give another result next time")]
    Operators,
    /// Views are nested deeper than 16.
    #[error("views are nested too deeply")]
    Nested,
}

/// Why a query went to the database this time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Bypass {
    /// Its answers can never be kept.
    #[error(transparent)]
    Uncachable(#[from] Arc<Uncachable>),
    /// A parameter is a text that may stand for the present.
    #[error("a parameter says `now`, `today`, `tomorrow` or `yesterday`")]
    TimeInParameter,
    /// The feed was not asked within the bound: nobody follows it, or the database does not answer.
    #[error("the feed was not asked within the bound")]
    Silent,
    /// The feed says that changes may go unnoticed.
    #[error("the feed is broken: {}", .0.join("; "))]
    Broken(Vec<String>),
    /// The connection has other settings, another role or temporary tables.
    #[error("the connection's session is another one")]
    OtherSession,
}
