//! `doctor` where it takes more: counted statements of SQLite, a large database, orders that are stopped, samples.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Stdio;

use serde_json::{Value, json};
use tempfile::TempDir;
use tierkeep_db::{Dialect, Error, SqliteConfig, SqliteDatabase, SqlitePath, StatementCounts};

use crate::cleanup::add_sessions;
use crate::doctor::{doctor, grown, json_of};
use crate::fixture::{ADA, run, tierkeep};
use crate::node::{Installation, on_both};
use crate::serve::signal;

on_both!(
    sizes_are_noted_once_a_day,
    each_index_that_the_learning_schema_lost_is_named_first_and_suggested,
    unused_indexes_are_named_if_they_are_large_and_not_our_own,
);

/// How often sizes were noted.
const DAYS: &str = "select count(distinct at_us) from tierkeep_table_sample";
const DAY_US: i64 = 24 * 3600 * 1_000_000;

/// The task that notes sizes, and on SQLite what was counted of statements.
fn sweep(directory: &TempDir, url: &str) -> Value {
    let told = run(directory, &["--database", url, "schedule", "run", "cleanup-expired-cache", "--json"]);
    json_of(&told)
}

async fn sizes_are_noted_once_a_day(dialect: Dialect) {
    let installation = Installation::new(dialect).await;
    installation.run("analyze").await;
    let (directory, url) = (TempDir::new().unwrap(), installation.url());

    sweep(&directory, &url);
    assert_eq!(installation.number(DAYS).await, 1);
    sweep(&directory, &url);
    assert_eq!(installation.number(DAYS).await, 1, "not twice on one day");
    // a day later, as seen from what is stored
    installation.run(&format!("update tierkeep_table_sample set at_us = at_us - {DAY_US}")).await;
    sweep(&directory, &url);
    assert_eq!(installation.number(DAYS).await, 2);
    // a clock that was set back keeps nobody from it
    installation.run(&format!("update tierkeep_table_sample set at_us = at_us + 2 * {DAY_US}")).await;
    sweep(&directory, &url);
    assert_eq!(installation.number(DAYS).await, 3);
    // and what is older than it is compared with goes
    installation.run(&format!("update tierkeep_table_sample set at_us = at_us - 900 * {DAY_US}")).await;
    sweep(&directory, &url);
    assert_eq!(installation.number(DAYS).await, 1);
}

/// Sessions of the large database: a million in the nightly run.
fn size() -> u32 {
    #[expect(clippy::disallowed_methods, reason = "the nightly run says how many")]
    let given = std::env::var("TIERKEEP_DOCTOR_SESSIONS");
    given.map_or(40_000, |size| size.parse().expect("TIERKEEP_DOCTOR_SESSIONS is a number of sessions"))
}

/// Indexes of the tables of rows, with a statement that each is for.
const LOST: [(&str, &str, &str); 2] = [
    (
        "study_sessions_user_start",
        "(user_id, start_time)",
        "select id from study_sessions where user_id = 'USER' and start_time >= LATE order by start_time limit 50",
    ),
    ("study_sessions_start", "(start_time)", "select id from study_sessions where start_time > LATE"),
];

async fn each_index_that_the_learning_schema_lost_is_named_first_and_suggested(dialect: Dialect) {
    let installation = Installation::new(dialect).await;
    let (directory, url) = (TempDir::new().unwrap(), installation.url());
    let size = size();
    // a million rows for a thousand learners, whose changes nobody has to note
    let (user, late) = match dialect {
        Dialect::Postgres => {
            let rows = format!(
                "set session_replication_role = replica;
                 insert into study_sessions (id, user_id, start_time, duration_minutes)
                 select ('a0000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid,
                     ('b0000000-0000-4000-8000-' || lpad((n * 7919 % 1000)::text, 12, '0'))::uuid,
                     timestamptz '2020-01-01T00:00:00Z' + n * interval '1 minute', 30
                 from generate_series(1, {size}) n"
            );
            installation.run(&rows).await;
            let late = format!("timestamptz '2020-01-01T00:00:00Z' + {} * interval '1 minute'", size - 200);
            ("b0000000-0000-4000-8000-000000000007", late)
        }
        Dialect::Sqlite => {
            add_many_to_sqlite(&installation, size).await;
            (
                "b0000000-0000-4000-8000-000000000007",
                (1_577_836_800_000_000 + (i64::from(size) - 200) * 60_000_000).to_string(),
            )
        }
    };
    installation.run("analyze study_sessions").await;

    for (name, keys, statement) in LOST {
        let definition = format!("create index {name} on study_sessions {keys}");
        installation.run(&format!("drop index {name}")).await;
        let file = directory.path().join("queries.sql");
        std::fs::write(&file, statement.replace("USER", user).replace("LATE", &late)).unwrap();

        let told = json_of(&doctor(&directory, &url, &["--json"]));
        let advice = json_of(&doctor(&directory, &url, &["advise", "--queries", file.to_str().unwrap(), "--json"]));

        let first = &told["tasks"][0];
        assert_eq!(first["urgency"], "broken");
        assert!(first["what"].as_str().unwrap().starts_with(&format!("{name} on study_sessions")), "{first}");
        let suggestions = advice["advice"]["suggestions"].as_array().unwrap();
        let wanted =
            keys.replace(['(', ')'], "").split(", ").map(|key| format!("\"{key}\"")).collect::<Vec<_>>().join(", ");
        let is_it = |one: &Value| one["statement"].as_str().unwrap().contains(&format!("({wanted}"));
        assert!(suggestions.iter().any(is_it), "{name}: {advice:#}");
        installation.run(&definition).await;
    }

    let told = json_of(&doctor(&directory, &url, &["--json"]));
    assert!(told["tasks"].as_array().unwrap().iter().all(|task| task["urgency"] != "broken"), "{told:#}");
}

/// Without the triggers, which note each row.
async fn add_many_to_sqlite(installation: &Installation, size: u32) {
    let Installation::Sqlite(file) = installation else { panic!("not on PostgreSQL") };
    let connection = rusqlite::Connection::open(file.path()).unwrap();
    let list = "select name, sql from sqlite_schema where type = 'trigger' and tbl_name = 'study_sessions'";
    let triggers: Vec<(String, String)> = connection
        .prepare(list)
        .unwrap()
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let tx = connection.unchecked_transaction().unwrap();
    for (name, _) in &triggers {
        tx.execute_batch(&format!("drop trigger \"{name}\"")).unwrap();
    }
    tx.execute_batch(&format!(
        "insert into study_sessions (id, user_id, start_time, duration_minutes)
         with recursive n (n) as (select 1 union all select n + 1 from n where n < {size})
         select printf('a0000000-0000-4000-8000-%012d', n), printf('b0000000-0000-4000-8000-%012d', n * 7919 % 1000),
             1577836800000000 + n * 60000000, 30 from n"
    ))
    .unwrap();
    for (_, sql) in &triggers {
        tx.execute_batch(sql).unwrap();
    }
    tx.commit().unwrap();
}

async fn unused_indexes_are_named_if_they_are_large_and_not_our_own(dialect: Dialect) {
    let installation = grown(dialect).await;
    let (directory, url) = (TempDir::new().unwrap(), installation.url());
    // one that is small, one of more than a mebibyte, and one that only repeats another
    installation
        .run(
            "create index small_one on course_progress (difficulty);
             create index large_one on study_sessions (notes, created_at, updated_at, duration_minutes, user_id, id);
             create index again on study_sessions (user_id)",
        )
        .await;

    let named = || -> Vec<String> {
        let found = json_of(&doctor(&directory, &url, &["indexes", "--json"]));
        let told = found["findings"].as_array().unwrap().iter().map(|finding| finding["finding"].as_str().unwrap());
        told.map(|told| told.split(' ').next().unwrap().replace("public.", "")).collect()
    };

    // SQLite counts no scans; PostgreSQL has since the database was made, which nobody knows to be short from version 15 on
    let is_known = match &installation {
        Installation::Postgres(database) => database.client().await.unwrap().server_version().await.unwrap() < 15,
        Installation::Sqlite(_) => true,
    };
    let unused: &[&str] = if is_known { &[] } else { &["large_one"] };
    let first = named();
    assert!(first.contains(&"again".to_owned()), "it repeats the beginning of one of ours: {first:?}");
    let others: Vec<&String> = first.iter().filter(|name| *name != "again").collect();
    assert_eq!(others, unused, "neither what is small nor what is ours");

    if let Installation::Postgres(database) = &installation {
        // other tests look at the counts of their own databases
        database.client().await.unwrap().batch_execute("select pg_stat_reset()").await.unwrap();
        assert_eq!(named(), ["again"], "what is counted for some seconds says nothing");
    }
}

#[tokio::test]
async fn what_nodes_counted_on_sqlite_is_listed_and_advised_on() {
    let installation = grown(Dialect::Sqlite).await;
    let (directory, url) = (TempDir::new().unwrap(), installation.url());
    let Installation::Sqlite(file) = &installation else { panic!("it is one") };
    let (_, told, note) = doctor(&directory, &url, &["slow-queries"]);
    assert!(told.contains("no program has stored counts"), "not an empty list: {told} {note}");

    sweep(&directory, &url);
    let listed = json_of(&doctor(&directory, &url, &["slow-queries", "--threshold", "0", "--limit", "1000", "--json"]));
    let texts = |listed: &Value| -> Vec<String> {
        let list = listed["slow_queries"].as_array().unwrap().iter();
        list.map(|query| query["sql"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!((&listed["examined"], &listed["complete"]), (&json!(true), &json!("Complete")));
    assert!(texts(&listed).iter().any(|text| text.contains("tierkeep_schedule_run")), "{listed:#}");
    assert!(!listed.to_string().contains(ADA), "no learner is in it");

    // and those of another program that uses the file
    installation.run("drop index study_sessions_start").await;
    let config = SqliteConfig { statements: StatementCounts::On, ..SqliteConfig::default() };
    let db = SqliteDatabase::open(&SqlitePath::new(file.path()), config).await.unwrap();
    for _ in 0..50 {
        let late = |db: &mut rusqlite::Connection| {
            let sql = "select id from study_sessions where start_time > ?1";
            Ok::<_, Error>(db.prepare_cached(sql)?.exists([1_736_888_400_000_000_i64])?)
        };
        assert!(db.read(late).await.unwrap());
    }
    db.note_statements().await.unwrap();
    db.close().await;

    let advice = json_of(&doctor(&directory, &url, &["advise", "--json"]));
    let suggestions = advice["advice"]["suggestions"].as_array().unwrap();
    let is_it = |one: &Value| one["statement"].as_str().unwrap().contains("(\"start_time\"");
    assert!(suggestions.iter().any(is_it), "{advice:#}");
    let whole = json_of(&doctor(&directory, &url, &["--json"]));
    assert!(!whole["not_examined"].to_string().contains("statements"), "{whole:#}");
}

#[tokio::test]
async fn an_order_to_make_indexes_that_is_stopped_says_so() {
    let installation = Installation::new(Dialect::Postgres).await;
    installation
        .run(
            "create table one (a int not null, pad text); create table two (a int not null, pad text);
             insert into one select n, repeat('x', 100) from generate_series(1, 30000) n;
             insert into two select n, repeat('x', 100) from generate_series(1, 30000) n;
             analyze one; analyze two",
        )
        .await;
    let (directory, url) = (TempDir::new().unwrap(), installation.url());
    let file = directory.path().join("queries.sql");
    std::fs::write(&file, "select pad from one where a = 7; select pad from two where a = 7").unwrap();
    // while it lasts no index of either table can be made
    let held = installation.hold("lock table one, two in share row exclusive mode").await;

    let mut child = tierkeep(&directory)
        .args(["--database", &url, "doctor", "advise", "--create", "--queries", file.to_str().unwrap()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("create index") {
        line.clear();
        assert_ne!(stderr.read_line(&mut line).unwrap(), 0, "it ended before it began");
    }
    signal(&child, "TERM");
    held.batch_execute("rollback").await.unwrap();

    let mut told = String::new();
    stderr.read_to_string(&mut told).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(4), "{told}");
    assert!(told.contains("the other indexes were not begun") && told.contains("the same command goes on"), "{told}");
    let made = "select count(*) from pg_index i join pg_class t on t.oid = i.indrelid
        where t.relname in ('one', 'two') and i.indisvalid";
    assert_eq!(installation.number(made).await, 1, "the one under way was finished");
    let (code, _, told) = doctor(&directory, &url, &["advise", "--create", "--queries", file.to_str().unwrap()]);
    assert_eq!((code, installation.number(made).await), (0, 2), "{told}");
}

#[tokio::test]
async fn a_plan_for_any_values_is_told_beside_those_for_values_that_are_there() {
    let installation = grown(Dialect::Postgres).await;
    add_sessions(&installation, 8, "c0000000-0000-4000-8000-000000000001", "2025-01-01T00:00:00Z", 10, "").await;
    installation.run("analyze study_sessions").await;
    let (directory, url) = (TempDir::new().unwrap(), installation.url());
    let sql = "select notes from study_sessions where start_time >= $1 and start_time < $2 limit $3";

    let (code, told, _) = doctor(&directory, &url, &["explain", sql]);
    let document = json_of(&doctor(&directory, &url, &["explain", sql, "--json"]));
    let (_, _, reason) = doctor(&directory, &url, &["explain", "select $1::int"]);

    assert_eq!(code, 0);
    assert_eq!(told.matches("\nwith start_time = ").count(), 3, "{told}");
    assert_eq!(document["samples"].as_array().unwrap().len(), 3, "{document:#}");
    assert!(reason.contains("compared with no column"), "{reason}");
}
