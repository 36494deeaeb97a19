//! The feed on SQLite.

use rusqlite::{Connection, OptionalExtension, Transaction};

use super::definition::{SqliteTrigger, fill};
use super::{Feed, FeedError, FeedEvent, FeedHealth, FeedSource, Installed, Polled, WatchedRows};
use crate::{Ident, SqlType, columns_sqlite};
use std::time::Duration;

mod quiet;

/// The columns of our tables; a table that has others is not ours.
const OUTBOX_COLUMNS: &str = "id, at, source, key, first, last, note, settled";
const FEED_COLUMNS: &str = "only_row, position, floor, mark, fingerprint, most_bytes";
const QUIET_COLUMNS: &str = "only_row, is_over";

/// The tables of the feed with their columns, and what a poll says of one that is missing.
const TABLES: [(&str, &str, &str); 3] = [
    ("tierkeep_outbox", OUTBOX_COLUMNS, "the outbox is missing"),
    ("tierkeep_feed", FEED_COLUMNS, "the table tierkeep_feed is missing"),
    (quiet::TABLE, QUIET_COLUMNS, "the table tierkeep_feed_quiet is missing"),
];

/// The parts of a trigger: what it notes of one row.
const NOTE: &str = "insert into tierkeep_outbox (source, key, first, last, note, settled)
    select '{source}', key, at, at, note, {settled} from ({rows}) where is_key;";
const ROW: &str = "select {key} as key, {at} as at, {note} as note, {given} is not null as is_key";

/// Triggers that are off for the rest of a transaction, see [`Feed::suspend_sqlite`].
#[derive(Debug)]
#[must_use = "the source is not watched until resume_sqlite"]
pub struct SuspendedTriggers {
    source: String,
    version: u64,
}

impl Feed {
    /// Installs the feed in the transaction's database `main`, or brings an older installation up to date.
    ///
    /// If all is as it should be, nothing is written.
    ///
    /// # Errors
    ///
    /// [`FeedError::TableMissing`], [`NotATable`](FeedError::NotATable), [`ColumnMissing`](FeedError::ColumnMissing) and
    /// [`NotOurs`](FeedError::NotOurs), before anything was done; [`FeedError::Source`] for a table of another schema than
    /// `main`; [`FeedError::Sqlite`].
    pub fn install_sqlite(&self, tx: &Transaction<'_>) -> Result<Installed, FeedError> {
        for source in &self.definition.sources {
            check_source(tx, source)?;
        }
        let mut is_complete = true;
        for (table, expected, _) in TABLES {
            check_ours(tx, table, expected)?;
            is_complete &= exists(tx, table)?;
        }
        let stale = self.stale_triggers(tx)?;
        if stale.is_empty() && is_complete && quiet::problem(tx)?.is_none() {
            let fingerprint: Option<String> =
                tx.query_row("select fingerprint from tierkeep_feed", [], |row| row.get(0)).optional()?;
            if fingerprint.as_ref() == Some(&self.definition.sqlite_fingerprint) && self.problems_sqlite(tx)?.is_empty()
            {
                return Ok(Installed { changed: false });
            }
        }
        for name in &stale {
            tx.execute_batch(&fill("drop trigger {name}", &[("name", super::definition::quoted(name).as_str())]))?;
        }
        let noted = |tx: &Transaction<'_>| -> rusqlite::Result<i64> {
            tx.query_row("select seq from sqlite_sequence where name = 'tierkeep_outbox'", [], |row| row.get(0))
        };
        let mut statements = self.definition.install_sqlite().into_iter();
        for statement in statements.by_ref().take(1) {
            tx.execute_batch(&statement)?;
        }
        let before = noted(tx)?;
        for statement in statements {
            tx.execute_batch(&statement)?;
        }
        if noted(tx)? == before {
            // Only triggers of tables that are not watched any more were there.
            tx.execute("insert into tierkeep_outbox (source) values ('')", [])?;
        }
        Ok(Installed { changed: true })
    }

    /// Reads the events after a position, and what is known of the triggers; writes nothing.
    ///
    /// At most `limit` events. In a transaction it reads what that sees, else in one of its own.
    ///
    /// # Errors
    ///
    /// [`FeedError::Sqlite`]. Tables of the feed that are missing are no error but [`FeedHealth::Broken`].
    pub fn poll_sqlite(&self, db: &Connection, after: u64, limit: u32) -> Result<Polled, FeedError> {
        // One snapshot for all the statements.
        let _snapshot = if db.is_autocommit() { Some(db.unchecked_transaction()?) } else { None };
        let version = schema_version(db)?;
        let problems = self.problems_sqlite(db)?;
        let missing: Vec<String> = TABLES
            .into_iter()
            .filter_map(|(table, _, words)| match exists(db, table) {
                Ok(true) => None,
                Ok(false) => Some(Ok(words.to_owned())),
                Err(error) => Some(Err(error)),
            })
            .collect::<Result<_, _>>()?;
        if !missing.is_empty() {
            return Ok(Polled::unusable(after, version, missing.into_iter().chain(problems).collect()));
        }
        let header = db
            .prepare_cached(include_str!("capture/sqlite/header.sql"))?
            .query_row([], |row| {
                Ok(Header {
                    floor: number(row.get("floor")?),
                    fingerprint: row.get("fingerprint")?,
                    own_changes: row.get::<_, String>("mark")?.parse().unwrap_or(0),
                    position: number(row.get("position")?),
                    unsettled: row.get("has_unsettled")?,
                })
            })
            .optional()?;
        let Some(header) = header else {
            let problems = vec!["the row of tierkeep_feed is missing".to_owned()];
            return Ok(Polled::unusable(after, version, problems));
        };
        let events = db
            .prepare_cached(include_str!("sql/sqlite/read.sql"))?
            .query_map((i64::try_from(after).unwrap_or(i64::MAX), limit), |row| {
                Ok(FeedEvent {
                    position: number(row.get("id")?),
                    source: row.get("source")?,
                    key: row.get("key")?,
                    first: row.get("first")?,
                    last: row.get("last")?,
                    note: row.get("note")?,
                })
            })?
            .collect::<Result<Vec<_>, _>>()?;
        let more =
            events.len() == limit as usize && events.last().is_some_and(|event| event.position < header.position);
        Ok(Polled {
            position: header.position,
            floor: header.floor,
            more,
            gap: after < header.floor || after > header.position,
            health: FeedHealth::of(
                self.fingerprint_problem(&header.fingerprint)
                    .into_iter()
                    .chain(quiet::problem(db)?)
                    .chain(problems)
                    .collect(),
            ),
            unsettled: header.unsettled,
            epoch: version.saturating_sub(header.own_changes),
            events,
        })
    }

    /// Deletes settled events that are older than `keep` or more than `most_rows` positions back, at most 10,000; raises
    /// the floor with them. Returns how many.
    ///
    /// Takes away what was left of a quiet transaction (see [`quietly_sqlite`](Self::quietly_sqlite)) and adds an
    /// "everything" for it.
    ///
    /// # Errors
    ///
    /// [`FeedError::Sqlite`].
    pub fn prune_sqlite(&self, tx: &Transaction<'_>, keep: Duration, most_rows: u64) -> Result<u64, FeedError> {
        quiet::end_left(tx)?;
        let deleted: Vec<i64> = tx
            .prepare_cached(include_str!("sql/sqlite/prune.sql"))?
            .query_map((micros(keep), i64::try_from(most_rows).unwrap_or(i64::MAX)), |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        if let Some(highest) = deleted.iter().max() {
            tx.execute("update tierkeep_feed set floor = max(floor, ?1)", [highest])?;
        }
        Ok(deleted.len() as u64)
    }

    /// Replaces all events by one "everything" if they take more than `most_bytes`; returns whether it did. From then on
    /// writers keep to that bound, too: while nobody prunes, every thousandth event replaces the oldest by an "everything".
    ///
    /// # Errors
    ///
    /// [`FeedError::Sqlite`].
    pub fn collapse_sqlite(&self, tx: &Transaction<'_>, most_bytes: u64) -> Result<bool, FeedError> {
        let most_bytes = i64::try_from(most_bytes).unwrap_or(i64::MAX);
        tx.execute("update tierkeep_feed set most_bytes = ?1 where most_bytes <> ?1", [most_bytes])?;
        let is_large: bool = tx.query_row(include_str!("sql/sqlite/size.sql"), [most_bytes], |row| row.get(0))?;
        if is_large {
            tx.execute_batch(include_str!("sql/sqlite/collapse.sql"))?;
        }
        Ok(is_large)
    }

    /// Takes the triggers of a source off until [`resume_sqlite`](Self::resume_sqlite) in the same transaction, for a bulk
    /// write that inserts its events itself: a trigger a row would double its cost.
    ///
    /// The pair leaves [`Polled::epoch`] as it was.
    ///
    /// # Errors
    ///
    /// [`FeedError::Source`] if there is no such source; [`FeedError::NotWhole`] if its triggers are not as installed, so
    /// that resuming would hide it; [`FeedError::Sqlite`].
    pub fn suspend_sqlite(&self, tx: &Transaction<'_>, source: &str) -> Result<SuspendedTriggers, FeedError> {
        if !self.definition.sources.iter().any(|watched| watched.name == source) {
            let reason = "there is no source of that name".to_owned();
            return Err(FeedError::Source { source_name: source.to_owned(), reason });
        }
        let problems = self.problems_sqlite(tx)?;
        if !problems.is_empty() {
            return Err(FeedError::NotWhole { problems });
        }
        let version = schema_version(tx)?;
        for trigger in self.definition.triggers.iter().filter(|trigger| trigger.source == source) {
            tx.execute_batch(&fill("drop trigger {name}", &[("name", trigger.name.as_str())]))?;
        }
        Ok(SuspendedTriggers { source: source.to_owned(), version })
    }

    /// Puts back what [`suspend_sqlite`](Self::suspend_sqlite) took off.
    ///
    /// # Errors
    ///
    /// [`FeedError::Sqlite`].
    pub fn resume_sqlite(&self, tx: &Transaction<'_>, suspended: SuspendedTriggers) -> Result<(), FeedError> {
        for trigger in self.definition.triggers.iter().filter(|trigger| trigger.source == suspended.source) {
            tx.execute_batch(&trigger.sql)?;
        }
        let own = schema_version(tx)?.saturating_sub(suspended.version);
        Ok(count_own(tx, own)?)
    }

    /// What is missing or differs among the triggers.
    fn problems_sqlite(&self, db: &Connection) -> rusqlite::Result<Vec<String>> {
        let mut find = db.prepare_cached("select sql from sqlite_schema where type = 'trigger' and name = ?1")?;
        let mut problems = Vec::new();
        for trigger in &self.definition.triggers {
            let found: Option<String> = find.query_row([&trigger.name], |row| row.get(0)).optional()?;
            match found {
                Some(sql) if sql == trigger.sql => {}
                Some(_) => problems.push(format!("trigger {} on {} differs", trigger.name, trigger.table)),
                None => problems.push(format!("trigger {} on {} is missing", trigger.name, trigger.table)),
            }
        }
        Ok(problems)
    }

    /// Triggers that write to the outbox and that this feed does not have.
    fn stale_triggers(&self, db: &Connection) -> rusqlite::Result<Vec<String>> {
        let names: Vec<String> = db
            .prepare(
                "select name from sqlite_schema where type = 'trigger' and name like 'tierkeep\\_%' escape '\\' and \
                 name not in ('tierkeep_bound', 'tierkeep_loud') and instr(sql, 'tierkeep_outbox') > 0",
            )?
            .query_map([], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        Ok(names.into_iter().filter(|name| self.definition.triggers.iter().all(|ours| ours.name != *name)).collect())
    }

    fn fingerprint_problem(&self, found: &str) -> Option<String> {
        (found != self.definition.sqlite_fingerprint).then(|| super::OTHER_INSTALLATION.to_owned())
    }
}

struct Header {
    floor: u64,
    fingerprint: String,
    own_changes: u64,
    position: u64,
    unsettled: bool,
}

/// The triggers of a source.
pub(super) fn triggers(key_type: SqlType, source: &FeedSource) -> Vec<SqliteTrigger> {
    let table = source.table.name();
    let note = |rows: &[String]| {
        let settled = if source.settles { "0" } else { "1" };
        let rows = rows.join(" union ");
        fill(NOTE, &[("source", source.name), ("settled", settled), ("rows", rows.as_str())])
    };
    let trigger = |name: &str, event: String, condition: Option<String>, notes: Vec<String>| {
        let name = format!("tierkeep_{}_{name}", source.name);
        // Letter for letter as SQLite keeps it, so that it can be compared.
        let condition: Vec<String> = [quiet::UNLESS_QUIET.to_owned()].into_iter().chain(condition).collect();
        let (condition, notes) = (condition.join(" and "), notes.join("\n    "));
        let sql = format!("CREATE TRIGGER {name} {event}\nwhen {condition}\nbegin\n    {notes}\nend");
        SqliteTrigger { source: source.name, name, table: table.as_str().to_owned(), sql }
    };
    let on = |event: &str| format!("{event} on {}", table.quoted());
    match &source.rows {
        WatchedRows::Owned { id, key, at, shadow } => {
            let id = id.quoted();
            let row = |prefix: &str| row(key_type, prefix, key, at.as_ref());
            let shadowed = |ids: &str| {
                shadow.as_ref().map(|shadow| {
                    let columns = self::row(key_type, "", &shadow.key, shadow.at.as_ref());
                    format!("{columns} from {} where {} in ({ids})", shadow.table.name().quoted(), shadow.id.quoted())
                })
            };
            let rows = |rows: Vec<String>, ids: String| {
                vec![note(&rows.into_iter().chain(shadowed(&ids)).collect::<Vec<_>>())]
            };
            let existing = || vec![note(&[format!("{} from {} where {id} = new.{id}", row(""), table.quoted())])];
            vec![
                // REPLACE removes a row without firing the delete trigger.
                trigger(
                    "replace",
                    on("before insert"),
                    Some(format!("exists (select 1 from {} where {id} = new.{id})", table.quoted())),
                    existing(),
                ),
                trigger("insert", on("after insert"), None, rows(vec![row("new.")], format!("new.{id}"))),
                trigger(
                    "update",
                    on("after update"),
                    None,
                    rows(vec![row("old."), row("new.")], format!("old.{id}, new.{id}")),
                ),
                trigger("delete", on("after delete"), None, rows(vec![row("old.")], format!("old.{id}"))),
                // UPDATE OR REPLACE that changes an id removes the row that has it.
                trigger(
                    "displace",
                    on(&format!("before update of {id}")),
                    Some(format!("old.{id} is not new.{id}")),
                    existing(),
                ),
            ]
        }
        WatchedRows::Keys { id, note: noted, .. } => {
            let noted = noted.as_ref().map(Ident::quoted);
            let text = |prefix: &str| match &noted {
                Some(column) => format!("coalesce(cast({prefix}{column} as text), '')"),
                None => "''".to_owned(),
            };
            let key = |prefix: &str, text: &str| vec_row(key_type, prefix, id, text);
            let id = id.quoted();
            let mut triggers = vec![
                trigger("insert", on("after insert"), None, vec![note(&[key("new.", &text("new."))])]),
                trigger("delete", on("after delete"), None, vec![note(&[key("old.", "null")])]),
                trigger(
                    "key",
                    on("after update"),
                    Some(format!("old.{id} is not new.{id}")),
                    vec![note(&[key("old.", "null")]), note(&[key("new.", &text("new."))])],
                ),
            ];
            if let Some(column) = &noted {
                triggers.push(trigger(
                    "note",
                    on("after update"),
                    Some(format!("old.{id} is new.{id} and old.{column} is not new.{column}")),
                    vec![note(&[key("new.", &text("new."))])],
                ));
            }
            triggers
        }
    }
}

/// A row that belongs to a key. A value of another type than declared, which SQLite lets pass, must not make the write
/// fail: the key becomes anybody, the instant unknown.
fn row(key_type: SqlType, prefix: &str, key: &Ident, at: Option<&Ident>) -> String {
    let given = format!("{prefix}{}", key.quoted());
    let at = at.map_or_else(
        || "null".to_owned(),
        |at| {
            fill(
                "case typeof({at}) when 'integer' then {at} end",
                &[("at", format!("{prefix}{}", at.quoted()).as_str())],
            )
        },
    );
    let key = key_value(key_type, &given);
    fill(ROW, &[("key", key.as_str()), ("at", at.as_str()), ("note", "null"), ("given", given.as_str())])
}

/// A row that is a key.
fn vec_row(key_type: SqlType, prefix: &str, id: &Ident, note: &str) -> String {
    let given = format!("{prefix}{}", id.quoted());
    let key = key_value(key_type, &given);
    fill(ROW, &[("key", key.as_str()), ("at", "null"), ("note", note), ("given", given.as_str())])
}

fn key_value(key_type: SqlType, given: &str) -> String {
    let template = match key_type {
        SqlType::Bigint => "case typeof({key}) when 'integer' then {key} end",
        _ => "case typeof({key}) when 'text' then {key} when 'integer' then cast({key} as text) end",
    };
    fill(template, &[("key", given)])
}

fn check_source(tx: &Transaction<'_>, source: &FeedSource) -> Result<(), FeedError> {
    for (table, columns) in source.needed_columns() {
        if table.schema().is_some_and(|schema| !schema.as_str().eq_ignore_ascii_case("main")) {
            let reason = format!("{table} is in another schema, accepted is main");
            return Err(FeedError::Source { source_name: source.name.to_owned(), reason });
        }
        let kind: Option<String> = tx
            .query_row(
                "select type from sqlite_schema where name = ?1 collate nocase and type in ('table', 'view')",
                [table.name().as_str()],
                |row| row.get(0),
            )
            .optional()?;
        match kind.as_deref() {
            None => return Err(FeedError::TableMissing { table: table.to_string() }),
            Some("view") => return Err(FeedError::NotATable { table: table.to_string(), kind: "view" }),
            Some(_) => {}
        }
        let present = columns_sqlite(tx, table)?.unwrap_or_default();
        for (column, _) in columns {
            if !present.iter().any(|found| found.name.eq_ignore_ascii_case(column.as_str())) {
                return Err(FeedError::ColumnMissing { table: table.to_string(), column: column.to_string() });
            }
        }
    }
    Ok(())
}

fn check_ours(tx: &Transaction<'_>, table: &str, expected: &str) -> Result<(), FeedError> {
    let columns: Option<String> = tx.query_row(
        "select group_concat(name, ', ') from (select name from pragma_table_info(?1) order by cid)",
        [table],
        |row| row.get(0),
    )?;
    match columns {
        Some(columns) if columns != expected => Err(FeedError::NotOurs {
            reason: format!("the table {table} is not one of this feed: it has ({columns}), expected is ({expected})"),
        }),
        _ => Ok(()),
    }
}

/// Changes the schema without a change of what feeds watch, as by making an index or a table of one's own: whoever follows a
/// feed of this file keeps what it has ([`Polled::epoch`]). Where there is no feed, it is only run.
///
/// `change` must not touch triggers.
///
/// # Errors
///
/// Those of `change`, and of SQLite.
pub fn own_change_sqlite<T>(
    tx: &Transaction<'_>,
    change: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let before = schema_version(tx)?;
    let value = change(tx)?;
    let own = schema_version(tx)?.saturating_sub(before);
    if own > 0 && exists(tx, "tierkeep_feed")? {
        count_own(tx, own)?;
    }
    Ok(value)
}

/// Notes changes of the schema that say nothing about triggers.
fn count_own(tx: &Transaction<'_>, changes: u64) -> rusqlite::Result<()> {
    let sql = "update tierkeep_feed set mark = cast(cast(mark as integer) + ?1 as text)";
    tx.execute(sql, [i64::try_from(changes).unwrap_or(i64::MAX)]).map(drop)
}

fn exists(db: &Connection, table: &str) -> rusqlite::Result<bool> {
    db.prepare_cached("select exists (select 1 from sqlite_schema where type = 'table' and name = ?1)")?
        .query_row([table], |row| row.get(0))
}

fn schema_version(db: &Connection) -> rusqlite::Result<u64> {
    db.pragma_query_value(None, "schema_version", |row| row.get(0)).map(number)
}

/// Positions are never negative.
fn number(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

pub(super) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
