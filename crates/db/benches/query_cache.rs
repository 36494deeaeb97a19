//! What a query costs that is answered from memory, against a hit of the bare cache.
//!
//! `cargo bench -p tierkeep-db --features cache --bench query_cache`

#![expect(clippy::print_stdout, reason = "a measurement is printed")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tierkeep_cache::{Cache, View};
use tierkeep_db::feed::{Feed, FeedSource, WatchedRows};
use tierkeep_db::query_cache::{Origin, PostgresQueries, QuerySettings};
use tierkeep_db::{Pool, PoolConfig, PostgresUrl, SqlType};
use tierkeep_testkit::PostgresServer;

const SQL: &str = "select id, price from orders where customer = $1 order by id";
/// Short rounds, so that what else the machine does falls on both sides alike.
const HITS: u32 = 10_000;
const ROUNDS: usize = 301;
const QUERIES: u32 = 20;

fn main() -> Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(measure())
}

async fn measure() -> Result<()> {
    let server = PostgresServer::launch().await?;
    let database = server.database().await?;
    let writer = database.client().await?;
    writer
        .batch_execute(
            "create table orders (id bigint primary key, customer bigint not null, price int);
             insert into orders select n, n % 100, n from generate_series(1, 1000) as n",
        )
        .await?;
    let rows = WatchedRows::Owned { id: "id".parse()?, key: "customer".parse()?, at: None, shadow: None };
    let source = FeedSource { name: "orders", table: "orders".parse()?, rows, settles: false };
    let feed = Feed::new(SqlType::Bigint, vec![source])?;
    let pool = Pool::new(&database.url().parse::<PostgresUrl>()?, PoolConfig::default())?;
    let mut connection = pool.get().await?;
    let tx = connection.transaction().await?;
    feed.install_postgres(&tx).await?;
    tx.commit().await?;
    drop(connection);

    let cache = Cache::builder("bench").build()?;
    let settings = QuerySettings { bound: Duration::from_secs(3600), ..QuerySettings::default() };
    let queries = PostgresQueries::new(pool.clone(), feed, &cache, &settings).await?;
    // What somebody would write by hand: the name of the query and its parameter.
    let bare: View<(String, i64), Vec<i64>> =
        cache.view("bare").build_weighed(|rows: &Vec<i64>| rows.capacity() * size_of::<i64>())?;
    let key = |customer: i64| ("orders_of_customer".to_owned(), customer);
    queries.query(SQL, &[&7_i64]).await?;
    let prepared = queries.prepare(SQL);
    bare.get_or_load(&key(7), async |_| Ok::<_, std::io::Error>(vec![7; 10])).await?;
    ensure!(queries.query(SQL, &[&7_i64]).await?.origin == Origin::Cache, "the answer is kept");

    let (mut kept, mut plain, mut run, mut again) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for _ in 0..HITS {
            black_box(queries.query(black_box(SQL), &[black_box(&7_i64)]).await?);
        }
        kept.push(start.elapsed() / HITS);

        let start = Instant::now();
        for _ in 0..HITS {
            black_box(prepared.query(&[black_box(&7_i64)]).await?);
        }
        again.push(start.elapsed() / HITS);

        let start = Instant::now();
        for _ in 0..HITS {
            let load = async |_| Ok::<_, std::io::Error>(Vec::new());
            black_box(bare.get_or_load_here(&key(black_box(7)), load).await?);
        }
        plain.push(start.elapsed() / HITS);

        let start = Instant::now();
        for _ in 0..QUERIES {
            let connection = pool.get().await?;
            let statement = connection.prepared(SQL).await?;
            black_box(connection.query(&statement, &[&7_i64]).await?);
        }
        run.push(start.elapsed() / QUERIES);
    }
    let ratio = |of: &[Duration]| {
        median(of.iter().zip(&plain).map(|(of, plain)| of.as_secs_f64() / plain.as_secs_f64()).collect())
    };
    let (by_text, by_prepared) = (ratio(&kept), ratio(&again));
    let (kept, plain, run, again) = (median(kept), median(plain), median(run), median(again));
    println!("hit of the query cache  {kept:>10.0?}");
    println!("hit of a prepared text  {again:>10.0?}");
    println!("hit of the bare cache   {plain:>10.0?}");
    println!("the query itself        {run:>10.0?}");
    println!("query cache / bare cache {by_text:.2}, prepared {by_prepared:.2} (medians of {ROUNDS} rounds)");
    Ok(())
}

fn median<T: PartialOrd + Copy>(mut values: Vec<T>) -> T {
    values.sort_unstable_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    values[values.len() / 2]
}
