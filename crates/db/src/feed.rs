//! A durable feed of changes: watched tables in, ordered events out, whoever writes.
//!
//! Triggers on the watched tables note each committed change in an outbox table of the same database, in the writer's own
//! transaction: what commits is noted, what rolls back is not, and it makes no difference whether the writer is this
//! program, `psql`, `COPY`, a cascade or another process. [`Feed::install_postgres`] and [`Feed::install_sqlite`] set it up
//! (or [`Feed::install_sql`] prints it for somebody who has the privilege), `poll_*` reads it, `prune_*` and `collapse_*`
//! keep it small (and while nobody does, writers themselves replace the oldest events by an "everything"),
//! [`Feed::remove_sql`] takes every trace away.
//!
//! # Why positions are given by the reader
//!
//! On PostgreSQL an id is taken when a row is written and seen when its transaction commits, so a lower id may appear after
//! a higher one, and a cursor `id > last` loses events. Usual answers are to stop below the oldest running transaction,
//! which stalls behind a forgotten one, or to read again from there on (a window over `xid8`), which grows behind it, and
//! in each consumer anew. Here a poll *numbers* what has become visible: under the lock of the one row of `tierkeep_feed`
//! it gives the unnumbered rows the next positions and raises the feed's own. A row that becomes visible later gets a
//! later number. Whoever sees the feed at position n sees every row up to n, all nodes see the same order, a consumer's
//! state is one number, and no transaction, however long, makes anything stall or grow.
//!
//! On SQLite there is one writer at a time, so ids are in the order of commits and are the positions.
//!
//! # What a consumer does
//!
//! It keeps the last position it has taken in and polls after it. An event names a source, a key and the span of the
//! instants that were touched; no key stands for any key, no source for everything. It forgets all it knows when
//! [`Polled::gap`] says that events were pruned which it has not seen, and when [`Polled::epoch`] differs from the one
//! before. While [`Polled::health`] is [`FeedHealth::Broken`] changes may go unnoticed: nothing may be trusted that a
//! change would have to invalidate. When it is whole again, an event "everything" follows by itself.
//!
//! # What a writer pays
//!
//! On PostgreSQL a statement writes one row for each key it touched, or one row for all if there are more than 500 keys
//! (a session with `set tierkeep.origin = 'import'` names them all; rows that *are* keys are always named). The trigger
//! runs in a subtransaction, so that no error of the feed reaches the writer: a column that was renamed, a dropped outbox
//! or an exhausted sequence make the event coarser ("everything of that source"), and if not even that can be noted, a
//! sequence is moved and the feed reports itself broken. A transaction of more than 64 statements on watched tables has
//! as many subtransactions as one with savepoints around each of them, with the same cost to snapshots while it runs.
//!
//! Measured on 2 cores, PostgreSQL 15: some 14 µs of processor time for an insert of one row. With 16 clients that insert
//! one row a transaction 0.67 of the throughput with a flush at each commit, and 0.59 without one, where only the processor
//! counts. An insert of 200,000 rows takes 1.05 of the time (`benches/feed.rs`, and the mode `writers` of the service's
//! benchmark of freshness).
//!
//! On SQLite triggers run for each row ([`Feed::suspend_sqlite`] is for bulk writes), and there is no way to catch an error
//! in them: dropping the outbox by hand makes writes fail, and SQLite itself refuses to drop a column that a trigger reads.
//!
//! # Moves
//!
//! A row that changes its place, from a live table to an archive, changes nothing for whoever counts it in both. A transaction
//! that only does that says so, or each move would look like as many changes: [`Feed::MOVE_POSTGRES`] and
//! [`Feed::quietly_sqlite`]. Consumers must then read both places in one snapshot, since no event tells them to read again.
//! What is saved is what would follow. The move itself takes, for 100,000 rows, about 1.7 of the time without triggers on
//! PostgreSQL (1.9 noted), where the triggers' tables of rows are made all the same, and 1.5 on SQLite (5 noted).
//!
//! # What is not seen
//!
//! What a transaction does that says that it only moves rows. On PostgreSQL anybody may say so, as the owner of a table may
//! disable its triggers; unlike that, `set tierkeep.origin = 'move'` for a session, a role or a database shows in nothing that
//! a poll could look at. TRUNCATE is noted all the same. On SQLite a committed row in `tierkeep_feed_quiet` is told as a broken
//! feed until somebody takes it away, which adds an "everything".
//!
//! Attaching, detaching and dropping partitions fires no trigger; a poll notices the changed set of partitions and adds an
//! "everything", as it does when a trigger was replaced, the outbox truncated or the server restarted (a crash may undo
//! commits that were asynchronous). Rows that logical replication applies fire no statement triggers. On SQLite `REPLACE` fires no delete
//! trigger: rows with the same id are noted before they go, rows that another unique index displaces are not.

use std::collections::BTreeSet;

use crate::{Dialect, Ident, SqlType, TableName};
use definition::Definition;

mod definition;
mod postgres;
mod rehanging;
mod sqlite;

pub use rehanging::Rehanging;
pub use sqlite::{SuspendedTriggers, own_change_sqlite};

/// Rows numbered by one poll at most; a poll that meets more says so in [`Polled::more`]. Callers give up after a time, which
/// undoes the numbering: 10,000 took over a second on a busy server that folded meanwhile, so a node with a limit of one
/// second did not catch up with 740,000.
const NUMBERED_AT_ONCE: i64 = 1000;

/// What is watched, ready to be installed and polled on either database.
///
/// # Examples
///
/// ```
/// use tierkeep_db::{SqlType, feed::{Feed, FeedSource, WatchedRows}};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let feed = Feed::new(
///     SqlType::Bigint,
///     vec![FeedSource {
///         name: "orders",
///         table: "orders".parse()?,
///         rows: WatchedRows::Owned {
///             id: "id".parse()?,
///             key: "customer_id".parse()?,
///             at: Some("placed_at".parse()?),
///             shadow: None,
///         },
///         settles: true,
///     }],
/// )?;
/// let mut db = rusqlite::Connection::open_in_memory()?;
/// db.execute_batch("create table orders (id integer primary key, customer_id integer, placed_at integer)")?;
/// let tx = db.transaction()?;
/// feed.install_sqlite(&tx)?;
/// tx.commit()?;
/// let start = feed.poll_sqlite(&db, 1, 100)?.position;
///
/// db.execute("insert into orders values (1, 7, 1000)", [])?;
///
/// let polled = feed.poll_sqlite(&db, start, 100)?;
/// assert_eq!(polled.events[0].key.as_deref(), Some("7"));
/// assert_eq!(polled.events[0].first, Some(1000));
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Feed {
    definition: Definition,
}

/// One watched table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedSource {
    /// What its events are called: 1 to 40 of `a-z`, `0-9` and `_`.
    pub name: &'static str,
    /// The table, looked up along the search path if it has no schema. On SQLite of the database `main`.
    pub table: TableName,
    /// What its rows say.
    pub rows: WatchedRows,
    /// Whether somebody settles its events; if not, they are born settled.
    pub settles: bool,
}

/// What the rows of a watched table say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchedRows {
    /// Rows that belong to a key: an event for each key that a statement touched, of the rows before and after it, with
    /// the span of `at`. Rows whose key is null are not noted.
    Owned {
        /// Identifies a row.
        id: Ident,
        /// Whose row it is.
        key: Ident,
        /// The instant it is about; without, events have no span, which stands for all time.
        at: Option<Ident>,
        /// Rows elsewhere that do not count while one of these has their id.
        shadow: Option<Shadow>,
    },
    /// Rows that are keys. One that comes notes `note`, or the empty text if that is null or not watched; one that goes
    /// notes nothing; an update that changes `note` notes the new value. A changed key is one that went and one that came.
    /// Each is named, however many a statement touches.
    Keys {
        /// The key.
        id: Ident,
        /// A value that is noted with the key.
        note: Option<Ident>,
        /// Where the keys are listed that a TRUNCATE, which does not tell them, is noted for one by one.
        roster: Option<Roster>,
    },
}

/// A table that lists keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roster {
    /// The table, found from the schema of the feed's own tables if it has no schema.
    pub table: TableName,
    /// Its column of keys.
    pub key: Ident,
}

/// Rows of another table that do not count while their id is in the watched one.
///
/// A statement on the watched table touches the keys and instants of those rows as well, since they begin or cease to
/// count. Give the table a [`FeedSource`] of its own for statements on itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shadow {
    /// The table.
    pub table: TableName,
    /// Its column that is compared with the id of the watched table.
    pub id: Ident,
    /// Whose row it is.
    pub key: Ident,
    /// The instant it is about.
    pub at: Option<Ident>,
}

/// What an installation has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Installed {
    /// Whether anything was missing or differed. An event "everything" was added then.
    pub changed: bool,
}

/// What a poll has found, all in one snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Polled {
    /// Where the feed stands; 1 before the first event. With [`more`](Self::more) the events end earlier.
    pub position: u64,
    /// The highest position that was pruned; 1 if none was.
    pub floor: u64,
    /// The events after the one asked for, by position.
    pub events: Vec<FeedEvent>,
    /// Whether to poll again at once.
    pub more: bool,
    /// Whether events were pruned that the caller has not seen, or the feed is not the one it has seen: it forgets all.
    pub gap: bool,
    /// Whether changes are noted at this moment.
    pub health: FeedHealth,
    /// Whether there are events that nobody has settled.
    pub unsettled: bool,
    /// Which feed this is. A caller that has seen another one forgets all. On PostgreSQL it changes when the tables of the
    /// feed are made anew and when the server restarts, on SQLite with every change of the schema, as it may have taken
    /// triggers away for a while.
    pub epoch: u64,
}

/// A change of a watched table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedEvent {
    /// Its place in the order, the same for all nodes; at least 2.
    pub position: u64,
    /// Name of the source; empty if everything of every source may have changed.
    pub source: String,
    /// The key as text; `None` if any key may be concerned.
    pub key: Option<String>,
    /// Earliest instant of the rows touched, in microseconds since 1970; `None` if not known, which stands for all time.
    /// An infinite one is the least or greatest number.
    pub first: Option<i64>,
    /// Latest instant of the rows touched, likewise.
    pub last: Option<i64>,
    /// The value of [`WatchedRows::Keys`]' `note`; `None` for a key that is gone.
    pub note: Option<String>,
}

/// Whether changes are noted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeedHealth {
    /// All is as installed.
    Whole,
    /// What is missing or differs, in words.
    Broken(Vec<String>),
}

/// What can go wrong with a feed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FeedError {
    /// The description of the sources cannot be used.
    #[error("the feed cannot watch {source_name:?}: {reason}")]
    Source {
        /// Name of the source.
        source_name: String,
        /// What is wrong with it, and what is accepted.
        reason: String,
    },
    /// The type of the keys cannot be used.
    #[error("keys of type {given:?} cannot be noted, accepted are Uuid, Bigint and Text")]
    KeyType {
        /// The type that was given.
        given: SqlType,
    },
    /// A watched table does not exist.
    #[error("the table {table} does not exist")]
    TableMissing {
        /// The table.
        table: String,
    },
    /// What should be watched is not a table.
    #[error("{table} is a {kind}, only tables can be watched")]
    NotATable {
        /// The relation.
        table: String,
        /// What it is.
        kind: &'static str,
    },
    /// A mapped column does not exist.
    #[error("the table {table} has no column {column}")]
    ColumnMissing {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// A key column has another type than the feed's keys.
    #[error("the column {column} of {table} is of type {found}, the feed's keys need {accepted}")]
    ColumnType {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// Its type.
        found: String,
        /// What would have been accepted.
        accepted: &'static str,
    },
    /// The role may not do what is needed.
    #[error("the role lacks {privilege} on {object}: let its owner ({owner}) install the feed")]
    Privilege {
        /// What is missing: `ownership` or `CREATE`.
        privilege: &'static str,
        /// The table or schema.
        object: String,
        /// Who has it.
        owner: String,
    },
    /// The database, or this transaction, cannot write: a replica, most often.
    #[error("the feed cannot be installed in a read-only transaction or on a replica: use the primary")]
    ReadOnly,
    /// No schema of the search path exists.
    #[error("no schema of the search path exists, so there is no place for the feed's tables")]
    NoSchema,
    /// A table with a name of ours was made by somebody else, or for keys of another type.
    #[error("{reason}")]
    NotOurs {
        /// Which table, what it has, and what was expected.
        reason: String,
    },
    /// The triggers were to be suspended and are not whole.
    #[error("the triggers of the feed are not as installed: {}", problems.join("; "))]
    NotWhole {
        /// What is missing or differs.
        problems: Vec<String>,
    },
    /// The pool or the threads of the database failed.
    #[error(transparent)]
    Database(#[from] crate::Error),
    /// PostgreSQL, or the way to it, refused a request.
    #[error("the request to postgresql failed")]
    Postgres(#[from] tokio_postgres::Error),
    /// SQLite refused a request.
    #[error("the request to sqlite failed")]
    Sqlite(#[from] rusqlite::Error),
}

impl Feed {
    /// On PostgreSQL, says that the rest of this transaction only moves rows: the triggers note nothing but TRUNCATE, in
    /// cascades of its statements neither. Outside a transaction it does nothing.
    ///
    /// It ends with the transaction, with a rollback to a savepoint before it, or with [`NOTE_POSTGRES`](Self::NOTE_POSTGRES).
    pub const MOVE_POSTGRES: &str = "set local tierkeep.origin = 'move'";

    /// On PostgreSQL, ends what [`MOVE_POSTGRES`](Self::MOVE_POSTGRES) began: the rest of this transaction is noted.
    pub const NOTE_POSTGRES: &str = "set local tierkeep.origin = ''";

    /// Describes a feed; touches no database.
    ///
    /// # Errors
    ///
    /// [`FeedError::KeyType`] for keys that are not `Uuid`, `Bigint` or `Text`; [`FeedError::Source`] for a name that
    /// cannot be used, or for two sources with the same name or table.
    pub fn new(key_type: SqlType, sources: Vec<FeedSource>) -> Result<Self, FeedError> {
        if !matches!(key_type, SqlType::Uuid | SqlType::Bigint | SqlType::Text) {
            return Err(FeedError::KeyType { given: key_type });
        }
        let mut names = BTreeSet::new();
        let mut tables = BTreeSet::new();
        for source in &sources {
            let refuse = |reason: &str| {
                Err(FeedError::Source { source_name: source.name.to_owned(), reason: reason.to_owned() })
            };
            let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
            if !(1..=40).contains(&source.name.len()) || !source.name.bytes().all(is_plain) {
                return refuse("accepted are names of 1 to 40 of a-z, 0-9 and _");
            }
            if !names.insert(source.name) {
                return refuse("another source has that name");
            }
            if !tables.insert(source.table.quoted()) {
                return refuse("another source watches that table");
            }
            if source.quoted_names().iter().any(|name| name.contains("$tierkeep")) {
                return refuse("names with $tierkeep cannot be quoted in a function");
            }
        }
        Ok(Self { definition: Definition::new(key_type, sources) })
    }

    /// Returns what is watched.
    pub fn sources(&self) -> &[FeedSource] {
        &self.definition.sources
    }

    /// On PostgreSQL, takes a change of the schema of these columns for "everything changed": one that is dropped, renamed
    /// or rewritten (`alter column … type … using …`) changes values without any trigger. Columns that do not exist are
    /// looked for all the same. Not for columns of partitions, which follow their parents.
    #[must_use]
    pub fn watching_columns(mut self, columns: &[(TableName, Vec<Ident>)]) -> Self {
        self.definition.watch_columns(columns);
        self
    }

    /// Returns what [`install_postgres`](Self::install_postgres) or [`install_sqlite`](Self::install_sqlite) run, to be run
    /// by somebody who has the privilege, in one transaction and in this order.
    ///
    /// It can be run again at any time: what is there already stays, on PostgreSQL without a lock on the watched tables.
    /// The checks that give a clear error before anything is done are only in the functions.
    pub fn install_sql(&self, dialect: Dialect) -> Vec<String> {
        match dialect {
            Dialect::Postgres => self.definition.install_postgres(),
            Dialect::Sqlite => self.definition.install_sqlite(),
        }
    }

    /// Returns what removes every trace of the feed: triggers, functions, tables.
    ///
    /// On PostgreSQL it finds all that is in the current schema, whatever it was installed with.
    pub fn remove_sql(&self, dialect: Dialect) -> Vec<String> {
        match dialect {
            Dialect::Postgres => vec![definition::REMOVE_POSTGRES.to_owned()],
            Dialect::Sqlite => self.definition.remove_sqlite(),
        }
    }
}

impl FeedSource {
    /// The names that stand in statements.
    fn quoted_names(&self) -> Vec<String> {
        let mut names = vec![self.table.quoted()];
        match &self.rows {
            WatchedRows::Owned { id, key, at, shadow } => {
                names.extend([id, key].into_iter().chain(at).map(Ident::quoted));
                if let Some(shadow) = shadow {
                    names.push(shadow.table.quoted());
                    names.extend([&shadow.id, &shadow.key].into_iter().chain(&shadow.at).map(Ident::quoted));
                }
            }
            WatchedRows::Keys { id, note, roster } => {
                names.extend([id].into_iter().chain(note).map(Ident::quoted));
                names.extend(roster.iter().flat_map(|roster| [roster.table.quoted(), roster.key.quoted()]));
            }
        }
        names
    }

    /// Tables that must exist, each with its columns; `true` marks those that hold keys.
    fn needed_columns(&self) -> Vec<(&TableName, Vec<(&Ident, bool)>)> {
        match &self.rows {
            WatchedRows::Keys { id, note, .. } => {
                vec![(&self.table, [(id, true)].into_iter().chain(note.iter().map(|note| (note, false))).collect())]
            }
            WatchedRows::Owned { id, key, at, shadow } => {
                let mut needed = vec![(&self.table, columns_of(id, key, at.as_ref()))];
                if let Some(shadow) = shadow {
                    needed.push((&shadow.table, columns_of(&shadow.id, &shadow.key, shadow.at.as_ref())));
                }
                needed
            }
        }
    }
}

fn columns_of<'a>(id: &'a Ident, key: &'a Ident, at: Option<&'a Ident>) -> Vec<(&'a Ident, bool)> {
    [(id, false), (key, true)].into_iter().chain(at.map(|at| (at, false))).collect()
}

/// What a poll says of a feed that another program, or this one with another mapping, has installed.
const OTHER_INSTALLATION: &str = "the feed was installed by another version or for other tables; install it again";

impl Polled {
    /// Of a feed whose tables cannot be read.
    fn unusable(after: u64, epoch: u64, problems: Vec<String>) -> Self {
        Self {
            position: after,
            floor: after,
            events: Vec::new(),
            more: false,
            gap: true,
            health: FeedHealth::of(problems),
            unsettled: true,
            epoch,
        }
    }
}

impl FeedHealth {
    fn of(problems: Vec<String>) -> Self {
        if problems.is_empty() { Self::Whole } else { Self::Broken(problems) }
    }
}
