//! Events of random statements are those of a slow model of the rows.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::fixture::{Platform, Seen, touched};
use crate::sqlite::File;

/// A row of `sessions` or `archive`: whose, and when.
type Row = (Option<i64>, Option<i64>);
type Rows = BTreeMap<i64, Row>;
/// Rows that a statement takes away, rows that it puts there, and all rows after it.
type Effect = (Vec<(i64, Row)>, Vec<(i64, Row)>, Rows);
type Span = (Option<i64>, Option<i64>);

/// A statement on one of the tables, with the ids it concerns.
#[derive(Debug, Clone)]
enum Change {
    Insert { id: i64, row: Row },
    Upsert { id: i64, row: Row },
    Update { ids: (i64, i64), row: Row },
    Move { from: i64, to: i64 },
    Delete { ids: (i64, i64) },
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Table {
    Sessions,
    Archive,
}

fn statements() -> impl Strategy<Value = Vec<(Table, Change)>> {
    let id = 1..8_i64;
    let row = (proptest::option::weighted(0.9, 1..4_i64), proptest::option::weighted(0.9, 0..50_i64));
    let ids = (id.clone(), id.clone()).prop_map(|(a, b)| (a.min(b), a.max(b)));
    let change = prop_oneof![
        (id.clone(), row.clone()).prop_map(|(id, row)| Change::Insert { id, row }),
        (id.clone(), row.clone()).prop_map(|(id, row)| Change::Upsert { id, row }),
        (ids.clone(), row).prop_map(|(ids, row)| Change::Update { ids, row }),
        (id.clone(), id).prop_map(|(from, to)| Change::Move { from, to }),
        ids.prop_map(|ids| Change::Delete { ids }),
    ];
    let table = prop_oneof![Just(Table::Sessions), Just(Table::Archive)];
    proptest::collection::vec((table, change), 1..25)
}

/// The rows before and after a statement, or `None` if the database refuses it.
fn apply(rows: &Rows, change: &Change) -> Option<Effect> {
    let mut after = rows.clone();
    let (mut old, mut new) = (Vec::new(), Vec::new());
    match change {
        Change::Insert { id, row } => {
            if rows.contains_key(id) {
                return None;
            }
            new.push((*id, *row));
        }
        Change::Upsert { id, row } => {
            old.extend(rows.get(id).map(|row| (*id, *row)));
            new.push((*id, *row));
        }
        Change::Update { ids, row } => {
            for (id, before) in rows.range(ids.0..=ids.1) {
                old.push((*id, *before));
                new.push((*id, *row));
            }
        }
        Change::Move { from, to } => {
            if let Some(row) = rows.get(from) {
                if from != to && rows.contains_key(to) {
                    return None;
                }
                old.push((*from, *row));
                new.push((*to, *row));
            }
        }
        Change::Delete { ids } => old.extend(rows.range(ids.0..=ids.1).map(|(id, row)| (*id, *row))),
    }
    for (id, _) in &old {
        after.remove(id);
    }
    after.extend(new.iter().copied());
    Some((old, new, after))
}

/// What a statement touches: each key with the span of its instants.
fn expected(table: Table, old: &[(i64, Row)], new: &[(i64, Row)], archive: &Rows) -> Vec<Seen> {
    let touched_rows = old.iter().chain(new);
    let ids: BTreeSet<i64> = touched_rows.clone().map(|(id, _)| *id).collect();
    let shadowed = archive.iter().filter(|(id, _)| table == Table::Sessions && ids.contains(id)).map(|(_, row)| *row);
    let mut spans: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for (key, at) in touched_rows.map(|(_, row)| *row).chain(shadowed) {
        if let Some(key) = key {
            spans.entry(key).or_default().extend(at);
        }
    }
    let name = if table == Table::Sessions { "sessions" } else { "archive" };
    let span = |(key, at): (i64, Vec<i64>)| match (at.iter().min(), at.iter().max()) {
        (Some(first), Some(last)) => touched(name, key, *first, *last),
        _ => (name.to_owned(), Some(key), None, None, None),
    };
    spans.into_iter().map(span).collect()
}

/// The statement in SQL; instants are microseconds, which `instant` turns into what the column holds.
fn sql(table: Table, change: &Change, instant: &dyn Fn(i64) -> String) -> String {
    let name = if table == Table::Sessions { "sessions" } else { "archive" };
    let key = |row: &Row| row.0.map_or_else(|| "null".to_owned(), |key| key.to_string());
    let at = |row: &Row| row.1.map_or_else(|| "null".to_owned(), instant);
    match change {
        Change::Insert { id, row } => {
            format!("insert into {name} (id, learner, start) values ({id}, {}, {})", key(row), at(row))
        }
        Change::Upsert { id, row } => format!(
            "insert into {name} (id, learner, start) values ({id}, {}, {}) on conflict (id) do update \
             set learner = excluded.learner, start = excluded.start",
            key(row),
            at(row)
        ),
        Change::Update { ids, row } => format!(
            "update {name} set learner = {}, start = {} where id between {} and {}",
            key(row),
            at(row),
            ids.0,
            ids.1
        ),
        Change::Move { from, to } => format!("update {name} set id = {to} where id = {from}"),
        Change::Delete { ids } => format!("delete from {name} where id between {} and {}", ids.0, ids.1),
    }
}

/// One event for each key, as SQLite notes rows one by one.
fn merged(events: Vec<Seen>) -> Vec<Seen> {
    let mut merged: BTreeMap<(String, Option<i64>), Span> = BTreeMap::new();
    for (source, key, first, last, _) in events {
        let span = merged.entry((source, key)).or_insert((first, last));
        span.0 = span.0.into_iter().chain(first).min();
        span.1 = span.1.into_iter().chain(last).max();
    }
    merged.into_iter().map(|((source, key), (first, last))| (source, key, first, last, None)).collect()
}

#[tokio::test]
async fn events_of_random_statements_are_those_of_the_model() -> Result<()> {
    let mut platform = Platform::watched().await?;
    platform.noted("insert into learners select i, '' from generate_series(1, 3) as i; alter table archive alter learner drop not null").await?;
    let mut file = File::watched("learner integer not null, start", "learner integer, start")?;
    let mut runner = TestRunner::deterministic();
    for _ in 0..40 {
        let statements = statements().new_tree(&mut runner).map_err(anyhow::Error::msg)?.current();
        platform.noted("delete from sessions; delete from archive").await?;
        file.noted("delete from sessions; delete from archive")?;
        let (mut sessions, mut archive) = (Rows::new(), Rows::new());
        for (table, change) in &statements {
            let rows = if *table == Table::Sessions { &mut sessions } else { &mut archive };
            let Some((old, new, after)) = apply(rows, change) else { continue };
            *rows = after;
            let expected = expected(*table, &old, &new, &archive);

            let instant = |at: i64| format!("'epoch'::timestamptz + interval '{at} microseconds'");
            let on_postgres = platform.noted(&sql(*table, change, &instant)).await?;
            let on_sqlite = file.noted(&sql(*table, change, &|at: i64| at.to_string()))?;

            assert_eq!(on_postgres, expected, "{table:?} {change:?} in {statements:?}");
            assert_eq!(merged(on_sqlite), expected, "SQLite: {table:?} {change:?} in {statements:?}");
        }
    }
    Ok(())
}
