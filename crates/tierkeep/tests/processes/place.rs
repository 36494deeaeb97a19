//! A database that several nodes share, as another program sees it.

use std::process::Command;
use std::time::Duration;

use rusqlite::Connection;
use tierkeep_db::Dialect;
use tierkeep_testkit::{DatabaseClient, PostgresServer, SqliteFile, TestDatabase};

use crate::history::PATIENCE;
use crate::node::Node;
use crate::writers::{ROWS_OF_POSTGRES, ROWS_OF_SQLITE};

/// The present of all nodes.
pub(crate) const NOW: &str = "2026-01-31T14:00:00Z";
/// The learner who has studied much, long ago.
pub(crate) const OLD: i64 = 6;
/// Sessions of that learner: far more than a run that rests most of the time archives while a test lasts.
pub(crate) const OLD_SESSIONS: i64 = 20_000;
/// A run of retention spends most of its time resting.
pub(crate) const SLOWLY: &str = "[retention]\nshare = 1\nbatch_size = 1\n";

/// A database with six learners, a session of each, and many old ones.
pub(crate) enum Place {
    Sqlite(SqliteFile),
    Postgres(TestDatabase),
}

impl Place {
    pub(crate) async fn new(dialect: Dialect) -> Self {
        let place = match dialect {
            Dialect::Sqlite => Self::Sqlite(SqliteFile::new().unwrap()),
            Dialect::Postgres => Self::Postgres(PostgresServer::shared().await.unwrap().database().await.unwrap()),
        };
        let directory = tempfile::tempdir().unwrap();
        let mut migrate = Command::new(env!("CARGO_BIN_EXE_tierkeep"));
        migrate.args(["migrate", "--ids", "int", "--database", &place.url()]).current_dir(directory.path());
        assert!(migrate.status().unwrap().success());
        let sessions = "insert into study_sessions (id, user_id, start_time, duration_minutes)";
        place
            .run(&match dialect {
                Dialect::Sqlite => format!(
                    "{ROWS_OF_SQLITE}; {sessions} with recursive n (n) as (select 1 union all select n + 1 from n where n < {OLD_SESSIONS})
                     select 1000000 + n, {OLD}, 1714550400000000 + n * 60000000, 30 from n"
                ),
                Dialect::Postgres => format!(
                    "{ROWS_OF_POSTGRES}; {sessions} select 1000000 + n, {OLD}, timestamptz '2024-05-01 08:00Z' + n * interval '1 minute', 30
                     from generate_series(1, {OLD_SESSIONS}) n"
                ),
            })
            .await;
        place
    }

    pub(crate) fn url(&self) -> String {
        match self {
            Self::Sqlite(file) => file.url(),
            Self::Postgres(database) => database.url().to_owned(),
        }
    }

    /// A node whose configuration says more.
    pub(crate) async fn node(&self, more: &str) -> Node {
        Node::configured(&self.url(), None, NOW, more).await
    }

    /// A connection to PostgreSQL.
    pub(crate) async fn client(&self) -> DatabaseClient {
        DatabaseClient::connect(&self.url()).await.unwrap()
    }

    pub(crate) async fn run(&self, sql: &str) {
        match self {
            Self::Sqlite(file) => {
                let connection = Connection::open(file.path()).unwrap();
                connection.busy_timeout(PATIENCE).unwrap();
                connection.execute_batch(sql).unwrap();
            }
            Self::Postgres(_) => self.client().await.batch_execute(sql).await.unwrap(),
        }
    }

    /// The one number that a statement gives.
    pub(crate) async fn number(&self, sql: &str) -> i64 {
        match self {
            Self::Sqlite(file) => {
                let connection = Connection::open(file.path()).unwrap();
                connection.busy_timeout(PATIENCE).unwrap();
                connection.query_row(sql, [], |row| row.get(0)).unwrap()
            }
            Self::Postgres(_) => self.client().await.query_one(sql, &[]).await.unwrap().get(0),
        }
    }

    /// Waits until a number is as expected, and tells it.
    pub(crate) async fn until(&self, sql: &str, expected: impl Fn(i64) -> bool) -> i64 {
        let mut looks = tokio::time::interval(Duration::from_millis(50));
        let mut last = 0;
        let waiting = async {
            loop {
                last = self.number(sql).await;
                if expected(last) {
                    return;
                }
                looks.tick().await;
            }
        };
        // a lease that has to run out takes as long
        if tokio::time::timeout(PATIENCE * 2, waiting).await.is_err() {
            panic!("{sql}: {last}");
        }
        last
    }
}

/// Makes a test on each database from functions over a [`Dialect`].
macro_rules! on_both {
    ($($case:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                Box::pin(super::$case(tierkeep_db::Dialect::Sqlite)).await;
            })+
        }

        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                Box::pin(super::$case(tierkeep_db::Dialect::Postgres)).await;
            })+
        }
    };
}
pub(crate) use on_both;
