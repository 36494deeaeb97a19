//! Answers that are kept until a table changes, whoever changes it.
//!
//! `cargo run -p tierkeep-db --features cache --example query_cache`

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::sync::Arc;

use rusqlite::Connection;
use rusqlite::types::Value;
use tierkeep_cache::{Cache, LoadError, cached};
use tierkeep_db::feed::{Feed, FeedSource, WatchedRows};
use tierkeep_db::query_cache::{Origin, QuerySettings, SqliteQueries};
use tierkeep_db::{Error, SqlType, SqliteConfig, SqliteDatabase, SqlitePath};

const SPENT: &str = "select customer, sum(price) from orders group by customer order by customer";

/// A function of one's own: the tag of the table is all it takes to be forgotten with it.
#[cached(view = "orders_of", key = "{customer}", ttl = "5m", tags("table:orders"), skip(db))]
async fn orders_of(db: &SqliteDatabase, customer: i64) -> Result<i64, Error> {
    println!("  (asks the database for customer {customer})");
    let count = "select count(*) from orders where customer = ?1";
    db.read(move |connection| Ok(connection.query_row(count, [customer], |row| row.get(0))?)).await
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    run().await.map(drop)
}

/// Asks three times, the last time after a change, and returns where each answer came from.
pub(crate) async fn run() -> Result<[Origin; 3], Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("shop.db");
    let db = SqliteDatabase::open(&SqlitePath::new(&path), SqliteConfig::default()).await?;

    // Which tables are watched. The key's column must never be null, or changes of such rows are not told.
    let rows = WatchedRows::Owned { id: "id".parse()?, key: "customer".parse()?, at: None, shadow: None };
    let source = FeedSource { name: "orders", table: "orders".parse()?, rows, settles: false };
    let feed = Feed::new(SqlType::Bigint, vec![source])?;
    let install = feed.clone();
    db.write(move |tx| {
        tx.execute_batch(
            "create table orders (id integer primary key, customer integer not null, price integer not null);
             insert into orders (customer, price) values (1, 40), (1, 60), (2, 70)",
        )
        .map_err(Error::from)?;
        install.install_sqlite(tx)
    })
    .await?;

    let cache = Cache::builder("shop").memory(16 << 20).build()?;
    let queries = SqliteQueries::new(db.clone(), feed, &cache, &QuerySettings::default()).await?;
    let first = show("first", &queries, &db, &cache).await?;
    let again = show("again", &queries, &db, &cache).await?;

    // Another process: the feed is in the database, so it makes no difference who writes.
    Connection::open(&path)?.execute_batch("update orders set price = 75 where customer = 2")?;
    // A service lets `follow` do this, eight times within the bound.
    queries.catch_up().await?;
    let changed = show("after a change", &queries, &db, &cache).await?;

    for sql in ["select random()", "select name from sqlite_schema", "select date('now')"] {
        if let Err(reason) = queries.explain(sql).await? {
            println!("not kept: {sql}: {reason}");
        }
    }
    db.close().await;
    Ok([first, again, changed])
}

async fn show(
    when: &str,
    queries: &SqliteQueries,
    db: &SqliteDatabase,
    cache: &Cache,
) -> Result<Origin, Box<dyn std::error::Error>> {
    let answer = queries.query(SPENT, &[]).await?;
    let spent: Vec<String> = answer
        .rows
        .iter()
        .filter_map(|row| match row[..] {
            [Value::Integer(customer), Value::Integer(sum)] => Some(format!("customer {customer} {sum}")),
            _ => None,
        })
        .collect();
    println!("{when}: {} (from {:?})", spent.join(", "), answer.origin);
    let orders: Result<Arc<i64>, LoadError<Error>> = orders_of(db, 2).cached(cache).await;
    println!("  customer 2 has {} orders", orders?);
    Ok(answer.origin)
}
