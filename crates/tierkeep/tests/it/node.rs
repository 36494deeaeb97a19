//! Nodes of one installation: each its own store and tiers over one database, and maybe one Redis.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use rusqlite::Connection;
use tierkeep::access::{Access, Reach};
use tierkeep::cleanup::Desk;
use tierkeep::clock::Clock;
use tierkeep::config::{ByteSize, Config, Freshness, Redis, Warmup};
use tierkeep::http::{App, Limits, api};
use tierkeep::tasks::Workshop;
use tierkeep::tiers::{KeepingOptions, Tiers};
use tierkeep_db::Dialect;
use tierkeep_learning::service::Statistics;
use tierkeep_learning::store::{OpenMode, OpenOptions, Store, open};
use tierkeep_testkit::{DatabaseClient, PostgresServer, SqliteFile, TestDatabase};

use crate::fixture::{Answer, NOW, ask, fill, instant, options};

/// Makes a test on each database from functions over a [`Dialect`].
macro_rules! on_both {
    ($($case:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $case() {
                Box::pin(super::$case(tierkeep_db::Dialect::Sqlite)).await;
            })+
        }

        mod postgres {
            $(#[tokio::test]
            async fn $case() {
                Box::pin(super::$case(tierkeep_db::Dialect::Postgres)).await;
            })+
        }
    };
}
pub(crate) use on_both;

/// The time within which a change must be seen, in all tests.
pub(crate) const BOUND: Duration = Duration::from_secs(1);
/// From when on an answer is slow.
const SLOW: Duration = Duration::from_nanos(1);
/// For what must happen some time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A database with the learners of the fixture.
pub(crate) enum Installation {
    Sqlite(SqliteFile),
    Postgres(TestDatabase),
}

impl Installation {
    pub(crate) async fn new(dialect: Dialect) -> Self {
        let place = match dialect {
            Dialect::Sqlite => Self::Sqlite(SqliteFile::new().unwrap()),
            Dialect::Postgres => Self::Postgres(PostgresServer::shared().await.unwrap().database().await.unwrap()),
        };
        let store = open(&place.url().parse().unwrap(), &options()).await.unwrap();
        fill(&*store).await;
        while store.settle().await.unwrap().more {}
        store.close().await;
        place
    }

    pub(crate) fn url(&self) -> String {
        match self {
            Self::Sqlite(file) => file.url(),
            Self::Postgres(database) => database.url().to_owned(),
        }
    }

    /// Runs statements as another program would.
    pub(crate) async fn run(&self, sql: &str) {
        match self {
            Self::Sqlite(file) => {
                let connection = Connection::open(file.path()).unwrap();
                connection.busy_timeout(PATIENCE).unwrap();
                connection.execute_batch(sql).unwrap();
            }
            Self::Postgres(database) => database.client().await.unwrap().batch_execute(sql).await.unwrap(),
        }
    }

    /// The one number that a statement gives, as another program would read it.
    pub(crate) async fn number(&self, sql: &str) -> i64 {
        match self {
            Self::Sqlite(file) => Connection::open(file.path()).unwrap().query_row(sql, [], |row| row.get(0)).unwrap(),
            Self::Postgres(database) => database.client().await.unwrap().query_one(sql, &[]).await.unwrap().get(0),
        }
    }

    pub(crate) fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite(_) => Dialect::Sqlite,
            Self::Postgres(_) => Dialect::Postgres,
        }
    }

    /// A transaction on PostgreSQL that has run a statement and stays open until it is dropped.
    pub(crate) async fn hold(&self, sql: &str) -> DatabaseClient {
        let Self::Postgres(database) = self else { panic!("a transaction of SQLite would hold everybody") };
        let client = database.client().await.unwrap();
        client.batch_execute(&format!("begin; {sql}")).await.unwrap();
        client
    }

    /// A node that computes nothing before anybody asks, as most tests watch who computes what.
    pub(crate) async fn node(&self, redis: Option<&str>) -> Node {
        Node::start(&self.url(), redis, NOW, OpenMode::Existing).await
    }

    /// A node that does.
    pub(crate) async fn warming_node(&self, redis: Option<&str>, warmup: Warmup) -> Node {
        Node::with(&self.url(), redis, NOW, OpenMode::Existing, (warmup, BOUND)).await
    }

    /// A store of its own on the database.
    pub(crate) async fn store(&self) -> Arc<dyn Store> {
        open(&self.url().parse().unwrap(), &OpenOptions { mode: OpenMode::Existing, ..options() }).await.unwrap()
    }
}

/// No warm-up.
const COLD: Warmup =
    Warmup { delay: Duration::ZERO, concurrency: 0, rate: 1, learned: false, deadline: Duration::ZERO, keys: 1 };

/// A node's API.
pub(crate) struct Node {
    app: Arc<App>,
}

impl Node {
    pub(crate) async fn start(url: &str, redis: Option<&str>, now: &str, mode: OpenMode) -> Self {
        Self::with(url, redis, now, mode, (COLD, BOUND)).await
    }

    /// A node whose answers may be rather old: one that asks a slow database is not behind, however busy the machine is.
    pub(crate) async fn patient(url: &str, redis: Option<&str>) -> Self {
        Self::with(url, redis, NOW, OpenMode::Existing, (COLD, 60 * BOUND)).await
    }

    async fn with(
        url: &str,
        redis: Option<&str>,
        now: &str,
        mode: OpenMode,
        (warmup, bound): (Warmup, Duration),
    ) -> Self {
        let config = Config::default();
        let store = open(&url.parse().unwrap(), &OpenOptions { mode, ..options() }).await.unwrap();
        let clock = Clock::Fixed(instant(now));
        let kept = KeepingOptions {
            cache: config.cache,
            redis: Redis { url: redis.map(|url| url.parse().unwrap()), ..config.redis },
            freshness: Freshness { bound, ..config.freshness },
            warmup,
            patience: config.http.request_timeout,
            clock,
        };
        let access = Access::load(Arc::clone(&store), Reach::Loopback).await.unwrap();
        // every answer is slow: the log says why, if somebody reads it
        let tiers = Tiers::open(Statistics::new(store, config.days), &kept).await.unwrap().telling_of(SLOW);
        let limits = Limits { body: ByteSize::bytes(64 * 1024), timeout: config.http.request_timeout };
        let app = App::new(tiers, access, clock, limits);
        let desk = Arc::new(Desk::new(config.retention, true));
        let workshop =
            Workshop { tiers: Arc::clone(&app.tiers), desk: Arc::clone(&desk), clock, notices: app.notices.clone() };
        // it tells of the tasks, and nobody follows it
        let schedule = workshop.scheduler(&Config::default()).map(Arc::new);
        Self { app: Arc::new(App { retention: desk, schedule, ..app }) }
    }

    pub(crate) fn app(&self) -> &App {
        &self.app
    }

    /// The same, for a service of its own.
    pub(crate) fn shared(&self) -> Arc<App> {
        Arc::clone(&self.app)
    }

    /// The value of a series on `/metrics`, by its name and labels as they are written there.
    pub(crate) async fn metric(&self, series: &str) -> f64 {
        let page = String::from_utf8(self.get("/metrics").await.body).unwrap();
        let values = page.lines().filter_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        values.map(|value| value.parse().unwrap()).next().unwrap_or_else(|| panic!("no {series} in\n{page}"))
    }

    /// Waits until a series is as expected.
    pub(crate) async fn until_metric(&self, series: &str, expected: impl Fn(f64) -> bool) {
        let asking = async {
            while !expected(self.metric(series).await) {
                tokio::task::yield_now().await;
            }
        };
        if tokio::time::timeout(PATIENCE, asking).await.is_err() {
            panic!("{series} is {}", self.metric(series).await);
        }
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        ask(api(Arc::clone(&self.app)), request).await
    }

    pub(crate) async fn get(&self, address: &str) -> Answer {
        self.send(Request::get(address).body(Body::empty()).unwrap()).await
    }

    /// Which tier answers.
    pub(crate) async fn tier(&self, address: &str) -> String {
        self.get(address).await.header("x-cache").to_owned()
    }

    /// Asks until the answer is as expected.
    pub(crate) async fn until(&self, address: &str, expected: impl Fn(&Answer) -> bool) -> Answer {
        let asking = async {
            loop {
                let answer = self.get(address).await;
                if expected(&answer) {
                    return answer;
                }
                tokio::task::yield_now().await;
            }
        };
        match tokio::time::timeout(PATIENCE, asking).await {
            Ok(answer) => answer,
            Err(_) => panic!("{address}: {}", self.get(address).await.shown()),
        }
    }

    pub(crate) async fn until_tier(&self, address: &str, tier: &str) -> Answer {
        self.until(address, |answer| answer.header("x-cache") == tier).await
    }
}
