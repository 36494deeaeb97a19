//! A source that cannot be read lets no batch begin after the grace.

use std::time::Duration;

use tierkeep_db::Pool;
use tierkeep_retention::{Limits, Reading, Source, Throttle, Verdict, Watched, health_postgres, health_sqlite};
use tierkeep_testkit::{Mode, PostgresServer, SqliteFile};
use tokio::time::Instant;

use super::replicas::Pair;
use super::{database, of, pool, watched};

/// The first second after the grace at which a batch may begin, if the database goes on like this.
fn batch_after_grace(mut decide: impl FnMut(Instant, &[Reading]) -> Verdict, readings: &[Reading]) -> Option<u64> {
    let start = Instant::now();
    [0, 3, 9, 10, 60, 3600].into_iter().find(|seconds| {
        let verdict = decide(start + Duration::from_secs(*seconds), readings);
        *seconds >= 10 && verdict.share().is_some()
    })
}

/// Asserts that these readings stop a run after the grace, and that the same check notices a throttle that hears only
/// those sources that speak.
fn assert_stops(sources: &[Source], readings: &[Reading]) {
    let limits = Limits::default();
    let mut throttle = Throttle::new(limits.clone(), sources);
    let fail_open = |_: Instant, readings: &[Reading]| {
        let spoken = readings.iter().filter(|reading| !matches!(reading, Reading::Unknown { .. }));
        spoken.map(|reading| limits.judge(reading)).fold(Verdict::Go, Verdict::worse)
    };

    assert_eq!(batch_after_grace(|now, readings| throttle.decide(now, readings).verdict, readings), None);
    assert_eq!(batch_after_grace(fail_open, readings), Some(10), "the check cannot fail: {readings:?}");
}

fn unknown(readings: &[Reading]) -> Vec<Source> {
    readings.iter().filter(|reading| matches!(reading, Reading::Unknown { .. })).map(Reading::source).collect()
}

async fn health(pool: &Pool) -> Vec<Reading> {
    health_postgres(pool, &Watched::default()).await
}

#[tokio::test]
async fn role_without_rights_does_not_know_replicas_and_load_until_it_is_granted_them() {
    let pair = Pair::launch().await;
    let admin = pair.database.client().await.unwrap();
    admin.batch_execute("create role watcher login").await.unwrap();
    let as_watcher = pair.database.url().replace("postgres@", "watcher@");

    let without = health_postgres(&pool(&as_watcher), &watched(&["t"], &[])).await;
    admin.batch_execute("grant pg_monitor to watcher").await.unwrap();
    let with = health_postgres(&pool(&as_watcher), &watched(&["t"], &[])).await;

    assert_eq!(unknown(&without), [Source::ReplicationLag, Source::Load]);
    assert_eq!(unknown(&with), []);
    assert_stops(&Source::POSTGRES, &without);
    let Reading::Unknown { why, .. } = of(Source::ReplicationLag, &without) else { panic!("{without:?}") };
    assert!(why.contains("grant pg_monitor"), "{why}");
    assert!(pair.server.pid().is_some());
}

#[tokio::test]
async fn closed_pool_knows_nothing() {
    let database = database().await;
    let pool = pool(database.url());
    pool.close().await;

    let readings = health(&pool).await;

    assert_eq!(unknown(&readings), Source::POSTGRES);
    assert_stops(&Source::POSTGRES, &readings);
}

#[tokio::test]
async fn statement_that_waits_for_a_lock_is_cut_off_by_its_timeout() {
    let server = PostgresServer::launch().await.unwrap();
    let database = server.database().await.unwrap();
    let pool = pool(database.url());
    let in_the_way = database.client().await.unwrap();
    in_the_way.batch_execute("begin; lock table pg_stat_archiver in access exclusive mode").await.unwrap();

    let held = health(&pool).await;
    in_the_way.batch_execute("rollback").await.unwrap();
    let free = health(&pool).await;

    assert_eq!(unknown(&held), Source::POSTGRES);
    assert_stops(&Source::POSTGRES, &held);
    let Reading::Unknown { why, .. } = &held[0] else { panic!("{held:?}") };
    assert!(why.contains("statement timeout"), "{why}");
    assert_eq!(unknown(&free), []);
}

#[tokio::test]
async fn server_that_does_not_answer_is_given_up() {
    let server = PostgresServer::shared().await.unwrap();
    let database = server.database().await.unwrap();
    let proxy = server.proxy().await.unwrap();
    let pool = pool(&database.url_through(&proxy));
    assert_eq!(unknown(&health(&pool).await), []);

    proxy.set(Mode::Stall);
    let readings = health(&pool).await;

    assert_eq!(unknown(&readings), Source::POSTGRES);
    assert_stops(&Source::POSTGRES, &readings);
    proxy.set(Mode::Cut);
}

#[tokio::test]
async fn file_that_is_gone_is_unknown() {
    let file = SqliteFile::new().unwrap();
    let db = super::sqlite::open(&file).await;
    db.close().await;
    std::fs::remove_file(file.path()).unwrap();

    let readings = health_sqlite(&db, Duration::ZERO).await;

    assert_eq!(unknown(&readings), [Source::WalFile]);
    assert_stops(&Source::SQLITE, &readings);
}
