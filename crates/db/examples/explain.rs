//! Where the time of a query goes: `cargo run -p tierkeep-db --features advice --example explain -- ADDRESS SQL`.
//!
//! The statement is planned, not run. Without arguments a small SQLite file is made and asked.

#![expect(clippy::print_stdout, reason = "an example prints")]

use anyhow::Result;
use tierkeep_db::plan::{Finding, Options, explain};
use tierkeep_db::{Database, DatabaseUrl, Error, Pool, PoolConfig, SqliteConfig, SqliteDatabase, SqlitePath};

const SETUP: &str = "
    create table orders (id integer primary key, customer integer not null, placed text not null);
    with recursive i (i) as (select 1 union all select i + 1 from i where i < 50000)
    insert into orders select i, i % 3000, date('2024-01-01', (i / 100) || ' days') from i;
    analyze;";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    run(&arguments).await.map(drop)
}

/// Shows the plan and what the rules find in it, which it returns.
pub(crate) async fn run(arguments: &[String]) -> Result<Vec<Finding>> {
    let directory = tempfile::tempdir()?;
    let (db, sql) = match arguments {
        [address, sql] => (open(address).await?, sql.clone()),
        _ => {
            let path = SqlitePath::new(directory.path().join("orders.db"));
            let db = SqliteDatabase::open(&path, SqliteConfig::default()).await?;
            db.write(|tx| Ok::<_, Error>(tx.execute_batch(SETUP)?)).await?;
            (Database::Sqlite(db), "select * from orders where customer = 7 order by placed desc limit 10".to_owned())
        }
    };

    let plan = explain(&db, &sql, &Options::default()).await?;

    println!("{plan}");
    let findings = plan.findings();
    for finding in &findings {
        println!("{finding}\n");
    }
    Ok(findings)
}

async fn open(address: &str) -> Result<Database> {
    Ok(match address.parse()? {
        DatabaseUrl::Postgres(url) => Database::Postgres(Pool::new(&url, PoolConfig::default())?),
        DatabaseUrl::Sqlite(path) => Database::Sqlite(SqliteDatabase::open(&path, SqliteConfig::default()).await?),
    })
}
