//! Lag of a real standby.

use tierkeep_db::Pool;
use tierkeep_retention::{Limits, Reading, Source, Verdict};
use tierkeep_testkit::{DatabaseClient, PostgresServer, TestDatabase};

use super::{of, pool, until, watched};

/// A server with a standby that has applied everything.
pub(super) struct Pair {
    pub(super) database: TestDatabase,
    pub(super) pool: Pool,
    standby: PostgresServer,
    // Ends before the server it follows: fields are dropped in this order.
    pub(super) server: PostgresServer,
}

impl Pair {
    pub(super) async fn launch() -> Self {
        let server = PostgresServer::builder().setting("synchronous_standby_names", "standby").launch().await.unwrap();
        let database = server.database().await.unwrap();
        let standby = server.standby().await.unwrap();
        let pair = Self { pool: pool(database.url()), database, standby, server };
        pair.write("create table t (id int)", "remote_apply").await;
        pair
    }

    /// Commits when the standby has got as far as `synchronous_commit` says.
    async fn write(&self, sql: &str, synchronous_commit: &str) {
        let client = self.database.client().await.unwrap();
        client.batch_execute(&format!("set synchronous_commit = {synchronous_commit}")).await.unwrap();
        client.batch_execute(sql).await.unwrap();
    }
}

fn lag(reading: &Reading) -> u64 {
    match reading {
        Reading::Replicas(replicas) => match &replicas[..] {
            [replica] => {
                assert_eq!(replica.name, "standby");
                replica.bytes.unwrap()
            }
            _ => panic!("{replicas:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn standby_that_applies_is_go_and_one_that_does_not_is_stop_until_it_has_caught_up() {
    let pair = Pair::launch().await;
    let (limits, watched) = (Limits::default(), watched(&["t"], &[]));
    let standby = DatabaseClient::connect(&pair.standby.url(pair.database.name())).await.unwrap();
    let is_go = |reading: &Reading| limits.judge(reading) == Verdict::Go;

    until(&pair.pool, &watched, Source::ReplicationLag, is_go).await;
    standby.batch_execute("select pg_wal_replay_pause()").await.unwrap();
    // Some 30 MB of log, all of which the standby has, and none of which it has applied.
    pair.write("insert into t select generate_series(1, 500000)", "on").await;
    let held = until(&pair.pool, &watched, Source::ReplicationLag, |reading| lag(reading) > (16 << 20)).await;
    let verdict = limits.judge(of(Source::ReplicationLag, &held));
    standby.batch_execute("select pg_wal_replay_resume()").await.unwrap();
    pair.write("delete from t where id = 1", "remote_apply").await;
    until(&pair.pool, &watched, Source::ReplicationLag, is_go).await;

    assert!(matches!(verdict, Verdict::Slow(_) | Verdict::Stop { .. }), "{verdict:?} {held:?}");
}
