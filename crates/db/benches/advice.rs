//! How long advice takes for 200 statements on 50 tables: with hypothetical indexes, from statistics, and on SQLite.
//!
//! `cargo bench -p tierkeep-db --features advice --bench advice`

#![expect(clippy::print_stdout, reason = "a measurement is printed")]

use std::fmt::Write;
use std::time::Instant;

use anyhow::Result;
use tierkeep_db::advice::{AdviceOptions, Workload, advise};
use tierkeep_db::{Database, Dialect, Error, Pool, PoolConfig, SqliteConfig, SqliteDatabase, SqlitePath};
use tierkeep_testkit::{PostgresServer, SqliteFile};

const TABLES: usize = 50;
/// Four of each table: by one column, by two and a range, ordered, and joined with the next table. `T` is the table, `N`
/// the next one.
const STATEMENTS: [&str; 4] = [
    "select * from T where owner = 17",
    "select id, amount from T where owner = 17 and state = 'open' and at > 500",
    "select id from T where state = 'open' order by at desc limit 20",
    "select a.id, b.amount from T as a join N as b on b.owner = a.id where a.at between 100 and 120",
];
const POSTGRES: &str = "create table T (id int primary key, owner int not null, state text not null, at int not null,
        amount int not null, note text not null);
    insert into T select i, (i * 7919) % 1500, case when i % 20 = 0 then 'open' else 'done' end, (i * 31) % 5000, i % 97,
        repeat('x', 60) from generate_series(1, 5000) as i;";
const SQLITE: &str = "create table T (id integer primary key, owner integer not null, state text not null, at integer not null,
        amount integer not null, note text not null);
    with recursive i (i) as (select 1 union all select i + 1 from i where i < 5000)
    insert into T select i, (i * 7919) % 1500, case when i % 20 = 0 then 'open' else 'done' end, (i * 31) % 5000, i % 97, 'x'
        from i;";

fn table(number: usize) -> String {
    ["t", &(number % TABLES).to_string()].concat()
}

fn setup(one: &str) -> String {
    let mut sql = String::new();
    for number in 0..TABLES {
        let _ = writeln!(
            sql,
            "{}",
            one.replace("T (", &[&table(number), " ("].concat())
                .replace("into T ", &["into ", &table(number), " "].concat())
        );
    }
    sql.push_str("analyze;");
    sql
}

fn workload(dialect: Dialect) -> Workload {
    let mut workload = Workload::new(dialect);
    for number in 0..TABLES {
        for statement in STATEMENTS {
            let sql = statement.replace("from T", &["from ", &table(number)].concat());
            workload.add(&sql.replace("join N", &["join ", &table(number + 1)].concat()), 100.0, None);
        }
    }
    workload
}

async fn time(name: &str, db: &Database) -> Result<()> {
    let workload = workload(db.dialect());
    let options = AdviceOptions { max_indexes: 500, ..AdviceOptions::default() };
    let began = Instant::now();
    let advice = advise(db, &workload, &options).await?;
    println!(
        "{name}: {} statements, {} candidates, {} suggested, cost {:.0} → {:.0}, {:.2} s",
        workload.statements().len(),
        advice.candidates,
        advice.suggestions.len(),
        advice.before,
        advice.after,
        began.elapsed().as_secs_f64()
    );
    Ok(())
}

#[tokio::main]
async fn main() -> Result<()> {
    let server = PostgresServer::launch().await?;
    let database = server.database().await?;
    let client = database.client().await?;
    client.batch_execute(&setup(POSTGRES)).await?;
    let db = Database::Postgres(Pool::new(&database.url().parse()?, PoolConfig::default())?);
    time("postgres, statistics", &db).await?;
    client.batch_execute("create extension hypopg").await?;
    time("postgres, hypothetical", &db).await?;

    let file = SqliteFile::new()?;
    let inner = SqliteDatabase::open(&SqlitePath::new(file.path()), SqliteConfig::default()).await?;
    let sql = setup(SQLITE);
    inner.write(move |tx| Ok::<_, Error>(tx.execute_batch(&sql)?)).await?;
    time("sqlite, copy", &Database::Sqlite(inner)).await
}
