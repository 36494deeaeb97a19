//! What each source of PostgreSQL tells.

use std::fs;

use tierkeep_retention::{Limits, Reading, Share, Source, TableLimits, TableRows, Verdict, health_postgres};
use tierkeep_testkit::{DatabaseClient, PostgresServer};

use super::{database, of, pid, pool, until, watched};

#[tokio::test]
async fn quiet_database_is_known_and_well() {
    // A server of its own, since load and locks are those of all databases.
    let server = PostgresServer::launch().await.unwrap();
    let database = server.database().await.unwrap();
    database.client().await.unwrap().batch_execute("create table t (id int)").await.unwrap();

    let readings = health_postgres(&pool(database.url()), &watched(&["t"], &[])).await;

    assert_eq!(
        readings,
        [
            Reading::Replicas(vec![]),
            Reading::Waiters { sessions: 0 },
            Reading::Archive { is_failing: false, waiting_segments: 0 },
            Reading::Slots { retained_bytes: 0 },
            Reading::Load { active: 0, max_connections: 200 },
            Reading::Tables { is_vacuumed: false, rows: vec![TableRows { live: 0, dead: 0 }] },
        ]
    );
}

#[tokio::test]
async fn session_that_waits_for_us_is_seen_and_others_are_not() {
    let server = PostgresServer::launch().await.unwrap();
    let database = server.database().await.unwrap();
    let pool = pool(database.url());
    let [batch, foreground, next_run] = [(); 3].map(|()| database.client());
    let (batch, foreground, next_run) = (batch.await.unwrap(), foreground.await.unwrap(), next_run.await.unwrap());
    batch.batch_execute("create table t (id int); insert into t values (1)").await.unwrap();
    batch.batch_execute("begin; select pg_advisory_xact_lock(7); delete from t").await.unwrap();
    let (own, foreground_pid, next_pid) = (pid(&batch).await, pid(&foreground).await, pid(&next_run).await);

    // The one waits for a row, the other for the lease.
    let row = tokio::spawn(async move { foreground.batch_execute("update t set id = 2").await });
    let lease = tokio::spawn(async move { next_run.batch_execute("select pg_advisory_lock(7)").await });
    let both_wait = |reading: &Reading| matches!(reading, Reading::Load { active: 2, .. });
    let wait_events = "select count(*) = 2 from pg_stat_activity where wait_event_type = 'Lock' and pid = any($1)";
    while !batch.query_one(wait_events, &[&vec![foreground_pid, next_pid]]).await.unwrap().get::<_, bool>(0) {}
    let ours = until(&pool, &watched(&["t"], &[own]), Source::Load, both_wait).await;
    let not_ours = health_postgres(&pool, &watched(&["t"], &[])).await;
    let all_ours = health_postgres(&pool, &watched(&["t"], &[own, foreground_pid])).await;

    assert_eq!(of(Source::LockWaiters, &ours), &Reading::Waiters { sessions: 1 });
    assert_eq!(of(Source::LockWaiters, &not_ours), &Reading::Waiters { sessions: 0 });
    assert_eq!(of(Source::LockWaiters, &all_ours), &Reading::Waiters { sessions: 0 });
    assert_eq!(of(Source::Load, &all_ours), &Reading::Load { active: 1, max_connections: 200 });
    assert!(matches!(Limits::default().judge(of(Source::LockWaiters, &ours)), Verdict::Slow(_)));

    batch.batch_execute("rollback").await.unwrap();
    row.await.unwrap().unwrap();
    lease.await.unwrap().unwrap();
}

#[tokio::test]
async fn vacuum_of_a_watched_table_is_seen_and_that_of_another_is_not() {
    let database = database().await;
    let pool = pool(database.url());
    let vacuum = database.client().await.unwrap();
    vacuum.batch_execute("create table t (id int); create table other (id int)").await.unwrap();

    // What vacuum takes, held for as long as is needed.
    vacuum.batch_execute("begin; lock table t in share update exclusive mode").await.unwrap();
    let busy = health_postgres(&pool, &watched(&["t"], &[])).await;
    let other = health_postgres(&pool, &watched(&["other"], &[])).await;
    let by_us = health_postgres(&pool, &watched(&["t"], &[pid(&vacuum).await])).await;

    let is_vacuumed = |readings| matches!(of(Source::Autovacuum, readings), Reading::Tables { is_vacuumed: true, .. });
    assert_eq!([&busy, &other, &by_us].map(|readings| is_vacuumed(readings)), [true, false, false]);
}

#[tokio::test]
async fn dead_rows_of_partitions_are_counted() {
    let database = database().await;
    let writer = database.client().await.unwrap();
    writer
        .batch_execute(
            "create table t (id int) partition by range (id);
             create table t_low partition of t for values from (0) to (100000) with (autovacuum_enabled = false);",
        )
        .await
        .unwrap();
    writer.batch_execute("insert into t select generate_series(1, 20000)").await.unwrap();
    writer.batch_execute("delete from t where id <= 12000").await.unwrap();
    // A session that ends tells its counts.
    drop(writer);

    let is_counted = |reading: &Reading| match reading {
        Reading::Tables { rows, .. } => rows.contains(&TableRows { live: 8000, dead: 12_000 }),
        _ => false,
    };
    let readings = until(&pool(database.url()), &watched(&["t"], &[]), Source::Autovacuum, is_counted).await;

    let wanted = TableLimits { dead: Some(Share::new(20).unwrap()), ..TableLimits::default() };
    let limits = Limits { tables: Some(wanted), ..Limits::default() };
    assert!(matches!(limits.judge(of(Source::Autovacuum, &readings)), Verdict::Slow(_)));
}

#[tokio::test]
async fn missing_table_is_unknown_and_nothing_else() {
    let database = database().await;

    let readings = health_postgres(&pool(database.url()), &watched(&["gone"], &[])).await;

    let unknown: Vec<Source> =
        readings.iter().filter(|reading| matches!(reading, Reading::Unknown { .. })).map(Reading::source).collect();
    assert_eq!(unknown, [Source::Autovacuum]);
}

#[tokio::test]
async fn failing_archive_and_its_queue_are_seen() {
    let server = PostgresServer::builder()
        .setting("archive_mode", "on")
        // Archives while there is no file called `hold` beside the data.
        .setting("archive_command", "test ! -e ../hold")
        .launch()
        .await
        .unwrap();
    let database = server.database().await.unwrap();
    let (pool, watched) = (pool(database.url()), watched(&[], &[]));
    let writer = database.client().await.unwrap();
    let segment = "create table if not exists t (id int); drop table t; select pg_switch_wal()";

    writer.batch_execute(segment).await.unwrap();
    let has_archived = "select archived_count > 0 from pg_stat_archiver";
    while !writer.query_one(has_archived, &[]).await.unwrap().get::<_, bool>(0) {}
    let well = health_postgres(&pool, &watched).await;
    fs::write(server.directory().join("hold"), "").unwrap();
    for _ in 0..3 {
        writer.batch_execute(segment).await.unwrap();
    }
    let fails = |reading: &Reading| matches!(reading, Reading::Archive { is_failing: true, .. });
    let ill = until(&pool, &watched, Source::WalArchive, fails).await;

    assert_eq!(of(Source::WalArchive, &well), &Reading::Archive { is_failing: false, waiting_segments: 0 });
    assert_eq!(of(Source::WalArchive, &ill), &Reading::Archive { is_failing: true, waiting_segments: 3 });
}

#[tokio::test]
async fn log_that_a_slot_keeps_is_counted() {
    let server = PostgresServer::launch().await.unwrap();
    let client = DatabaseClient::connect(&server.url("postgres")).await.unwrap();
    let pool = pool(&server.url("postgres"));
    client.batch_execute("select pg_create_physical_replication_slot('idle', true)").await.unwrap();

    client.batch_execute("create table t as select generate_series(1, 50000) as id").await.unwrap();

    // The log that nobody waits for is written a moment later.
    let is_much =
        |reading: &Reading| matches!(reading, Reading::Slots { retained_bytes } if *retained_bytes > 1_000_000);
    until(&pool, &watched(&[], &[]), Source::SlotRetention, is_much).await;
}
