//! What a run does for the tables after its rules, and what it tells of them.

use std::sync::Arc;
use std::time::Duration;

use tierkeep_db::Dialect;
use tierkeep_learning::key::KeyType;
use tierkeep_learning::retention::{ARCHIVE, INVALID, OPTIMIZE, PHASES};
use tierkeep_learning::store::{OpenMode, Store, open};
use tierkeep_retention::{Ended, Order, Report, TableReport};

use super::fresh::{Fresh, Outside, options};
use super::retention::{cleanup, order, run};
use super::rows::{at, instant_literal, learner, session};

on_both!(
    tables_that_changed_much_are_measured_for_the_planner,
    report_tells_sizes_and_rows_before_and_after,
    graces_that_are_over_are_forgotten,
    run_that_ends_early_says_how_old_and_how_much_is_left,
);

const KEYS: KeyType = KeyType::Int;
/// More than are worth measuring a table for.
const MANY: u32 = 1200;

/// Many old sessions of one learner, and few new ones.
async fn filled(dialect: Dialect, many: u32) -> (Fresh, Arc<dyn Store>, Outside) {
    let fresh = Fresh::migrated(dialect, KEYS).await;
    let store = fresh.store().await;
    store.write_users(vec![learner(KEYS, 1, None)]).await.unwrap();
    let mut rows: Vec<_> = (1..=many).map(|n| session(KEYS, n, 1, "2024-05-01T08:00:00Z", 30)).collect();
    rows.extend((1..=5).map(|n| session(KEYS, 100_000 + n, 1, "2026-05-01T08:00:00Z", 30)));
    rows[0].start_time = at("2024-01-01T00:00:00Z");
    for row in &mut rows {
        row.notes = "x".repeat(2000);
    }
    for chunk in rows.chunks(400) {
        store.write_sessions(chunk.to_vec()).await.unwrap();
    }
    while store.settle().await.unwrap().more {}
    let outside = fresh.outside().await;
    // by hand only, whatever the server does by itself
    if dialect == Dialect::Postgres {
        outside.run("alter table study_sessions set (autovacuum_enabled = off); alter table study_sessions_archive set (autovacuum_enabled = off)").await;
    }
    (fresh, store, outside)
}

async fn done(store: &Arc<dyn Store>, phases: &[&'static str]) -> Report {
    run(store, phases).await.report
}

fn table<'a>(report: &'a Report, subject: &str) -> &'a TableReport {
    report.tables.iter().find(|table| table.subject == subject).unwrap()
}

/// Tables that the database has measured.
async fn measured(outside: &Outside, dialect: Dialect) -> Vec<String> {
    match dialect {
        Dialect::Postgres => {
            let text = "select relname::text from pg_stat_user_tables where analyze_count > 0 order by relname";
            outside.texts(text).await
        }
        Dialect::Sqlite
            if outside.number("select count(*) from sqlite_schema where name = 'sqlite_stat1'").await == 0 =>
        {
            Vec::new()
        }
        Dialect::Sqlite => outside.texts("select distinct tbl from sqlite_stat1 order by tbl").await,
    }
}

async fn tables_that_changed_much_are_measured_for_the_planner(dialect: Dialect) {
    let (_fresh, store, outside) = filled(dialect, MANY).await;

    let without = done(&store, &[INVALID]).await;
    assert!(without.analyzed.is_empty() && without.advice.is_empty(), "the phase is not wanted: {without:?}");
    let archive = "study_sessions_archive".to_owned();
    assert!(!measured(&outside, dialect).await.contains(&archive));
    let report = done(&store, &[ARCHIVE, OPTIMIZE]).await;

    assert_eq!(report.analyzed, ["study_sessions", "study_sessions_archive"]);
    outside.flush_statistics().await;
    assert!(measured(&outside, dialect).await.contains(&archive));
    let again = done(&store, &PHASES).await;
    assert!(again.analyzed.is_empty(), "nothing has changed since: {again:?}");
}

async fn report_tells_sizes_and_rows_before_and_after(dialect: Dialect) {
    let (_fresh, store, outside) = filled(dialect, MANY).await;
    outside.run("update study_sessions set effectiveness_rating = 9 where id = 100005").await;

    let report = done(&store, &[INVALID, ARCHIVE, OPTIMIZE]).await;

    let (live, archive) = (table(&report, "study_sessions"), table(&report, "study_sessions_archive"));
    let many = u64::from(MANY);
    assert_eq!((live.rows_before, live.rows_after), (Some(many + 5), Some(4)));
    assert_eq!((archive.rows_before, archive.rows_after), (Some(0), Some(many)));
    assert!(archive.bytes_after.unwrap() > 4 * archive.bytes_before.unwrap(), "{archive:?}");
    let file = report.file;
    assert_eq!(file.is_some(), dialect == Dialect::Sqlite);
    assert!(file.is_none_or(|file| file.bytes_after > 4_000_000 && file.bytes_after > file.bytes_before), "{file:?}");
}

async fn graces_that_are_over_are_forgotten(dialect: Dialect) {
    let (_fresh, store, outside) = filled(dialect, 3).await;
    // the clock of the run says noon
    for (key, until) in [("1", "2026-06-01T12:00:00Z"), ("2", "2026-06-01T12:00:01Z"), ("3", "2020-01-01T00:00:00Z")] {
        let until = instant_literal(dialect, at(until));
        outside.run(&format!("insert into tierkeep_exempt values ('study_sessions', '{key}', {until})")).await;
    }

    let report = done(&store, &[ARCHIVE]).await;

    assert_eq!(outside.texts("select row_key from tierkeep_exempt").await, ["2"]);
    assert_eq!(report.rows("archive"), 2, "the grace that is left is kept");
}

async fn run_that_ends_early_says_how_old_and_how_much_is_left(dialect: Dialect) {
    let (_fresh, store, _outside) = filled(dialect, 30).await;
    let out_of_time = order();
    let out_of_time = Order { stop: out_of_time.stop.clone().within(Duration::ZERO), ..out_of_time };

    let outcome = Arc::clone(&store).clean_up(&cleanup(&[ARCHIVE]), &out_of_time).await.unwrap();

    assert_eq!(outcome.ended, Ended::Budget);
    let backlog = outcome.report.backlog.unwrap();
    assert_eq!((backlog.rule.as_str(), backlog.oldest), ("archive", at("2024-01-01T00:00:00Z")));
    assert_eq!(backlog.age_seconds, 882 * 86_400 + 12 * 3600, "until noon of 2026-06-01");
    let remaining = outcome.report.remaining.unwrap();
    assert_eq!((remaining.rows, remaining.seconds), (30, None));

    let report = done(&store, &[ARCHIVE]).await;
    assert_eq!((report.backlog, report.remaining), (None, None), "all is done");
}

#[tokio::test]
async fn locked_row_is_the_backlog() {
    let (_fresh, store, outside) = filled(Dialect::Postgres, 3).await;
    outside.run("begin; select from study_sessions where id = 2 for update").await;

    let report = done(&store, &[ARCHIVE]).await;

    assert_eq!(report.left.get("archive"), Some(&1));
    assert_eq!(report.backlog.unwrap().oldest, at("2024-05-01T08:00:00Z"));
    outside.run("commit").await;
}

#[tokio::test]
async fn lock_on_a_table_makes_advice_of_measuring_it() {
    let (_fresh, store, outside) = filled(Dialect::Postgres, MANY).await;
    // conflicts with measuring, and with no write
    outside.run("begin; lock table study_sessions in share update exclusive mode").await;
    let brief = Order { lock_timeout: Duration::from_millis(50), ..order() };

    let outcome = Arc::clone(&store).clean_up(&cleanup(&[ARCHIVE, OPTIMIZE]), &brief).await.unwrap();

    assert_eq!((outcome.ended, outcome.reason), (Ended::Done, None));
    assert_eq!(outcome.report.analyzed, ["study_sessions_archive"]);
    let advice = outcome.report.advice.join("\n");
    assert!(advice.contains("later: analyze \"study_sessions\""), "{advice}");
    outside.run("commit").await;
}

#[tokio::test]
async fn dead_rows_that_nobody_will_look_after_are_told_with_the_statement() {
    let (_fresh, store, outside) = filled(Dialect::Postgres, 2 * MANY).await;
    let vacuum = "vacuum (analyze) \"study_sessions\"";
    outside.run("delete from study_sessions where id <= 1200").await;
    // what a session counted is seen by others after a second, or at its end
    let count = "select n_dead_tup from pg_stat_user_tables where relname = 'study_sessions'";
    outside.flush_statistics().await;
    assert_eq!(outside.number(count).await, 1200);

    let off = done(&store, &[OPTIMIZE]).await;
    outside
        .run("alter table study_sessions reset (autovacuum_enabled), set (autovacuum_vacuum_threshold = 100000)")
        .await;
    let patient = done(&store, &[OPTIMIZE]).await;

    assert!(off.advice.iter().any(|advice| advice.ends_with(vacuum)), "{:?}", off.advice);
    assert!(patient.advice.is_empty(), "autovacuum is not due yet: {:?}", patient.advice);
}

#[tokio::test]
async fn free_pages_are_told_with_their_bytes() {
    let (_fresh, store, outside) = filled(Dialect::Sqlite, 3 * MANY).await;
    outside.run("delete from study_sessions where id > 10").await;
    let free = outside.number("select freelist_count * page_size from pragma_freelist_count, pragma_page_size").await;
    assert!(free > 4_000_000);

    let report = done(&store, &[OPTIMIZE]).await;

    assert!(report.advice.iter().any(|advice| advice.starts_with(&format!("{free} of "))), "{:?}", report.advice);
    assert_eq!(i64::try_from(report.file.unwrap().bytes_free).unwrap(), free);
    outside.run("vacuum").await;
    assert_eq!(done(&store, &[OPTIMIZE]).await.advice, [] as [&str; 0]);
}

#[tokio::test]
async fn file_that_is_made_for_it_gives_its_free_pages_back() {
    let (_fresh, store, outside) = filled(Dialect::Sqlite, 3 * MANY).await;
    let pages = "select page_count from pragma_page_count";
    outside.run("pragma auto_vacuum = incremental; vacuum").await;
    let before = outside.number(pages).await;
    outside.run("delete from study_sessions where id > 10").await;
    assert_eq!(outside.number(pages).await, before, "the control: nothing is given back by itself");

    let report = done(&store, &[OPTIMIZE]).await;

    assert!(outside.number(pages).await < before / 4);
    assert_eq!(report.file.unwrap().bytes_free, 0);
    assert_eq!(report.advice, [] as [&str; 0]);
}

#[tokio::test]
async fn role_that_may_not_measure_a_table_says_who_may() {
    let (fresh, _owner, outside) = filled(Dialect::Postgres, MANY).await;
    let role = format!("node_of_{}", outside.texts("select current_database()::text").await[0]);
    outside
        .run(&format!(
            "create role {role} login; grant pg_monitor to {role}; \
             grant select, insert, update, delete on all tables in schema public to {role}; \
             grant select on sequence tierkeep_feed_lost to {role}"
        ))
        .await;
    let url = fresh.text.replacen("postgres@", &format!("{role}@"), 1).parse().unwrap();
    let node = open(&url, &options(OpenMode::Existing)).await.unwrap();

    let report = done(&node, &[ARCHIVE, OPTIMIZE]).await;

    assert_eq!(report.analyzed, [] as [&str; 0]);
    let advice = report.advice.join("\n");
    assert!(advice.contains("as its owner: analyze \"study_sessions\""), "{advice}");
}
