//! What a database knows of its statements, tables and indexes, and what should be done.
//!
//! `cargo run -p tierkeep-db --example statistics [postgres://… | file.db]`; without an address, a small file of its own.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use rusqlite::Connection;
use tierkeep_db::statistics::{
    IndexFinding, IndexReading, SlowQueries, indexes_postgres, indexes_sqlite, judge, query_snapshot_postgres,
    tables_postgres, tables_sqlite,
};
use tierkeep_db::{Access, DatabaseUrl, Pool, PoolConfig, SqliteConfig, SqliteDatabase};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    run(std::env::args().nth(1)).await.map(drop)
}

/// Shows what is known, and returns what is wrong with indexes.
pub(crate) async fn run(address: Option<String>) -> Result<Vec<IndexFinding>, Box<dyn std::error::Error>> {
    let Some(address) = address else {
        let db = Connection::open_in_memory()?;
        db.execute_batch(
            "create table customers (id integer primary key, name text);
             create table orders (id integer primary key, customer references customers, price);
             create index by_price on orders (price);
             create index by_price_and_customer on orders (price, customer);
             insert into customers values (1, 'Ada');
             with recursive n (n) as (select 1 union all select n + 1 from n where n < 5000)
             insert into orders select n, 1, n * 7 from n;
             analyze",
        )?;
        return show_sqlite(&db);
    };
    let findings = match address.parse()? {
        DatabaseUrl::Sqlite(path) => {
            let config = SqliteConfig { access: Access::ReadOnly, ..SqliteConfig::default() };
            let db = SqliteDatabase::open(&path, config).await?;
            let (tables, indexes) =
                db.read(|db| Ok::<_, tierkeep_db::Error>((tables_sqlite(db)?, indexes_sqlite(db)?))).await?;
            tables.iter().for_each(|table| println!("{table}"));
            db.close().await;
            show_indexes(&indexes)
        }
        DatabaseUrl::Postgres(url) => {
            let pool = Pool::new(&url, PoolConfig::default())?;
            let client = pool.get().await?;
            let queries = query_snapshot_postgres(&client).await?;
            match queries.found() {
                Some(snapshot) => {
                    let period = snapshot.whole();
                    println!("statements: {}", period.completeness);
                    let wanted = SlowQueries { threshold_ms: 1.0, limit: 5, ..SlowQueries::default() };
                    period.slowest(wanted).iter().for_each(|query| println!("  {query}"));
                }
                None => println!("statements: {}", queries.reason().unwrap_or_default()),
            }
            let tables = tables_postgres(&client).await?;
            match tables.found() {
                Some(tables) => tables.iter().for_each(|table| println!("{table}")),
                None => println!("tables: {}", tables.reason().unwrap_or_default()),
            }
            let indexes = indexes_postgres(&client).await?;
            drop(client);
            pool.close().await;
            show_indexes(&indexes)
        }
    };
    Ok(findings)
}

fn show_sqlite(db: &Connection) -> Result<Vec<IndexFinding>, Box<dyn std::error::Error>> {
    tables_sqlite(db)?.iter().for_each(|table| println!("{table}"));
    Ok(show_indexes(&indexes_sqlite(db)?))
}

fn show_indexes(reading: &IndexReading) -> Vec<IndexFinding> {
    println!("{} indexes; scans: {}", reading.indexes.len(), reading.window);
    let findings = judge(reading);
    findings.iter().for_each(|finding| println!("  {finding}"));
    findings
}
