//! A platform's tables and a feed that watches them.

use anyhow::Result;
use tierkeep_db::feed::{Feed, FeedEvent, FeedSource, Installed, Polled, Shadow, WatchedRows};
use tierkeep_db::{Connection, Pool, PoolConfig, SqlType};
use tierkeep_testkit::{DatabaseClient, PostgresServer, TestDatabase};

/// Sessions of learners, an archive that is shadowed by them, and the learners.
pub(crate) const TABLES: &str = "
    create table learners (id bigint primary key, zone text);
    create table sessions (id bigint primary key, learner bigint references learners on delete cascade,
        start timestamptz, body text);
    create table archive (id bigint primary key, learner bigint not null, start timestamptz);";

/// The same for SQLite, where instants are microseconds.
pub(crate) const SQLITE_TABLES: &str = "
    create table learners (id integer primary key, zone text);
    create table sessions (id integer primary key, learner integer references learners on delete cascade,
        start integer, body text);
    create table archive (id integer primary key, learner integer not null, start integer);";

pub(crate) fn sources() -> Vec<FeedSource> {
    let ident = |name: &str| name.parse().expect("a name");
    let owned =
        |shadow| WatchedRows::Owned { id: ident("id"), key: ident("learner"), at: Some(ident("start")), shadow };
    let shadow = Shadow {
        table: "archive".parse().expect("a name"),
        id: ident("id"),
        key: ident("learner"),
        at: Some(ident("start")),
    };
    vec![
        FeedSource {
            name: "sessions",
            table: "sessions".parse().expect("a name"),
            rows: owned(Some(shadow)),
            settles: true,
        },
        FeedSource { name: "archive", table: "archive".parse().expect("a name"), rows: owned(None), settles: true },
        FeedSource {
            name: "learners",
            table: "learners".parse().expect("a name"),
            rows: WatchedRows::Keys { id: ident("id"), note: Some(ident("zone")), roster: None },
            settles: false,
        },
    ]
}

pub(crate) fn feed() -> Feed {
    Feed::new(SqlType::Bigint, sources()).expect("a name")
}

/// What a test asserts of an event: source, key, span in microseconds, note.
pub(crate) type Seen = (String, Option<i64>, Option<i64>, Option<i64>, Option<String>);

pub(crate) fn seen(event: &FeedEvent) -> Seen {
    let key = event.key.as_ref().map(|key| key.parse().expect("a name"));
    (event.source.clone(), key, event.first, event.last, event.note.clone())
}

pub(crate) fn touched(source: &str, key: i64, first: i64, last: i64) -> Seen {
    (source.to_owned(), Some(key), Some(first), Some(last), None)
}

pub(crate) fn noted(key: i64, zone: Option<&str>) -> Seen {
    ("learners".to_owned(), Some(key), None, None, zone.map(str::to_owned))
}

pub(crate) fn everything(source: &str) -> Seen {
    (source.to_owned(), None, None, None, None)
}

/// A PostgreSQL database with the tables, a pool for polls and a writer.
pub(crate) struct Platform {
    pub(crate) db: TestDatabase,
    pub(crate) feed: Feed,
    pub(crate) pool: Pool,
    pub(crate) writer: DatabaseClient,
    /// What the test has seen.
    pub(crate) after: u64,
}

impl Platform {
    /// With the feed installed, and what that notes read.
    pub(crate) async fn watched() -> Result<Self> {
        Self::watching(TABLES, feed()).await
    }

    pub(crate) async fn watching(tables: &str, feed: Feed) -> Result<Self> {
        let mut platform = Self::unwatched(tables, feed).await?;
        platform.install().await?;
        platform.after = 1;
        platform.news().await?;
        Ok(platform)
    }

    pub(crate) async fn unwatched(tables: &str, feed: Feed) -> Result<Self> {
        Self::on(PostgresServer::shared().await?, tables, feed).await
    }

    pub(crate) async fn on(server: &PostgresServer, tables: &str, feed: Feed) -> Result<Self> {
        let db = server.database().await?;
        let pool = Pool::new(&db.url().parse()?, PoolConfig::default())?;
        let writer = db.client().await?;
        writer.batch_execute(tables).await?;
        Ok(Self { db, feed, pool, writer, after: 1 })
    }

    pub(crate) async fn install(&self) -> Result<Installed> {
        let mut client = self.db.client().await?;
        let tx = client.transaction().await?;
        let installed = self.feed.install_postgres(&tx).await?;
        tx.commit().await?;
        Ok(installed)
    }

    pub(crate) async fn poller(&self) -> Result<Connection> {
        Ok(self.pool.get().await?)
    }

    pub(crate) async fn poll(&self) -> Result<Polled> {
        Ok(self.feed.poll_postgres(&self.poller().await?, self.after, 100_000).await?)
    }

    /// The events since the last call.
    pub(crate) async fn news(&mut self) -> Result<Vec<Seen>> {
        let polled = self.poll().await?;
        self.after = polled.position;
        Ok(polled.events.iter().map(seen).collect())
    }

    /// Runs statements of the platform and returns what they were noted as.
    pub(crate) async fn noted(&mut self, statements: &str) -> Result<Vec<Seen>> {
        self.writer.batch_execute(statements).await?;
        let mut news = self.news().await?;
        news.sort();
        Ok(news)
    }
}
