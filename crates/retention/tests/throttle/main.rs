//! What the throttle hears from real databases, and that it stops when it hears nothing.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails the test")]

mod postgres;
mod replicas;
mod silence;
mod sqlite;

use std::time::Duration;

use tierkeep_db::{Pool, PoolConfig, PostgresUrl};
use tierkeep_retention::{Reading, Source, Watched, health_postgres};
use tierkeep_testkit::{DatabaseClient, PostgresServer, TestDatabase};

/// How long a state that was brought about may take to show. Only reached by a failing test.
const PATIENCE: Duration = Duration::from_secs(30);

async fn database() -> TestDatabase {
    PostgresServer::shared().await.unwrap().database().await.unwrap()
}

fn pool(url: &str) -> Pool {
    Pool::new(&url.parse::<PostgresUrl>().unwrap(), PoolConfig::default()).unwrap()
}

fn watched(tables: &[&str], own_sessions: &[i32]) -> Watched {
    Watched { tables: tables.iter().map(|table| (*table).to_owned()).collect(), own_sessions: own_sessions.to_vec() }
}

async fn pid(client: &DatabaseClient) -> i32 {
    client.query_one("select pg_backend_pid()", &[]).await.unwrap().get(0)
}

fn of(source: Source, readings: &[Reading]) -> &Reading {
    readings.iter().find(|reading| reading.source() == source).unwrap()
}

/// Reads until a source says what is awaited.
async fn until(pool: &Pool, watched: &Watched, source: Source, is_awaited: impl Fn(&Reading) -> bool) -> Vec<Reading> {
    let mut last = Vec::new();
    let read = async {
        loop {
            last = health_postgres(pool, watched).await;
            if is_awaited(of(source, &last)) {
                break;
            }
        }
    };
    let is_in_time = tokio::time::timeout(PATIENCE, read).await.is_ok();
    assert!(is_in_time, "{last:?}");
    last
}
