//! Which indexes a workload is missing: `cargo run -p tierkeep-db --features advice --example advise -- ADDRESS FILE`.
//!
//! The file has statements, separated by semicolons. Nothing is written. Without arguments a small SQLite file is made, and
//! the first suggested index is made there and compared.

#![expect(clippy::print_stdout, reason = "an example prints")]

use anyhow::Result;
use tierkeep_db::advice::create::{Benefit, CreateOptions, Runs, create, judge, measure};
use tierkeep_db::advice::{AdviceOptions, Workload, advise};
use tierkeep_db::{Database, DatabaseUrl, Error, Pool, PoolConfig, SqliteConfig, SqliteDatabase, SqlitePath};

const SETUP: &str = "
    create table sessions (id integer primary key, learner integer not null, started integer not null, minutes integer);
    with recursive i (i) as (select 1 union all select i + 1 from i where i < 100000)
    insert into sessions select i, (i * 7919) % 5000, i * 600, i % 90 from i;
    create index by_learner on sessions (learner);";
const WORKLOAD: &str = "
    select sum(minutes) from sessions where learner = 77 and started > 30000000;
    select * from sessions where started between 30000000 and 30010000;
    insert into sessions (learner, started, minutes) values (1, 2, 3);
    select * from session where id = 1;";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    run(&arguments).await.map(drop)
}

/// Shows the advice; on the file of its own it returns what the first suggested index brought.
pub(crate) async fn run(arguments: &[String]) -> Result<Option<Benefit>> {
    let directory = tempfile::tempdir()?;
    let (db, text, is_ours) = match arguments {
        [address, file] => (open(address).await?, std::fs::read_to_string(file)?, false),
        _ => {
            let path = SqlitePath::new(directory.path().join("sessions.db"));
            let db = SqliteDatabase::open(&path, SqliteConfig::default()).await?;
            db.write(|tx| Ok::<_, Error>(tx.execute_batch(SETUP)?)).await?;
            (Database::Sqlite(db), WORKLOAD.to_owned(), true)
        }
    };
    let workload = Workload::from_text(db.dialect(), &text)?;

    let advice = advise(&db, &workload, &AdviceOptions::default()).await?;

    println!("{advice}");
    let Some(first) = advice.suggestions.first().filter(|_| is_ours) else { return Ok(None) };
    let statements: Vec<(&str, f64)> = first.gains.iter().map(|gain| (gain.sql.as_str(), gain.calls)).collect();
    let before = measure(&db, &statements, &Runs::default()).await?;
    println!("{:?}", create(&db, &first.index, &CreateOptions::default()).await?);
    let after = measure(&db, &statements, &Runs::default()).await?;
    let benefit = judge(&before, &after);
    println!("{benefit:#?}");
    Ok(Some(benefit))
}

async fn open(address: &str) -> Result<Database> {
    Ok(match address.parse()? {
        DatabaseUrl::Postgres(url) => Database::Postgres(Pool::new(&url, PoolConfig::default())?),
        DatabaseUrl::Sqlite(path) => Database::Sqlite(SqliteDatabase::open(&path, SqliteConfig::default()).await?),
    })
}
