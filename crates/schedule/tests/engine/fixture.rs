//! A database with the tables of the schedule, jobs that do what a test says, and a table that they write to.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use jiff::SignedDuration;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use tierkeep_db::{Database, DatabaseUrl, Error, Fence, Pool, PoolConfig, SqliteConfig, SqliteDatabase};
use tierkeep_schedule::{
    Attempt, Job, JobError, Missed, Pace, Retries, RunEntry, RunState, Scheduler, TABLES_POSTGRES, TABLES_SQLITE, Task,
    Timing,
};
use tierkeep_testkit::{DatabaseClient, PostgresServer, SqliteFile, TestDatabase};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Each test of the list on both databases.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() -> anyhow::Result<()> {
                Box::pin(super::$name(crate::fixture::Platform::postgres().await?)).await
            })*
        }
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() -> anyhow::Result<()> {
                Box::pin(super::$name(crate::fixture::Platform::sqlite().await?)).await
            })*
        }
    };
}
pub(crate) use on_both;

/// Longer than anything here takes, and shorter than a lease: what comes in time did not wait for one to end.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Looks often, so that tests are quick; leases are as usual.
pub(crate) const PACE: Pace = Pace {
    lease: Duration::from_secs(30),
    shortest: Duration::from_millis(10),
    longest: Duration::from_millis(30),
    grace: Duration::from_secs(30),
};

pub(crate) enum Platform {
    Postgres { test: TestDatabase, client: DatabaseClient },
    Sqlite { file: SqliteFile },
}

const WORK_POSTGRES: &str =
    "create table work (id bigint generated always as identity primary key, task text, token bigint)";
const WORK_SQLITE: &str = "create table work (id integer primary key, task text, token integer)";

impl Platform {
    pub(crate) async fn postgres() -> Result<Self> {
        let tables = async |url: String| {
            let client = DatabaseClient::connect(&url).await?;
            client.batch_execute(TABLES_POSTGRES).await?;
            Ok(client.batch_execute(WORK_POSTGRES).await?)
        };
        let test = PostgresServer::shared().await?.database_from("schedule", tables).await?;
        let client = test.client().await?;
        Ok(Self::Postgres { test, client })
    }

    pub(crate) async fn sqlite() -> Result<Self> {
        let platform = Self::Sqlite { file: SqliteFile::new()? };
        platform.execute(TABLES_SQLITE).await;
        platform.execute(WORK_SQLITE).await;
        Ok(platform)
    }

    pub(crate) fn url(&self) -> String {
        match self {
            Self::Postgres { test, .. } => test.url().to_owned(),
            Self::Sqlite { file } => file.url(),
        }
    }

    pub(crate) fn is_postgres(&self) -> bool {
        matches!(self, Self::Postgres { .. })
    }

    /// A scheduler of its own, with its own way to the database.
    pub(crate) async fn node(&self, tasks: Vec<(Task, Arc<dyn Job>)>) -> Scheduler {
        Scheduler::new(open(&self.url()).await, tasks).pace(PACE)
    }

    /// Statements that no scheduler knows of.
    pub(crate) async fn execute(&self, sql: &str) {
        match self {
            Self::Postgres { client, .. } => client.batch_execute(sql).await.unwrap(),
            Self::Sqlite { file } => self.plain(file).execute_batch(sql).unwrap(),
        }
    }

    /// The one that is for this database.
    pub(crate) async fn execute_on(&self, postgres: &str, sqlite: &str) {
        self.execute(if self.is_postgres() { postgres } else { sqlite }).await;
    }

    /// One text.
    pub(crate) async fn text(&self, sql: &str) -> Option<String> {
        match self {
            Self::Postgres { client, .. } => client.query_one(sql, &[]).await.unwrap().get(0),
            Self::Sqlite { file } => self.plain(file).query_row(sql, [], |row| row.get(0)).unwrap(),
        }
    }

    fn plain(&self, file: &SqliteFile) -> rusqlite::Connection {
        let connection = rusqlite::Connection::open(file.path()).unwrap();
        connection.busy_timeout(PATIENCE).unwrap();
        connection
    }

    /// All tasks are due since a second ago.
    pub(crate) async fn make_due(&self) {
        self.execute_on(
            "update tierkeep_schedule set next_at = clock_timestamp() - interval '1 second'",
            "update tierkeep_schedule
             set next_at = cast(round((julianday('now') - 2440587.5) * 86400000) as integer) * 1000 - 1000000",
        )
        .await;
    }

    /// What waits for another attempt may begin.
    pub(crate) async fn end_pauses(&self) {
        self.execute("update tierkeep_schedule_run set run_at = due where state = 'waiting'").await;
    }

    /// What happens when a node stands still for longer than its lease.
    pub(crate) async fn expire(&self) {
        self.execute("update tierkeep_schedule_run set lease_until = due where state = 'works'").await;
    }

    /// The tokens of what was committed to the table of work, in order.
    pub(crate) async fn work(&self) -> Vec<i64> {
        let all = self
            .text(if self.is_postgres() {
                "select string_agg(token::text, ' ' order by id) from work"
            } else {
                "select group_concat(token, ' ') from (select token from work order by id)"
            })
            .await
            .unwrap_or_default();
        all.split_whitespace().map(|token| token.parse().unwrap()).collect()
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

/// A task that is due every hour, if nobody says otherwise.
pub(crate) fn task(name: &str) -> Task {
    Task {
        name: name.parse().unwrap(),
        timing: Timing::Every(SignedDuration::from_hours(1)),
        zone: TimeZone::UTC,
        missed: Missed::Once,
        jitter: Duration::ZERO,
        retries: Retries::default(),
        time_limit: Duration::from_secs(3600),
        is_enabled: true,
    }
}

/// A job that tells the test that it has begun, and ends as that says.
pub(crate) struct Told {
    begun: mpsc::Sender<Begun>,
}

/// An attempt that works.
pub(crate) struct Begun {
    pub(crate) attempt: Attempt,
    end: oneshot::Sender<Result<Value, JobError>>,
}

impl Begun {
    pub(crate) fn ends(self, how: Result<Value, JobError>) {
        // It may have been dropped.
        let _ = self.end.send(how);
    }

    pub(crate) fn succeeds(self) {
        self.ends(Ok(json!({ "rows": 1 })));
    }
}

#[async_trait]
impl Job for Told {
    async fn run(&self, attempt: &Attempt) -> Result<Value, JobError> {
        let (end, ended) = oneshot::channel();
        let begun = Begun { attempt: attempt.clone(), end };
        self.begun.send(begun).await.map_err(|_| JobError::Stopped)?;
        ended.await.unwrap_or(Err(JobError::Stopped))
    }
}

/// What has begun, on whichever node.
pub(crate) struct Ear(mpsc::Receiver<Begun>);

impl Ear {
    pub(crate) async fn next(&mut self) -> Result<Begun> {
        tokio::time::timeout(PATIENCE, self.0.recv()).await?.context("a node lives")
    }

    pub(crate) fn is_silent(&mut self) -> bool {
        self.0.try_recv().is_err()
    }
}

pub(crate) fn told() -> (Arc<dyn Job>, Ear) {
    let (begun, ear) = mpsc::channel(64);
    (Arc::new(Told { begun }), Ear(ear))
}

/// A scheduler that follows.
pub(crate) struct Node {
    pub(crate) scheduler: Arc<Scheduler>,
    stop: CancellationToken,
    follows: JoinHandle<()>,
}

impl Node {
    pub(crate) fn start(scheduler: Scheduler) -> Self {
        let scheduler = Arc::new(scheduler);
        let stop = CancellationToken::new();
        let follows = {
            let (scheduler, stop) = (Arc::clone(&scheduler), stop.clone());
            tokio::spawn(async move { scheduler.follow(stop, Duration::from_millis(100)).await })
        };
        Self { scheduler, stop, follows }
    }

    pub(crate) async fn stop(self) -> Result<()> {
        self.stop.cancel();
        Ok(tokio::time::timeout(PATIENCE, self.follows).await??)
    }

    pub(crate) async fn kill(self) {
        self.follows.abort();
        let _ = self.follows.await;
    }

    /// Waits until the newest run stands so.
    pub(crate) async fn sees(&self, state: RunState) -> Result<RunEntry> {
        self.sees_that(|run| run.state == state).await
    }

    pub(crate) async fn sees_that(&self, holds: impl Fn(&RunEntry) -> bool) -> Result<RunEntry> {
        let seen = async {
            loop {
                if let Some(run) = self.scheduler.history(None, 1).await?.into_iter().find(&holds) {
                    return Ok(run);
                }
            }
        };
        tokio::time::timeout(PATIENCE, seen).await?
    }

    /// Waits until it has made the rows of its tasks.
    pub(crate) async fn knows(&self, platform: &Platform) -> Result<()> {
        let known = async {
            let name = self.scheduler.tasks().await?.last().map(|task| task.name.to_string());
            let names = "select coalesce((select max(name) from tierkeep_schedule), '')";
            while platform.text(names).await.is_none_or(|known| Some(known) < name) {}
            Ok(())
        };
        tokio::time::timeout(PATIENCE, known).await?
    }
}

/// One row of work, in a transaction that holds the fence, or in one that does not.
pub(crate) async fn write(db: &Database, fence: &Fence, holds: bool) -> Result<(), Error> {
    let (name, token) = (fence.name().to_owned(), fence.token());
    match db {
        Database::Postgres(pool) => {
            let mut connection = pool.get().await?;
            let tx = connection.transaction().await?;
            if holds {
                fence.hold_postgres(&tx).await?;
            }
            tx.execute("insert into work (task, token) values ($1, $2)", &[&name, &token]).await?;
            Ok(tx.commit().await?)
        }
        Database::Sqlite(file) => {
            let fence = fence.clone();
            file.write(move |tx| {
                if holds {
                    fence.hold_sqlite(tx)?;
                }
                tx.execute("insert into work (task, token) values (?1, ?2)", (name, token))?;
                Ok(())
            })
            .await
        }
    }
}
