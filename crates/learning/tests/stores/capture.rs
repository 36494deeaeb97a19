//! The triggers: what they notice that random deeds seldom do, and that these tests would notice if they did not.

use tierkeep_db::Dialect;
use tierkeep_learning::key::KeyType;
use tierkeep_learning::store::Store;

use super::fresh::Fresh;
use super::outside;
use super::rows::{ALL_DAYS, day, learner, session, user};

on_both!(
    without_triggers_an_outside_write_is_not_seen,
    row_of_the_archive_comes_and_goes_with_the_live_row_of_its_id,
    one_statement_on_many_learners_is_seen_for_each,
    rolled_back_write_leaves_nothing,
);

const KEYS: KeyType = KeyType::Int;

async fn minutes(store: &dyn Store, n: u32) -> Vec<(String, u64)> {
    let answer = store.learner_days(&[user(KEYS, n)], ALL_DAYS).await.unwrap().remove(0).unwrap();
    answer.days.into_iter().map(|(day, summary)| (day.to_string(), summary.minutes)).collect()
}

fn found(days: &[(&str, u64)]) -> Vec<(String, u64)> {
    days.iter().map(|(day, minutes)| ((*day).to_owned(), *minutes)).collect()
}

async fn without_triggers_an_outside_write_is_not_seen(dialect: Dialect) {
    let fresh = Fresh::migrated(dialect, KEYS).await;
    let (store, outside) = (fresh.store().await, fresh.outside().await);
    store.write_users(vec![learner(KEYS, 1, None)]).await.unwrap();
    while store.settle().await.unwrap().more {}
    assert_eq!(minutes(&*store, 1).await, []);
    outside
        .run(match dialect {
            Dialect::Sqlite => "drop trigger tierkeep_study_sessions_insert",
            Dialect::Postgres => "drop trigger tierkeep_insert on study_sessions",
        })
        .await;

    let row = session(KEYS, 1, 1, "2025-06-27T08:00:00Z", 30);
    outside.run(&outside::insert(dialect, "study_sessions", &row)).await;

    assert_eq!(minutes(&*store, 1).await, [], "so a comparison with the model fails, as it should");
    assert_eq!(store.global_totals(day("2025-06-27")).await.unwrap().totals.sessions, 0);
}

async fn row_of_the_archive_comes_and_goes_with_the_live_row_of_its_id(dialect: Dialect) {
    let fresh = Fresh::migrated(dialect, KEYS).await;
    let (store, outside) = (fresh.store().await, fresh.outside().await);
    store.write_users(vec![learner(KEYS, 1, None), learner(KEYS, 2, None)]).await.unwrap();
    let (archived, live) =
        (session(KEYS, 7, 1, "2023-01-01T08:00:00Z", 1), session(KEYS, 7, 2, "2025-06-27T08:00:00Z", 2));
    outside.run(&outside::archive_copy(dialect, &archived)).await;
    assert_eq!(minutes(&*store, 1).await, found(&[("2023-01-01", 1)]));
    assert_eq!(minutes(&*store, 2).await, []);

    outside.run(&outside::insert(dialect, "study_sessions", &live)).await;
    assert_eq!(minutes(&*store, 1).await, [], "the live row counts instead");
    assert_eq!(minutes(&*store, 2).await, found(&[("2025-06-27", 2)]));

    outside.run(&outside::rename_session(live.id, session(KEYS, 8, 2, "2025-06-27T08:00:00Z", 2).id)).await;
    assert_eq!(minutes(&*store, 1).await, found(&[("2023-01-01", 1)]));

    outside.run(&outside::rename_session(session(KEYS, 8, 2, "2025-06-27T08:00:00Z", 2).id, live.id)).await;
    assert_eq!(minutes(&*store, 1).await, []);

    outside.run(&outside::delete("study_sessions", live.id)).await;
    assert_eq!(minutes(&*store, 1).await, found(&[("2023-01-01", 1)]));
    assert_eq!(minutes(&*store, 2).await, []);
    while store.settle().await.unwrap().more {}
    assert_eq!(store.global_totals(day("2025-06-27")).await.unwrap().totals.sessions, 1);
}

async fn one_statement_on_many_learners_is_seen_for_each(dialect: Dialect) {
    let fresh = Fresh::migrated(dialect, KEYS).await;
    let (store, outside) = (fresh.store().await, fresh.outside().await);
    // more than the triggers of PostgreSQL name one by one
    const MANY: u32 = 600;
    store.write_users((1..=MANY).map(|n| learner(KEYS, n, None)).collect()).await.unwrap();
    while store.settle().await.unwrap().more {}
    let rows: Vec<_> = (1..=MANY).map(|n| session(KEYS, n, n, "2025-06-27T08:00:00Z", 3)).collect();
    let values: Vec<String> = rows.iter().map(|row| super::rows::session_values(dialect, row)).collect();
    let columns = super::rows::SESSION_COLUMNS;

    outside.run(&format!("insert into study_sessions ({columns}) values {}", values.join(", "))).await;

    if dialect == Dialect::Postgres {
        assert_eq!(outside.count("tierkeep_outbox where not settled and key is null").await, 1);
        assert_eq!(outside.count("tierkeep_outbox where not settled").await, 1);
    }
    let reader = fresh.reader().await;
    for store in [&reader, &store] {
        assert_eq!(minutes(&**store, 77).await, found(&[("2025-06-27", 3)]));
        assert_eq!(store.global_totals(day("2025-06-27")).await.unwrap().totals.sessions, u64::from(MANY));
    }
    let mut calls = 0;
    while store.settle().await.unwrap().more {
        calls += 1;
    }
    assert!((3..=6).contains(&calls), "{calls} bounded batches");
    assert_eq!(outside.count("tierkeep_outbox where not settled").await, 0);
    let totals = store.global_totals(day("2025-06-27")).await.unwrap().totals;
    assert_eq!((totals.users, totals.sessions, totals.minutes), (600, 600, 1800));

    // an import names them all, however many
    store.write_sessions(rows).await.unwrap();
    assert_eq!(outside.count("tierkeep_outbox where not settled and key is null").await, 0);
    assert_eq!(outside.count("tierkeep_outbox where not settled").await, i64::from(MANY));
}

async fn rolled_back_write_leaves_nothing(dialect: Dialect) {
    let fresh = Fresh::migrated(dialect, KEYS).await;
    let (store, outside) = (fresh.store().await, fresh.outside().await);
    store.write_users(vec![learner(KEYS, 1, None)]).await.unwrap();
    while store.settle().await.unwrap().more {}
    let row = session(KEYS, 1, 1, "2025-06-27T08:00:00Z", 30);

    outside.run(&format!("begin; {}; rollback", outside::insert(dialect, "study_sessions", &row))).await;

    assert_eq!(outside.count("tierkeep_outbox where not settled").await, 0);
    assert_eq!(minutes(&*store, 1).await, []);
}

#[tokio::test]
async fn truncated_learners_on_postgres_are_gone_and_come_back_anew() {
    let fresh = Fresh::migrated(Dialect::Postgres, KEYS).await;
    let (store, outside) = (fresh.store().await, fresh.outside().await);
    store.write_users(vec![learner(KEYS, 1, Some("Asia/Shanghai")), learner(KEYS, 2, None)]).await.unwrap();
    store.write_sessions(vec![session(KEYS, 1, 1, "2025-06-27T20:00:00Z", 30)]).await.unwrap();
    assert_eq!(minutes(&*store, 1).await, found(&[("2025-06-28", 30)]));

    outside.run("truncate users").await;
    assert!(store.learner_days(&[user(KEYS, 1)], ALL_DAYS).await.unwrap()[0].is_none());
    assert_eq!(store.global_totals(day("2025-06-28")).await.unwrap().totals.users, 0);
    outside.run("insert into users (id, time_zone) values (1, 'America/New_York')").await;

    assert_eq!(minutes(&*store, 1).await, found(&[("2025-06-27", 30)]));
    while store.settle().await.unwrap().more {}
    assert_eq!(store.global_totals(day("2025-06-28")).await.unwrap().totals.users, 1);
}

#[tokio::test]
async fn session_that_switches_ordinary_triggers_off_on_postgres_is_seen() {
    let fresh = Fresh::migrated(Dialect::Postgres, KEYS).await;
    let (store, outside) = (fresh.store().await, fresh.outside().await);
    store.write_users(vec![learner(KEYS, 1, None)]).await.unwrap();
    assert_eq!(minutes(&*store, 1).await, []);

    let row = session(KEYS, 1, 1, "2025-06-27T08:00:00Z", 30);
    let insert = outside::insert(Dialect::Postgres, "study_sessions", &row);
    outside.run(&format!("set session_replication_role = replica; {insert}")).await;

    assert_eq!(minutes(&*store, 1).await, found(&[("2025-06-27", 30)]));
}

#[tokio::test]
async fn role_that_may_only_write_sessions_on_postgres_is_seen() {
    let fresh = Fresh::migrated(Dialect::Postgres, KEYS).await;
    let (store, outside) = (fresh.store().await, fresh.outside().await);
    store.write_users(vec![learner(KEYS, 1, None)]).await.unwrap();
    assert_eq!(minutes(&*store, 1).await, []);
    let role = format!("writer_of_{}", outside.texts("select current_database()::text").await[0]);
    outside.run(&format!("create role {role}; grant insert on study_sessions to {role}; set role {role}")).await;

    let row = session(KEYS, 1, 1, "2025-06-27T08:00:00Z", 30);
    outside.run(&outside::insert(Dialect::Postgres, "study_sessions", &row)).await;

    assert_eq!(minutes(&*store, 1).await, found(&[("2025-06-27", 30)]));
}

#[tokio::test]
async fn row_that_gives_way_to_another_on_sqlite_is_seen() {
    let fresh = Fresh::migrated(Dialect::Sqlite, KEYS).await;
    let (store, outside) = (fresh.store().await, fresh.outside().await);
    store.write_users(vec![learner(KEYS, 1, None), learner(KEYS, 2, None)]).await.unwrap();
    let rows = vec![session(KEYS, 1, 1, "2025-06-27T08:00:00Z", 1), session(KEYS, 2, 2, "2025-06-28T08:00:00Z", 2)];
    store.write_sessions(rows).await.unwrap();
    assert_eq!(minutes(&*store, 1).await, found(&[("2025-06-27", 1)]));
    assert_eq!(minutes(&*store, 2).await, found(&[("2025-06-28", 2)]));

    outside.run("update or replace study_sessions set id = 1 where id = 2").await;

    assert_eq!(minutes(&*store, 1).await, []);
    assert_eq!(minutes(&*store, 2).await, found(&[("2025-06-28", 2)]));
    while store.settle().await.unwrap().more {}
    assert_eq!(store.global_totals(day("2025-06-28")).await.unwrap().totals.sessions, 1);
}
