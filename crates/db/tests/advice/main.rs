//! Plans, advice on indexes and their creation, on fixtures and on real databases.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails the test")]

mod advising;
mod creation;
mod examples;
mod explain;
mod kinds;
mod lite;
mod pairs;
mod rules;
mod sampled;
mod suggestions;
mod versions;

use tierkeep_db::{Pool, PoolConfig, PostgresUrl, SqliteConfig, SqliteDatabase, SqlitePath};
use tierkeep_testkit::{PostgresServer, SqliteFile, TestDatabase};

/// A database of its own on the server of this test process.
async fn postgres() -> TestDatabase {
    PostgresServer::shared().await.unwrap().database().await.unwrap()
}

fn pool(database: &TestDatabase) -> Pool {
    let config = PoolConfig { pre_ping: false, ..PoolConfig::default() };
    Pool::new(&database.url().parse::<PostgresUrl>().unwrap(), config).unwrap()
}

/// A file with a schema and rows in it.
async fn sqlite(file: &SqliteFile, setup: &str) -> SqliteDatabase {
    let db = SqliteDatabase::open(&SqlitePath::new(file.path()), SqliteConfig::default()).await.unwrap();
    let setup = setup.to_owned();
    db.write(move |tx| Ok::<_, tierkeep_db::Error>(tx.execute_batch(&setup)?)).await.unwrap();
    db
}

fn sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        text.push_str(": ");
        text.push_str(&error.to_string());
        next = error.source();
    }
    text
}
