//! Values of every kind that a platform's column may have, there and back.

use tierkeep_db::Dialect;
use tierkeep_learning::key::KeyType;
use tierkeep_learning::retention::{ARCHIVE, INVALID};

use super::super::fresh::{Fresh, Outside};
use super::super::outside;
use super::super::retention::run;
use super::super::rows::{key, key_literal, learner, session, text_literal};
use super::super::seeded::Chance;
use super::{everything, of_run, restore};

on_both_with_both_keys!(random_rows_come_back_as_they_were, rows_come_back_to_a_table_that_has_changed);

/// Rows of a history.
const ROWS: u32 = 80;

/// Columns that platforms have and Tierkeep knows nothing of, with literals of values.
const POSTGRES: [(&str, &str, &[&str]); 20] = [
    ("x_json", "json", &["'{\"b\": 1,  \"a\": [null]}'", "'\"\\u00e9\"'"]),
    ("x_jsonb", "jsonb", &["'{\"b\": 1e400, \"a\": {}}'", "'[]'"]),
    ("x_bytea", "bytea", &["'\\x00ff5c27'", "''"]),
    ("x_numeric", "numeric", &["'NaN'", "1234567890123456789012345678901234567890.0100", "-0.00"]),
    ("x_money", "numeric(12, 4)", &["0.1000"]),
    ("x_float8", "float8", &["'NaN'", "'-Infinity'", "'-0'", "5e-324", "0.1", "1.7976931348623157e308"]),
    ("x_float4", "float4", &["'NaN'", "0.1", "3.4028235e38"]),
    ("x_date", "date", &["'infinity'", "'0044-03-15 BC'", "'2025-03-09'"]),
    ("x_stamp", "timestamp", &["'-infinity'", "'2025-03-09 02:30:00.000001'", "'4713-01-01 BC'"]),
    ("x_instant", "timestamptz", &["'infinity'", "'2025-11-02 01:30:00.123456-04'"]),
    ("x_interval", "interval", &["'1 mon -3 days 04:05:06.789'", "'-1 year'"]),
    ("x_texts", "text[]", &["array['a,b', null, '', '\"{}\"', E'\\n']", "'{}'", "array[array['x'], array['y']]"]),
    ("x_mood", "mood", &["'gl\"ad'", "'sad'"]),
    ("x_char", "char(5)", &["'ab'", "''"]),
    ("x_range", "int4range", &["'[1,5)'", "'empty'"]),
    ("x_bits", "bit varying(9)", &["B'101'", "B''"]),
    ("x_pair", "pair", &["row(1, 'a \"b\", c')", "row(null, null)"]),
    ("x_percent", "percent", &["0", "100"]),
    ("x_address", "inet", &["'::1/128'", "'10.0.0.1/8'"]),
    ("odd \"name\", {columns}", "text", &["'{table}'", "E'tab\\t and \\\\'"]),
];

const SQLITE: [(&str, &str, &[&str]); 5] = [
    ("x_blob", "blob", &["x'00ff27'", "x''"]),
    ("x_real", "real", &["0.1", "-0.0", "5e-324", "9e999", "-9e999", "1.7976931348623157e308"]),
    ("x_any", "any", &["1", "'1'", "1.0", "x'31'", "'it''s'"]),
    ("x_text", "text", &["cast(x'ff00fe' as text)", "''", "char(0, 10, 128512)"]),
    ("odd \"name\", {columns}", "text", &["'{table}'", "'?1'"]),
];

const TYPES: &str = "create type mood as enum ('sad', 'gl\"ad'); create type pair as (number int, word text); \
     create domain percent as integer check (value between 0 and 100);";

const TEXTS: [&str; 6] =
    ["", "it's \"quoted\"", "line\nbreak\r\n\t", "\u{1f600}\u{0301}", "\\N \\\\ ?1 $1 {why}", "NULL"];

fn columns(dialect: Dialect) -> &'static [(&'static str, &'static str, &'static [&'static str])] {
    match dialect {
        Dialect::Postgres => &POSTGRES,
        Dialect::Sqlite => &SQLITE,
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

async fn widen(outside: &Outside, dialect: Dialect) {
    if dialect == Dialect::Postgres {
        outside.run(TYPES).await;
        outside
            .run(
                "alter table study_sessions add x_twice integer generated always as (duration_minutes * 2) stored, \
                  add x_number bigint generated always as identity",
            )
            .await;
    }
    for (name, type_name, _) in columns(dialect) {
        outside.run(&format!("alter table study_sessions add {} {type_name}", quoted(name))).await;
    }
}

/// Rows half of which are old, and some of which are invalid, with a null in every column that allows one.
async fn fill(outside: &Outside, dialect: Dialect, keys: KeyType, seed: u64) {
    let mut chance = Chance::new(seed);
    for n in 0..ROWS {
        let start = ["2024-02-29T23:59:59.999999Z", "1969-12-31T23:59:59.999999Z", "2026-05-01T08:00:00Z"];
        let minutes = if chance.below(5) == 0 { -7 } else { 30 };
        let row = session(keys, 1000 + n, 1 + n % 2, start[chance.below(3) as usize], minutes);
        outside.run(&outside::insert(dialect, "study_sessions", &row)).await;
        let mut sets = vec![format!("notes = {}", text_literal(TEXTS[chance.below(6) as usize]))];
        for (name, values) in [("effectiveness_rating", "5"), ("focus_score", "0.25"), ("estimator", "'x'")] {
            sets.push(format!("{name} = {}", if chance.below(2) == 0 { "null" } else { values }));
        }
        for (name, _, values) in columns(dialect) {
            let value = chance.below(u32::try_from(values.len()).unwrap() + 1) as usize;
            sets.push(format!("{} = {}", quoted(name), values.get(value).unwrap_or(&"null")));
        }
        let id = key_literal(key(keys, 1000 + n));
        outside.run(&format!("update study_sessions set {} where id = {id}", sets.join(", "))).await;
    }
}

async fn random_rows_come_back_as_they_were(dialect: Dialect, keys: KeyType) {
    for seed in 1..=2 {
        let fresh = Fresh::migrated(dialect, keys).await;
        let (store, outside) = (fresh.store().await, fresh.outside().await);
        store.write_users(vec![learner(keys, 1, None), learner(keys, 2, None)]).await.unwrap();
        widen(&outside, dialect).await;
        fill(&outside, dialect, keys, seed).await;
        // the archive gets the columns by the first run that needs them
        let before = everything(&outside, dialect).await;
        let cleaned = run(&store, &[INVALID, ARCHIVE]).await;
        let moved: u64 = cleaned.report.rules.values().sum();
        assert!(cleaned.report.rows("archive") > 5 && cleaned.report.rows("negative_duration") > 5, "{cleaned:?}");

        let report = restore(&fresh, &store, &of_run(cleaned.run)).await;

        assert_eq!((report.restored(), report.stayed), (moved, 0), "seed {seed}: {report:?}");
        assert_eq!(everything(&outside, dialect).await[1], before[1], "seed {seed}");
        assert_eq!(outside.count("study_sessions_archive").await, 0);
    }
}

async fn rows_come_back_to_a_table_that_has_changed(dialect: Dialect, keys: KeyType) {
    let fresh = Fresh::migrated(dialect, keys).await;
    let (store, outside) = (fresh.store().await, fresh.outside().await);
    store.write_users(vec![learner(keys, 1, None)]).await.unwrap();
    outside.run("alter table study_sessions add x_gone text").await;
    let mut rows = Vec::new();
    for n in 1..=4 {
        rows.push(session(keys, n, 1, "2024-05-01T08:00:00Z", 30));
        rows.push(session(keys, 10 + n, 1, "2026-05-01T08:00:00Z", -1));
    }
    store.write_sessions(rows).await.unwrap();
    let (one, other) = (key_literal(key(keys, 1)), key_literal(key(keys, 11)));
    outside.run(&format!("update study_sessions set x_gone = 'kept' where id in ({one}, {other})")).await;
    let cleaned = run(&store, &[INVALID, ARCHIVE]).await;
    outside.run("alter table study_sessions drop column x_gone").await;
    outside.run("alter table study_sessions add x_new integer not null default 7").await;
    outside.run("alter table study_sessions_archive add x_new integer").await;

    let report = restore(&fresh, &store, &of_run(cleaned.run)).await;

    assert_eq!((report.restored(), report.stayed), (6, 2), "{report:?}");
    let why = "the table has no column \"x_gone\" any more, and the row has a value in it";
    assert!(report.stays.iter().all(|stay| stay.why == why), "{report:?}");
    assert_eq!(outside.number("select count(*) from study_sessions where x_new = 7").await, 6);
    assert_eq!(outside.count("study_sessions_archive").await + outside.count("tierkeep_quarantine").await, 2);
    // nothing of what stayed is lost: with the column they come back
    outside.run("alter table study_sessions add x_gone text").await;
    let report = restore(&fresh, &store, &of_run(cleaned.run)).await;
    assert_eq!((report.restored(), report.stayed), (2, 0), "{report:?}");
    assert_eq!(outside.number("select count(*) from study_sessions where x_gone = 'kept'").await, 2);
}
