//! A database with the engine's tables, and a table that batches write to.

use std::time::Duration;

use anyhow::Result;
use tierkeep_db::{Database, DatabaseUrl, Pool, PoolConfig, SqliteConfig, SqliteDatabase};
use tierkeep_retention::{Hold, Keeper, RetentionError, TABLES_POSTGRES, TABLES_SQLITE};
use tierkeep_testkit::{DatabaseClient, PostgresServer, SqliteFile, TestDatabase};
use tokio_util::sync::CancellationToken;

/// Each test of the list on both databases.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() -> anyhow::Result<()> {
                super::$name(crate::fixture::Platform::postgres().await?).await
            })*
        }
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() -> anyhow::Result<()> {
                super::$name(crate::fixture::Platform::sqlite().await?).await
            })*
        }
    };
}
pub(crate) use on_both;

/// Longer than anything here takes; a test that reaches it hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) enum Platform {
    Postgres { test: TestDatabase, client: DatabaseClient },
    Sqlite { file: SqliteFile },
}

impl Platform {
    pub(crate) async fn postgres() -> Result<Self> {
        let tables = async |url: String| {
            let client = DatabaseClient::connect(&url).await?;
            client.batch_execute(TABLES_POSTGRES).await?;
            let work =
                "create table work (id bigint generated always as identity primary key, fence bigint, note text)";
            Ok(client.batch_execute(work).await?)
        };
        let test = PostgresServer::shared().await?.database_from("ledger", tables).await?;
        let client = test.client().await?;
        Ok(Self::Postgres { test, client })
    }

    pub(crate) async fn sqlite() -> Result<Self> {
        let platform = Self::Sqlite { file: SqliteFile::new()? };
        let db = platform.database().await;
        let Database::Sqlite(file) = &db else { panic!("not a file") };
        file.write(|tx| {
            tx.execute_batch(TABLES_SQLITE)?;
            tx.execute_batch("create table work (id integer primary key, fence integer, note text)")?;
            Ok::<_, tierkeep_db::Error>(())
        })
        .await?;
        Ok(platform)
    }

    pub(crate) fn url(&self) -> String {
        match self {
            Self::Postgres { test, .. } => test.url().to_owned(),
            Self::Sqlite { file } => file.url(),
        }
    }

    /// A node's own way to the database: its own pool, its own threads.
    pub(crate) async fn database(&self) -> Database {
        open(&self.url()).await
    }

    pub(crate) fn is_postgres(&self) -> bool {
        matches!(self, Self::Postgres { .. })
    }

    /// Statements that nothing of the engine knows of; how many rows the last one changed.
    pub(crate) async fn execute(&self, sql: &str) -> usize {
        match self {
            Self::Postgres { client, .. } => usize::try_from(client.execute(sql, &[]).await.unwrap()).unwrap(),
            Self::Sqlite { file } => self.plain(file).execute(sql, []).unwrap(),
        }
    }

    /// One value, as text.
    pub(crate) async fn value(&self, sql: &str) -> Option<String> {
        match self {
            Self::Postgres { client, .. } => {
                client.query_one(&format!("select cast(({sql}) as text)"), &[]).await.unwrap().get(0)
            }
            Self::Sqlite { file } => {
                self.plain(file).query_row(&format!("select cast(({sql}) as text)"), [], |row| row.get(0)).unwrap()
            }
        }
    }

    fn plain(&self, file: &SqliteFile) -> rusqlite::Connection {
        let connection = rusqlite::Connection::open(file.path()).unwrap();
        connection.busy_timeout(PATIENCE).unwrap();
        connection
    }

    /// What happens when a holder stands still for longer than its lease.
    pub(crate) async fn expire(&self) {
        let past = if self.is_postgres() { "clock_timestamp() - interval '1 second'" } else { "1000000" };
        self.execute(&format!("update tierkeep_retention set until = {past} where holder <> ''")).await;
    }

    /// What happens when the process of a holder is killed. On PostgreSQL the hold lives on, as its client has not noticed.
    pub(crate) async fn kill(&self, hold: Hold) -> Option<Hold> {
        match self {
            Self::Postgres { .. } => {
                let session = self.value("select session from tierkeep_retention").await.unwrap().parse().unwrap();
                self.terminate(session).await;
                Some(hold)
            }
            Self::Sqlite { .. } => {
                drop(hold);
                None
            }
        }
    }

    /// Ends a session of PostgreSQL.
    pub(crate) async fn terminate(&self, session: i32) {
        let Self::Postgres { client, .. } = self else { panic!("no sessions") };
        client.execute("select pg_terminate_backend($1)", &[&session]).await.unwrap();
        self.gone(session).await;
    }

    /// Waits until a session of PostgreSQL is gone.
    pub(crate) async fn gone(&self, session: i32) {
        let Self::Postgres { client, .. } = self else { panic!("no sessions") };
        let gone = async {
            let sql = "select 1 from pg_stat_activity where pid = $1";
            while !client.query(sql, &[&session]).await.unwrap().is_empty() {}
        };
        tokio::time::timeout(PATIENCE, gone).await.expect("a session that was closed ends");
    }

    /// The fences of what was committed to the table of work, in order.
    pub(crate) async fn work(&self) -> Vec<i64> {
        let all = if self.is_postgres() {
            "select string_agg(fence::text, ' ' order by id) from work"
        } else {
            "select group_concat(fence, ' ') from (select fence from work order by id)"
        };
        let all = self.value(all).await.unwrap_or_default();
        all.split_whitespace().map(|fence| fence.parse().unwrap()).collect()
    }

    pub(crate) async fn fence(&self) -> i64 {
        self.value("select fence from tierkeep_retention").await.unwrap().parse().unwrap()
    }
}

pub(crate) async fn open(url: &str) -> Database {
    match url.parse().unwrap() {
        DatabaseUrl::Postgres(url) => {
            Database::Postgres(Pool::new(&url, PoolConfig { size: 4, ..PoolConfig::default() }).unwrap())
        }
        DatabaseUrl::Sqlite(path) => {
            Database::Sqlite(SqliteDatabase::open(&path, SqliteConfig::default()).await.unwrap())
        }
    }
}

pub(crate) async fn take(db: &Database) -> Result<Hold, RetentionError> {
    Hold::take(db, Duration::ZERO, &CancellationToken::new()).await
}

/// A batch: one row of work, marked with the fence of the run that believes to have the lease.
///
/// With `None` for leave it asks for none.
pub(crate) async fn batch(db: &Database, leave: Option<&Keeper>, fence: i64) -> Result<(), RetentionError> {
    match db {
        Database::Postgres(pool) => {
            let mut connection = pool.get().await?;
            let tx = connection.transaction().await?;
            if let Some(keeper) = leave {
                keeper.keep_postgres(&tx).await?;
            }
            tx.execute("insert into work (fence) values ($1)", &[&fence]).await?;
            Ok(tx.commit().await?)
        }
        Database::Sqlite(file) => {
            let leave = leave.cloned();
            file.write(move |tx| {
                if let Some(keeper) = &leave {
                    keeper.keep_sqlite(tx)?;
                }
                tx.execute("insert into work (fence) values (?1)", [fence])?;
                Ok(())
            })
            .await
        }
    }
}

/// Whether a run committed work after a later one had begun to.
pub(crate) fn is_overtaken(work: &[i64]) -> bool {
    !work.is_sorted()
}
