//! A plan writes nothing, and says of each row what the statistics say of it.

use std::sync::Arc;

use jiff::SignedDuration;
use tierkeep_db::Dialect;
use tierkeep_learning::key::KeyType;
use tierkeep_learning::retention::{INVALID, PHASES};
use tierkeep_learning::rows::SessionRow;
use tierkeep_learning::store::{OpenMode, OpenOptions, open};

use super::super::fresh::{Fresh, options};
use super::super::retention::{LIMITS, cleanup, filled, plan, run};
use super::super::rows::{facts, learner, session};

on_both!(what_counts_for_nothing_is_what_goes_into_quarantine);

const KEYS: KeyType = KeyType::Int;

/// Everything that the tables hold, sequences and statistics of writes.
const STATE: &str = "select string_agg(text, '; ' order by text) from (
    select relname || ' ' || n_tup_ins || ' ' || n_tup_upd || ' ' || n_tup_del as text
    from pg_stat_user_tables
    union all select sequencename || ' ' || coalesce(last_value::text, 'none') from pg_sequences
    union all select c.relname || ' ' || c.relfilenode from pg_class c
    where c.relnamespace = 'public'::regnamespace) as facts";

#[tokio::test]
async fn plan_needs_select_only_and_leaves_no_trace_on_postgres() {
    let (fresh, store, outside) = filled(Dialect::Postgres, KEYS).await;
    let wanted = plan(&store, &PHASES).await;
    store.close().await;
    let role: String = outside.texts("select 'reads ' || current_database()").await.remove(0);
    let password = "reads";
    outside
        .run(&format!(
            "create role \"{role}\" login password '{password}'; grant usage on schema public to \"{role}\"; \
             grant select on all tables in schema public to \"{role}\"; \
             alter role \"{role}\" set default_transaction_read_only = on"
        ))
        .await;
    let url = as_role(&fresh.text, &role, password);
    let reader = open(&url.parse().unwrap(), &options(OpenMode::ReadOnly)).await.unwrap();
    outside.flush_statistics().await;
    let before = outside.texts(STATE).await;

    let plan = Arc::clone(&reader).plan_cleanup(&cleanup(&PHASES), LIMITS, false).await.unwrap();

    assert_eq!(plan.rules, wanted.rules);
    reader.close().await;
    assert_eq!(outside.texts(STATE).await, before);
    // the control: what a run writes is seen by this
    let store = fresh.store().await;
    run(&store, &PHASES).await;
    store.close().await;
    outside.flush_statistics().await;
    assert_ne!(outside.texts(STATE).await, before);
    outside.run(&format!("drop owned by \"{role}\"; drop role \"{role}\"")).await;
}

/// The same database for another role.
fn as_role(url: &str, role: &str, password: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap();
    let rest = rest.split_once('@').map_or(rest, |(_, rest)| rest);
    format!("{scheme}://{}:{password}@{rest}", role.replace(' ', "%20"))
}

#[tokio::test]
async fn plan_leaves_the_bytes_of_the_file_on_sqlite() {
    let (fresh, store, outside) = filled(Dialect::Sqlite, KEYS).await;
    let wanted = plan(&store, &PHASES).await;
    store.close().await;
    outside.run("pragma wal_checkpoint(truncate)").await;
    let path = outside.texts("select file from pragma_database_list where name = 'main'").await.remove(0);
    drop(outside);
    let bytes = || std::fs::read(&path).unwrap();
    let before = bytes();
    let reader = open(&fresh.url, &OpenOptions { ..options(OpenMode::ReadOnly) }).await.unwrap();

    let plan = Arc::clone(&reader).plan_cleanup(&cleanup(&PHASES), LIMITS, false).await.unwrap();

    reader.close().await;
    assert_eq!(plan.rules, wanted.rules);
    assert!(bytes() == before, "the file is as it was");
    let store = fresh.store().await;
    run(&store, &PHASES).await;
    store.close().await;
    fresh.outside().await.run("pragma wal_checkpoint(truncate)").await;
    assert!(bytes() != before, "a run does change it");
}

/// All combinations of what a fault can look at, one row each.
fn combinations() -> Vec<SessionRow> {
    let mut rows = Vec::new();
    let micros = |micros: i64| SignedDuration::from_micros(micros);
    for minutes in [i32::MIN, -1, 0, 1] {
        for end in [None, Some(-1), Some(0), Some(1)] {
            for rating in [None, Some(i16::MIN), Some(0), Some(1), Some(5), Some(6), Some(i16::MAX)] {
                for focus in [None, Some(-999), Some(-1), Some(0), Some(100), Some(101), Some(999)] {
                    let n = 1 + u32::try_from(rows.len()).unwrap();
                    let mut row = session(KEYS, n, 1, "2026-05-01T08:00:00Z", minutes);
                    row.end_time = end.map(|end| row.start_time + micros(end));
                    (row.effectiveness_rating, row.focus_hundredths) = (rating, focus);
                    rows.push(row);
                }
            }
        }
    }
    rows
}

async fn what_counts_for_nothing_is_what_goes_into_quarantine(dialect: Dialect) {
    let fresh = Fresh::migrated(dialect, KEYS).await;
    let (store, outside) = (fresh.store().await, fresh.outside().await);
    store.write_users(vec![learner(KEYS, 1, None)]).await.unwrap();
    let rows = combinations();
    for some in rows.chunks(200) {
        store.write_sessions(some.to_vec()).await.unwrap();
    }
    let mut wanted: Vec<String> =
        rows.iter().filter_map(|row| Some(format!("{} {}", row.id, facts(row).fault()?))).collect();
    wanted.sort_unstable();

    run(&store, &[INVALID]).await;

    let mut found = outside.texts("select row_key || ' ' || kind from tierkeep_quarantine").await;
    found.sort_unstable();
    assert_eq!(found, wanted);
    assert_eq!(outside.count("study_sessions").await + i64::try_from(found.len()).unwrap(), 784);
}
