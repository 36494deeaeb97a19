//! What the nodes share.

use tierkeep_testkit::{DatabaseClient, PostgresServer, RedisServer, SqliteFile, TestDatabase};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::learners::rows;
use crate::nodes::command;

/// A database and what is beside it.
pub(crate) enum Installation {
    Postgres(Box<Postgres>),
    Sqlite(SqliteFile),
}

/// The servers of an installation for several nodes.
pub(crate) struct Postgres {
    _server: PostgresServer,
    database: TestDatabase,
    client: DatabaseClient,
    redis: RedisServer,
}

/// What is kept for nodes in the database: changes, and of these those that are not folded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Changes {
    pub(crate) all: f64,
    pub(crate) unfolded: f64,
}

const CHANGES: &str = "select count(*), count(case when settled then null else 1 end) from tierkeep_outbox";

impl Installation {
    pub(crate) async fn on_postgres() -> Self {
        let server = PostgresServer::launch().await.unwrap();
        let redis = RedisServer::launch().await.unwrap();
        let database = server.database().await.unwrap();
        migrate(database.url()).await;
        let client = database.client().await.unwrap();
        let at = |days: &str, minutes: &str| {
            format!(
                "timestamptz '2026-01-01T00:00:00Z' + make_interval(days => ({days})::int, mins => ({minutes})::int)"
            )
        };
        client.batch_execute(&rows(at)).await.unwrap();
        Self::Postgres(Box::new(Postgres { _server: server, database, client, redis }))
    }

    pub(crate) async fn on_sqlite() -> Self {
        let file = SqliteFile::new().unwrap();
        migrate(&file.url()).await;
        // 2026-01-01 in microseconds
        let at = |days: &str, minutes: &str| format!("1767225600000000 + (({days}) * 1440 + ({minutes})) * 60000000");
        rusqlite::Connection::open(file.path()).unwrap().execute_batch(&rows(at)).unwrap();
        Self::Sqlite(file)
    }

    pub(crate) fn database(&self) -> String {
        match self {
            Self::Postgres(postgres) => postgres.database.url().to_owned(),
            Self::Sqlite(file) => file.url(),
        }
    }

    pub(crate) fn redis(&self) -> Option<String> {
        match self {
            Self::Postgres(postgres) => Some(postgres.redis.url()),
            Self::Sqlite(_) => None,
        }
    }

    pub(crate) async fn changes(&self) -> Changes {
        let (all, unfolded): (i64, i64) = match self {
            Self::Postgres(postgres) => {
                let row = postgres.client.query_one(CHANGES, &[]).await.unwrap();
                (row.get(0), row.get(1))
            }
            Self::Sqlite(file) => {
                let path = file.path().to_owned();
                let counting = move || {
                    let db = rusqlite::Connection::open(path).unwrap();
                    db.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
                    db.query_row(CHANGES, (), |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
                };
                tokio::task::spawn_blocking(counting).await.unwrap()
            }
        };
        Changes { all: all as f64, unfolded: unfolded as f64 }
    }

    /// What Redis has in use, in MiB; 0 without one.
    pub(crate) async fn redis_mib(&self) -> f64 {
        let Self::Postgres(postgres) = self else { return 0.0 };
        let mut stream = UnixStream::connect(postgres.redis.socket()).await.unwrap();
        stream.write_all(b"INFO memory\r\nQUIT\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let used = answer.lines().find_map(|line| line.strip_prefix("used_memory:")).expect("it says what it uses");
        used.trim().parse::<f64>().unwrap() / (1024.0 * 1024.0)
    }
}

async fn migrate(url: &str) {
    let mut command = command(&["migrate", "--ids", "int", "--database", url]);
    let directory = tempfile::tempdir().unwrap();
    command.current_dir(directory.path());
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
