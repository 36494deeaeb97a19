//! The statements of a feed, put together from fixed texts and checked identifiers.

use xxhash_rust::xxh3::xxh3_64;

use super::{FeedSource, WatchedRows};
use crate::{Ident, SqlType};

pub(super) const REMOVE_POSTGRES: &str = include_str!("sql/postgres/remove.sql");

/// Parts of the trigger functions on PostgreSQL. Names stand in braces.
const FUNCTION: &str = include_str!("capture/postgres/function.sql");
const NOTE: &str = include_str!("capture/postgres/note.sql");
const TRUNCATE: &str = include_str!("capture/postgres/truncate.sql");
const TRUNCATE_ROSTER: &str = include_str!("capture/postgres/truncate_roster.sql");
const ROW: &str = "                    select cast({key} as {type}) as key, {at} as at from {rows}\n";
const SHADOW: &str = "                    select cast(s.{key} as {type}), {at} from {table} as s
                    where (select exists (select from {table})) and s.{id} = any (array({ids}))\n";
const OWNED: &str = "                    select key, min(at) as first, max(at) as last, cast(null as text) as note
                    from (
{rows}                    ) as rows
                    where key is not null
                    group by key";
const UNION: &str = "                    union all\n";

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
            triggers,
            sqlite_fingerprint: String::new(),
        };
        definition.postgres_fingerprint = fingerprint(&definition.install_postgres());
        definition.sqlite_fingerprint = fingerprint(&definition.install_sqlite());
        definition
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
    let note = |touched: String| {
        let is_bounded = if matches!(source.rows, WatchedRows::Owned { .. }) { "true" } else { "false" };
        let parts =
            [("touched", touched.as_str()), ("source", source.name), ("settled", settled), ("is_bounded", is_bounded)];
        fill(NOTE, &parts).trim_end().to_owned()
    };
    let [insert, delete, update] = match &source.rows {
        WatchedRows::Owned { .. } => [&["after_rows"][..], &["before_rows"], &["before_rows", "after_rows"]]
            .map(|transitions| owned(key_type, &source.rows, transitions)),
        WatchedRows::Keys { id, note, .. } => keys(key_type, id, note.as_ref()),
    }
    .map(note);
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
        ("truncate", truncate.trim_end()),
        ("source", source.name),
        ("settled", settled),
        ("insert", insert.as_str()),
        ("delete", delete.as_str()),
        ("update", update.as_str()),
    ];
    fill(FUNCTION, &parts)
}

/// The keys and spans that a statement touched, of rows that belong to keys.
fn owned(key_type: SqlType, rows: &WatchedRows, transitions: &[&str]) -> String {
    let WatchedRows::Owned { id, key, at, shadow } = rows else { return String::new() };
    let key_type = postgres_type(key_type);
    let instant = |prefix: &str, at: &Option<Ident>| match at {
        Some(at) => format!("cast({prefix}{} as timestamptz)", at.quoted()),
        None => "cast(null as timestamptz)".to_owned(),
    };
    let (key, at) = (key.quoted(), instant("", at));
    let mut parts: Vec<String> = transitions
        .iter()
        .map(|rows| fill(ROW, &[("key", key.as_str()), ("type", key_type), ("at", at.as_str()), ("rows", rows)]))
        .collect();
    if let Some(shadow) = shadow {
        let id = id.quoted();
        let ids: Vec<String> = transitions
            .iter()
            .map(|rows| fill("select {id} from {rows}", &[("id", id.as_str()), ("rows", rows)]))
            .collect();
        let (table, key, at) = (shadow.table.quoted(), shadow.key.quoted(), instant("s.", &shadow.at));
        let (id, ids) = (shadow.id.quoted(), ids.join(" union all "));
        parts.push(fill(
            SHADOW,
            &[
                ("table", table.as_str()),
                ("key", key.as_str()),
                ("type", key_type),
                ("at", at.as_str()),
                ("id", id.as_str()),
                ("ids", ids.as_str()),
            ],
        ));
    }
    fill(OWNED, &[("rows", parts.join(UNION).as_str())])
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
