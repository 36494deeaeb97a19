//! A shop's tables, the feed that watches them, and their queries.

use std::time::Duration;

use tierkeep_cache::Cache;
use tierkeep_db::feed::{Feed, FeedSource, Roster, WatchedRows};
use tierkeep_db::query_cache::{Answer, Bypass, Origin, Parameter, PostgresQueries, QuerySettings, Uncachable};
use tierkeep_db::{Ident, Pool, PoolConfig, PostgresUrl, SqlType};
use tierkeep_testkit::{DatabaseClient, PostgresServer, TestDatabase};
use tokio_postgres::Row;

const TABLES: &str = "
    create table customers (id bigint primary key, name text);
    create table orders (id bigint primary key, customer bigint not null references customers on delete cascade, price int);
    create table notes (id bigint primary key, customer bigint, body text);
    create table zones (id bigint primary key, zone text);
    create table visits (id bigint not null, customer bigint not null) partition by range (id);
    create table visits_low partition of visits for values from (0) to (100);
    create table visits_high partition of visits for values from (100) to (1000);
    create table plain (id bigint primary key);
    create view dear as select o.id, c.name from orders as o join customers as c on c.id = o.customer where o.price > 50;
    create view dear_names as select distinct name from dear;";

const ROWS: &str = "
    insert into customers values (1, 'Ada'), (2, 'Bo'), (3, null);
    insert into orders values (10, 1, 40), (11, 1, 60), (20, 2, 70);
    insert into visits values (5, 1), (500, 2);";

pub(crate) fn owned(name: &'static str, key: &str) -> FeedSource {
    let ident = |name: &str| -> Ident { name.parse().unwrap() };
    let rows = WatchedRows::Owned { id: ident("id"), key: ident(key), at: None, shadow: None };
    FeedSource { name, table: name.parse().unwrap(), rows, settles: false }
}

fn feed() -> Feed {
    let roster = Roster { table: "zones".parse().unwrap(), key: "id".parse().unwrap() };
    let keys =
        WatchedRows::Keys { id: "id".parse().unwrap(), note: Some("zone".parse().unwrap()), roster: Some(roster) };
    let zones = FeedSource { name: "zones", table: "zones".parse().unwrap(), rows: keys, settles: false };
    let sources = vec![
        owned("customers", "id"),
        owned("orders", "customer"),
        owned("notes", "customer"),
        owned("visits", "customer"),
        zones,
    ];
    Feed::new(SqlType::Bigint, sources).unwrap()
}

/// A PostgreSQL database with the tables, their queries, and a connection that knows of neither.
pub(crate) struct Shop {
    pub(crate) queries: PostgresQueries,
    pub(crate) pool: Pool,
    pub(crate) cache: Cache,
    pub(crate) writer: DatabaseClient,
    pub(crate) db: TestDatabase,
}

/// The bound is long: these tests say themselves when the feed is asked.
pub(crate) fn settings() -> QuerySettings {
    QuerySettings { bound: Duration::from_secs(3600), ..QuerySettings::default() }
}

impl Shop {
    pub(crate) async fn open() -> Self {
        Self::with(settings()).await
    }

    pub(crate) async fn with(settings: QuerySettings) -> Self {
        Self::pooled(settings, PoolConfig::default()).await
    }

    /// Whoever changes the session of a connection changes that of the next query.
    pub(crate) async fn with_one_connection() -> Self {
        Self::pooled(settings(), PoolConfig { size: 1, overflow: 0, ..PoolConfig::default() }).await
    }

    async fn pooled(settings: QuerySettings, config: PoolConfig) -> Self {
        let db = PostgresServer::shared().await.unwrap().database().await.unwrap();
        let pool = Pool::new(&db.url().parse::<PostgresUrl>().unwrap(), config).unwrap();
        let writer = db.client().await.unwrap();
        writer.batch_execute(TABLES).await.unwrap();
        let feed = feed();
        let mut connection = pool.get().await.unwrap();
        let tx = connection.transaction().await.unwrap();
        feed.install_postgres(&tx).await.unwrap();
        tx.commit().await.unwrap();
        drop(connection);
        writer.batch_execute(ROWS).await.unwrap();
        let cache = Cache::builder("shop").build().unwrap();
        let queries = PostgresQueries::new(pool.clone(), feed, &cache, &settings).await.unwrap();
        Self { queries, pool, cache, writer, db }
    }

    pub(crate) async fn ask(&self, sql: &str, parameters: &[&dyn Parameter]) -> Answer<Row> {
        self.queries.query(sql, parameters).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"))
    }

    pub(crate) async fn origin(&self, sql: &str) -> Origin {
        self.ask(sql, &[]).await.origin
    }

    /// Asks twice, so that the answer is kept.
    pub(crate) async fn keep(&self, sql: &str) {
        self.ask(sql, &[]).await;
        assert_eq!(self.origin(sql).await, Origin::Cache, "{sql}");
    }

    pub(crate) async fn refusal(&self, sql: &str) -> Uncachable {
        match self.origin(sql).await {
            Origin::Bypassed(Bypass::Uncachable(reason)) => (*reason).clone(),
            other => panic!("{sql}: {other:?}"),
        }
    }
}

/// The rows of a query as text, in their order.
pub(crate) fn shown(rows: &[Row]) -> Vec<String> {
    let cell = |row: &Row, column: usize| -> String {
        row.try_get::<_, Option<String>>(column).unwrap().unwrap_or_else(|| "null".to_owned())
    };
    rows.iter().map(|row| (0..row.len()).map(|c| cell(row, c)).collect::<Vec<_>>().join(", ")).collect()
}
