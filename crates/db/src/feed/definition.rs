//! The statements of a feed, put together from fixed texts and checked identifiers.

use xxhash_rust::xxh3::xxh3_64;

use super::{FeedSource, Shadow, WatchedRows};
use crate::{Ident, SqlType, TableName};

pub(super) const REMOVE_POSTGRES: &str = include_str!("sql/postgres/remove.sql");

/// Parts of the trigger functions on PostgreSQL. Names stand in braces.
const FUNCTION: &str = include_str!("capture/postgres/function.sql");
const NOTE: &str = include_str!("capture/postgres/note.sql");
const TRUNCATE: &str = include_str!("capture/postgres/truncate.sql");
const TRUNCATE_ROSTER: &str = include_str!("capture/postgres/truncate_roster.sql");
const SINGLE: &str = include_str!("capture/postgres/single.sql");
const SMALL: &str = include_str!("capture/postgres/small.sql");
const SMALL_SHADOWED: &str = include_str!("capture/postgres/shadowed.sql");
const ROW: &str = "select {key} as key, {at} as at from {rows}";
/// The epoch of a wall time is that of the same time in UTC, whatever the zone of the session; a cast would depend on it.
const OWNED: &str =
    "                    select cast(key as {type}) as key, to_timestamp(extract(epoch from min(at))) as first,
                        to_timestamp(extract(epoch from max(at))) as last, cast(null as text) as note
                    from ({rows}) as rows
                    where key is not null
                    group by key
";
const SHADOWED: &str =
    "                    select key, min(first) as first, max(last) as last, cast(null as text) as note
                    from (
{owned}
                    union all
                    select cast(s.{key} as {type}), to_timestamp(extract(epoch from min({at}))),
                        to_timestamp(extract(epoch from max({at}))), null
                    from {table} as s
                    where
                        s.{id} = any (array({ids}))
                        and s.{key} is not null
                    group by s.{key}
                    ) as all_rows
                    group by key";
const UNION: &str = " union all ";

/// The instants of rows that are keys: none.
const KEYS: &str = "                    select cast({id} as {type}) as key, cast(null as timestamptz) as first,
                        cast(null as timestamptz) as last, {note} as note
                    from {rows}
                    where {id} is not null";
const KEYS_MOVED: &str = "                    select gone.key, cast(null as timestamptz) as first,
                        cast(null as timestamptz) as last, cast(null as text) as note
                    from (
                        select cast({id} as {type}) as key from before_rows
                        except
                        select cast({id} as {type}) from after_rows
                    ) as gone
                    where gone.key is not null
                    union all
                    select cast(a.{id} as {type}), null, null, {note}
                    from after_rows as a
                    left join before_rows as b on a.{id} = b.{id}
                    where a.{id} is not null and (b.{id} is null{or_changed})";

/// What is installed, and what polls compare with.
#[derive(Debug, Clone)]
pub(super) struct Definition {
    pub(super) key_type: SqlType,
    pub(super) sources: Vec<FeedSource>,
    /// On PostgreSQL, in the order of the sources: quoted tables, functions, their bodies.
    pub(super) tables: Vec<String>,
    pub(super) functions: Vec<String>,
    pub(super) bodies: Vec<String>,
    pub(super) postgres_fingerprint: String,
    /// Columns whose schema counts, as two lists of one length: quoted tables, and names.
    pub(super) column_tables: Vec<String>,
    pub(super) column_names: Vec<String>,
    /// On SQLite.
    pub(super) triggers: Vec<SqliteTrigger>,
    pub(super) sqlite_fingerprint: String,
}

/// A trigger on SQLite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SqliteTrigger {
    pub(super) source: &'static str,
    /// Needs no quotes.
    pub(super) name: String,
    /// The table's name without quotes.
    pub(super) table: String,
    /// As `sqlite_schema` keeps it.
    pub(super) sql: String,
}

impl Definition {
    pub(super) fn new(key_type: SqlType, sources: Vec<FeedSource>) -> Self {
        let tables: Vec<String> = sources.iter().map(|source| source.table.quoted()).collect();
        let functions = sources.iter().map(|source| format!("tierkeep_note_{}", source.name)).collect();
        let bodies = sources.iter().map(|source| body(key_type, source)).collect();
        let triggers = sources.iter().flat_map(|source| super::sqlite::triggers(key_type, source)).collect();
        let mut definition = Self {
            key_type,
            sources,
            tables,
            functions,
            bodies,
            postgres_fingerprint: String::new(),
            column_tables: Vec::new(),
            column_names: Vec::new(),
            triggers,
            sqlite_fingerprint: String::new(),
        };
        definition.postgres_fingerprint = fingerprint(&definition.install_postgres());
        definition.sqlite_fingerprint = fingerprint(&definition.install_sqlite());
        definition
    }

    /// Nodes that look at other columns are other installations, or each would take the other's mark for a change.
    pub(super) fn watch_columns(&mut self, columns: &[(TableName, Vec<Ident>)]) {
        self.column_tables.clear();
        self.column_names.clear();
        for (table, names) in columns {
            for name in names {
                self.column_tables.push(table.quoted());
                self.column_names.push(name.as_str().to_owned());
            }
        }
        self.postgres_fingerprint = String::new();
        let mut parts = self.install_postgres();
        parts.extend(self.column_tables.iter().zip(&self.column_names).map(|(table, name)| format!("{table} {name}")));
        self.postgres_fingerprint = fingerprint(&parts);
    }

    /// Without a fingerprint, while that is made of the rest.
    pub(super) fn install_postgres(&self) -> Vec<String> {
        let mut statements =
            vec![fill(include_str!("sql/postgres/outbox.sql"), &[("type", postgres_type(self.key_type))])];
        for (((source, table), function), body) in
            self.sources.iter().zip(&self.tables).zip(&self.functions).zip(&self.bodies)
        {
            let table = literal(table);
            let parts = [
                ("source", source.name),
                ("table", table.as_str()),
                ("function", function.as_str()),
                ("body", body.as_str()),
            ];
            statements.push(fill(include_str!("capture/postgres/install.sql"), &parts));
        }
        let list = |names: &[String]| names.iter().map(|name| literal(name)).collect::<Vec<_>>().join(", ");
        let parts = [
            ("tables", list(&self.tables)),
            ("functions", list(&self.functions)),
            ("fingerprint", self.postgres_fingerprint.clone()),
        ];
        let parts: Vec<(&str, &str)> = parts.iter().map(|(name, value)| (*name, value.as_str())).collect();
        statements.push(fill(include_str!("capture/postgres/finish.sql"), &parts));
        statements
    }

    /// Without a fingerprint, while that is made of the rest.
    pub(super) fn install_sqlite(&self) -> Vec<String> {
        let mut statements = vec![fill(include_str!("sql/sqlite/outbox.sql"), &[("type", "any")])];
        let triggers: Vec<String> =
            self.triggers.iter().map(|t| format!("({}, {})", literal(&t.name), literal(&t.sql))).collect();
        // An empty list of values is no statement.
        let expected = if triggers.is_empty() { "(null, null)".to_owned() } else { triggers.join(",\n        ") };
        statements.push(fill(
            include_str!("capture/sqlite/changed.sql"),
            &[("expected", expected.as_str()), ("fingerprint", self.sqlite_fingerprint.as_str())],
        ));
        for trigger in &self.triggers {
            statements.push(format!("drop trigger if exists {}", trigger.name));
            statements.push(trigger.sql.clone());
        }
        statements
    }

    pub(super) fn remove_sqlite(&self) -> Vec<String> {
        let triggers = self.triggers.iter().map(|trigger| format!("drop trigger if exists {}", trigger.name));
        triggers.chain([include_str!("sql/sqlite/remove.sql").to_owned()]).collect()
    }
}

/// The body of a trigger function on PostgreSQL.
fn body(key_type: SqlType, source: &FeedSource) -> String {
    let settled = if source.settles { "false" } else { "true" };
    let small = |touched: &str| {
        let parts = [("touched", touched), ("source", source.name), ("settled", settled)];
        fill(SMALL, &parts).trim_end().to_owned()
    };
    let [insert, delete, update] = match &source.rows {
        // Each key is named, however many there are: nothing else tells their notes.
        WatchedRows::Keys { id, note, .. } => keys(key_type, id, note.as_ref()).map(|touched| small(&touched)),
        WatchedRows::Owned { id, key, at, shadow } => {
            let note = |transitions: &[&str]| {
                let plain = owned(key_type, key, at.as_ref(), transitions);
                let (few, many) = match shadow {
                    None => (small(&plain), plain),
                    Some(shadow) => {
                        let both = shadowed(key_type, &plain, id, shadow, transitions);
                        let (with, without, table) = (small(&both), small(&plain), shadow.table.quoted());
                        let parts =
                            [("with", with.as_str()), ("without", without.as_str()), ("shadow", table.as_str())];
                        (fill(SMALL_SHADOWED, &parts).trim_end().to_owned(), both)
                    }
                };
                // Of an update, which has as many rows after it as before, the first.
                let counted = transitions[0];
                let start = match transitions {
                    [rows] => single(key_type, source, key, at.as_ref(), rows),
                    _ => "                if".to_owned(),
                };
                let parts = [
                    ("if", start.as_str()),
                    ("small", few.as_str()),
                    ("touched", many.as_str()),
                    ("rows", counted),
                    ("source", source.name),
                    ("settled", settled),
                ];
                fill(NOTE, &parts).trim_end().to_owned()
            };
            [note(&["after_rows"]), note(&["before_rows"]), note(&["before_rows", "after_rows"])]
        }
    };
    let truncate = match &source.rows {
        WatchedRows::Keys { roster: Some(roster), .. } => {
            let (table, key) = (roster.table.quoted(), roster.key.quoted());
            let parts = [
                ("source", source.name),
                ("settled", settled),
                ("type", postgres_type(key_type)),
                ("roster", table.as_str()),
                ("key", key.as_str()),
            ];
            fill(TRUNCATE_ROSTER, &parts)
        }
        _ => fill(TRUNCATE, &[("source", source.name), ("settled", settled)]),
    };
    let parts = [
        ("source", source.name),
        ("settled", settled),
        ("truncate", truncate.trim_end()),
        ("insert", insert.as_str()),
        ("delete", delete.as_str()),
        ("update", update.as_str()),
    ];
    fill(FUNCTION, &parts)
}

/// The start of what a statement notes that inserts or deletes: a path of its own for one row.
fn single(key_type: SqlType, source: &FeedSource, key: &Ident, at: Option<&Ident>, rows: &str) -> String {
    let unless_shadowed = match &source.rows {
        WatchedRows::Owned { shadow: Some(shadow), .. } => {
            fill("not exists (select from {table}) and ", &[("table", shadow.table.quoted().as_str())])
        }
        _ => String::new(),
    };
    let (key, at) = (key.quoted(), instant("", at));
    let parts = [
        ("unless_shadowed", unless_shadowed.as_str()),
        ("rows", rows),
        ("source", source.name),
        ("settled", if source.settles { "false" } else { "true" }),
        ("key", key.as_str()),
        ("type", postgres_type(key_type)),
        ("at", at.as_str()),
    ];
    fill(SINGLE, &parts)
}

/// The keys and spans of the rows that a statement touched.
fn owned(key_type: SqlType, key: &Ident, at: Option<&Ident>, transitions: &[&str]) -> String {
    let (key, at) = (key.quoted(), instant("", at));
    let parts: Vec<String> = transitions
        .iter()
        .map(|rows| fill(ROW, &[("key", key.as_str()), ("at", at.as_str()), ("rows", rows)]))
        .collect();
    fill(OWNED, &[("type", postgres_type(key_type)), ("rows", parts.join(UNION).as_str())])
}

/// The same together with the rows that are shadowed by them.
fn shadowed(key_type: SqlType, owned: &str, id: &Ident, shadow: &Shadow, transitions: &[&str]) -> String {
    let id = id.quoted();
    let ids: Vec<String> = transitions
        .iter()
        .map(|rows| fill("select {id} from {rows}", &[("id", id.as_str()), ("rows", rows)]))
        .collect();
    let (table, key, at) = (shadow.table.quoted(), shadow.key.quoted(), instant("s.", shadow.at.as_ref()));
    let (id, ids) = (shadow.id.quoted(), ids.join(UNION));
    let parts = [
        ("owned", owned.trim_end()),
        ("table", table.as_str()),
        ("key", key.as_str()),
        ("type", postgres_type(key_type)),
        ("at", at.as_str()),
        ("id", id.as_str()),
        ("ids", ids.as_str()),
    ];
    fill(SHADOWED, &parts)
}

fn instant(prefix: &str, at: Option<&Ident>) -> String {
    at.map_or_else(|| "cast(null as timestamptz)".to_owned(), |at| format!("{prefix}{}", at.quoted()))
}

/// The keys that came, that went, and that an update touched, with their notes.
fn keys(key_type: SqlType, id: &Ident, note: Option<&Ident>) -> [String; 3] {
    let (id, key_type) = (id.quoted(), postgres_type(key_type));
    let note_of = |prefix: &str| match note {
        Some(note) => format!("coalesce(cast({prefix}{} as text), '')", note.quoted()),
        None => "cast('' as text)".to_owned(),
    };
    let changed = note
        .map(Ident::quoted)
        .map_or_else(String::new, |note| fill(" or a.{note} is distinct from b.{note}", &[("note", note.as_str())]));
    let (came, moved) = (note_of(""), note_of("a."));
    let one =
        |note: &str, rows: &str| fill(KEYS, &[("id", id.as_str()), ("type", key_type), ("note", note), ("rows", rows)]);
    [
        one(&came, "after_rows"),
        one("cast(null as text)", "before_rows"),
        fill(
            KEYS_MOVED,
            &[("id", id.as_str()), ("type", key_type), ("note", moved.as_str()), ("or_changed", changed.as_str())],
        ),
    ]
}

/// Puts values in the place of names in braces, in one pass: a value is never searched for names.
pub(super) fn fill(template: &str, parts: &[(&str, &str)]) -> String {
    let mut filled = String::with_capacity(template.len() * 2);
    let mut rest = template;
    while let Some(start) = rest.find('{') {
        let (before, after) = rest.split_at(start);
        filled.push_str(before);
        let part = parts.iter().find(|(name, _)| after[1..].strip_prefix(name).is_some_and(|a| a.starts_with('}')));
        rest = match part {
            Some((name, value)) => {
                filled.push_str(value);
                &after[name.len() + 2..]
            }
            None => {
                filled.push('{');
                &after[1..]
            }
        };
    }
    filled.push_str(rest);
    filled
}

/// A text as either dialect reads it.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn postgres_type(key_type: SqlType) -> &'static str {
    match key_type {
        SqlType::Uuid => "uuid",
        SqlType::Text => "text",
        // `Feed::new` lets nothing else pass.
        _ => "bigint",
    }
}

fn fingerprint(statements: &[String]) -> String {
    format!("{:016x}", xxh3_64(statements.join(";\n").as_bytes()))
}

/// A name that the database told us, in double quotes.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
