//! Answers of queries that are kept until a table they read changes, whoever changes it.
//!
//! [`PostgresQueries`] and [`SqliteQueries`] stand before a database. A query that was answered before is answered from
//! memory, until the change feed tells that a table it reads has changed: by this program, raw SQL, `COPY`, a cascade or
//! another process. What cannot be kept safely is run every time, and [`Origin`] says why.
//!
//! # What the key is
//!
//! The text, but for white space, comments and the case of what is not quoted ([`normalised`]); each parameter with its
//! type ([`Parameter`]); and the session: role, database, search path, time zone and the other settings that values are
//! shown by. A connection whose session is another gets its answer from the database.
//!
//! # What an answer depends on
//!
//! On PostgreSQL every name in the text that is a relation counts as read, views are read in the same way as far as they
//! go, and partitions count for their whole table; the parser decides only that it *is* a query and which functions it
//! calls, so that nothing that it misreads could hide a table. On SQLite the tables are those that the compiled program opens.
//!
//! Refused with a reason ([`Uncachable`]): writes, locks, functions whose result may differ (volatile ones, ones that read
//! the clock or the session, ones that nobody knows), system catalogs, temporary, foreign and inherited tables,
//! materialized views, tables with row-level security, and tables that the feed does not watch completely: its source must
//! be [`WatchedRows::Owned`](crate::feed::WatchedRows) with a key that is never null and no shadow.
//!
//! # How fresh it is
//!
//! Somebody drives [`follow`](PostgresQueries::follow), or calls [`catch_up`](PostgresQueries::catch_up). An answer is
//! served only while the feed was asked successfully within [`bound`](QuerySettings::bound): older than that it never is.
//! When the feed is silent or broken, every query goes to the database. A load that began before a change was told leaves
//! nothing behind, which is the rule of [`tierkeep_cache::Cache`].
//!
//! Not told are changes of the schema or of rights, and transactions that say that they only move rows
//! ([`Feed::MOVE_POSTGRES`](crate::feed::Feed::MOVE_POSTGRES)); an answer outlives them by at most its time to live, or until
//! [`forget`](PostgresQueries::forget). The pool must lead to the server that the feed is on, not to a replica. A column of
//! text that is cast to a time and says `now` is not noticed, either.
//!
//! # Functions of your own
//!
//! A function with `#[cached]` that carries the tag of a table ([`table_tag`]) is invalidated by the same feed, if it uses
//! the same [`Cache`](tierkeep_cache::Cache): `examples/query_cache.rs` has one.

mod follower;
mod kept;
mod normal;
mod parameter;
mod plans;
mod postgres;
mod reads;
mod reason;
mod sqlite;

pub use kept::{Answer, Origin, QueryError, QuerySettings};
pub use normal::normalised;
pub use parameter::{KeyPart, Parameter, ParameterKey};
pub use postgres::{PostgresQueries, PreparedPostgresQuery};
pub use reason::{Bypass, Uncachable};
pub use sqlite::{PreparedSqliteQuery, SqliteQueries};

use tierkeep_cache::Tag;

/// The tag of everything that was read from a table, by the name of its [`FeedSource`](crate::feed::FeedSource).
///
/// In an attribute it is written `tags("table:orders")`.
#[must_use]
pub fn table_tag(source: &str) -> Tag {
    Tag::named(&format!("table:{source}"))
}

/// The tag of everything that was read from any table.
fn everything() -> Tag {
    Tag::named("tables")
}
