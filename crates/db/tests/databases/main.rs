//! The toolkit on real databases: a private PostgreSQL server, and files of SQLite.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails the test")]

mod catalog;
mod migrations;
mod names;
mod pool;
mod prefix;
mod sqlite;

use tierkeep_db::{DatabaseUrl, Pool, PoolConfig, PostgresUrl, SqliteConfig, SqliteDatabase, SqlitePath};
use tierkeep_testkit::{PostgresServer, SqliteFile, TestDatabase};

/// A database of its own on the server of this test process.
async fn postgres() -> TestDatabase {
    PostgresServer::shared().await.unwrap().database().await.unwrap()
}

fn pool(url: &str, config: PoolConfig) -> Pool {
    Pool::new(&url.parse::<PostgresUrl>().unwrap(), config).unwrap()
}

fn sqlite_path(file: &SqliteFile) -> SqlitePath {
    match file.url().parse().unwrap() {
        DatabaseUrl::Sqlite(path) => path,
        DatabaseUrl::Postgres(url) => panic!("{url} is no file"),
    }
}

async fn sqlite(file: &SqliteFile) -> SqliteDatabase {
    SqliteDatabase::open(&sqlite_path(file), SqliteConfig::default()).await.unwrap()
}
