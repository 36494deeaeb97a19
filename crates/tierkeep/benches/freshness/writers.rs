//! What the triggers cost whoever writes sessions, with the durable default settings of the databases.

use std::time::{Duration, Instant};

use anyhow::Result;
use tierkeep_testkit::{Durability, PostgresServer, SqliteFile, TestDatabase};

use crate::installation::{INSERT, migrated};
use crate::measure::median;

const CLIENTS: u32 = 16;
const ROUND: Duration = Duration::from_secs(3);
const ROUNDS: usize = 5;
const LEARNERS: i64 = 5000;

const BULK: &str = "insert into study_sessions (id, user_id, start_time, end_time, duration_minutes)
    select i, i % 5000, to_timestamp(i), to_timestamp(i + 1800), 30 from generate_series(1, 200000) as i";
const SQLITE_BULK: &str = "with recursive n (i) as (select 1 union all select i + 1 from n where i < 200000)
    insert into study_sessions (id, user_id, start_time, end_time, duration_minutes)
    select i, i % 5000, i * 1000000, (i + 1800) * 1000000, 30 from n";
const SQLITE_INSERT: &str = "insert into study_sessions (id, user_id, start_time, end_time, duration_minutes)
    values (?1, ?2, ?1 * 1000000, (?1 + 1800) * 1000000, 30)";
const SQLITE_TRIGGERS: &str =
    "drop trigger tierkeep_study_sessions_insert; drop trigger tierkeep_study_sessions_update;
    drop trigger tierkeep_study_sessions_delete";

pub(crate) async fn report() -> Result<()> {
    println!("\nwriters: sessions written with the feed beside sessions written without, medians of {ROUNDS} rounds");
    for durability in [Durability::Full, Durability::Off] {
        let server = PostgresServer::builder().durability(durability).launch().await?;
        let name = if durability == Durability::Full { "PostgreSQL" } else { "PostgreSQL without fsync" };
        let (plain, watched) = (server.database().await?, server.database().await?);
        migrated(plain.url()).await?;
        migrated(watched.url()).await?;
        plain.client().await?.batch_execute("alter table study_sessions disable trigger all").await?;
        let mut turns = Turns::default();
        for _ in 0..ROUNDS {
            turns.add(throughput(&plain).await?, throughput(&watched).await?);
        }
        turns.print(&format!("{name}: {CLIENTS} clients, rows/s"));
        let file = server.directory().join("data/sessions.copy").display().to_string();
        fill(&plain, BULK).await?;
        plain.client().await?.batch_execute(&format!("copy study_sessions to '{file}'")).await?;
        for (what, statement) in
            [("one statement", BULK.to_owned()), ("COPY", format!("copy study_sessions from '{file}'"))]
        {
            let mut turns = Turns::default();
            for _ in 0..ROUNDS {
                turns.add(fill(&plain, &statement).await?, fill(&watched, &statement).await?);
            }
            turns.print(&format!("{name}: 200,000 rows by {what}, s"));
        }
    }
    on_sqlite().await
}

/// Rows a second of all clients together.
async fn throughput(database: &TestDatabase) -> Result<f64> {
    let first: i64 = {
        let client = database.client().await?;
        client.query_one("select coalesce(max(id), 0) + 1 from study_sessions", &[]).await?.try_get(0)?
    };
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(database.client().await?);
    }
    let begin = Instant::now();
    let writers: Vec<_> = clients
        .into_iter()
        .zip(first..)
        .map(|(client, first)| {
            tokio::spawn(async move {
                let insert = client.prepare(INSERT).await?;
                let mut count = 0_u32;
                while begin.elapsed() < ROUND {
                    let id = first + i64::from(count * CLIENTS);
                    client.execute(&insert, &[&id, &(id % LEARNERS)]).await?;
                    count += 1;
                }
                Ok::<_, anyhow::Error>(count)
            })
        })
        .collect();
    let mut count = 0;
    for writer in writers {
        count += writer.await??;
    }
    Ok(f64::from(count) / begin.elapsed().as_secs_f64())
}

/// Seconds that a statement takes on the empty table.
async fn fill(database: &TestDatabase, statement: &str) -> Result<f64> {
    let client = database.client().await?;
    client.batch_execute("truncate study_sessions").await?;
    client.batch_execute("checkpoint").await?;
    let begin = Instant::now();
    client.batch_execute(statement).await?;
    Ok(begin.elapsed().as_secs_f64())
}

async fn on_sqlite() -> Result<()> {
    let (plain, watched) = (SqliteFile::new()?, SqliteFile::new()?);
    migrated(&plain.url()).await?;
    migrated(&watched.url()).await?;
    rusqlite::Connection::open(plain.path())?.execute_batch(SQLITE_TRIGGERS)?;
    let mut turns = Turns::default();
    for _ in 0..ROUNDS {
        turns.add(sqlite_throughput(&plain)?, sqlite_throughput(&watched)?);
    }
    turns.print("SQLite: one client, rows/s");
    let mut turns = Turns::default();
    for _ in 0..ROUNDS {
        turns.add(sqlite_bulk(&plain)?, sqlite_bulk(&watched)?);
    }
    turns.print("SQLite: 200,000 rows by one statement, s");
    Ok(())
}

fn sqlite_throughput(file: &SqliteFile) -> Result<f64> {
    let db = rusqlite::Connection::open(file.path())?;
    let first: i64 = db.query_one("select coalesce(max(id), 0) + 1 from study_sessions", [], |row| row.get(0))?;
    let mut insert = db.prepare(SQLITE_INSERT)?;
    let begin = Instant::now();
    let mut count = 0;
    while begin.elapsed() < ROUND {
        let id = first + i64::from(count);
        insert.execute((id, id % LEARNERS))?;
        count += 1;
    }
    Ok(f64::from(count) / begin.elapsed().as_secs_f64())
}

fn sqlite_bulk(file: &SqliteFile) -> Result<f64> {
    let db = rusqlite::Connection::open(file.path())?;
    db.execute_batch("delete from study_sessions; pragma wal_checkpoint(truncate)")?;
    let begin = Instant::now();
    db.execute_batch(SQLITE_BULK)?;
    Ok(begin.elapsed().as_secs_f64())
}

/// Rounds without and with the feed.
#[derive(Default)]
struct Turns {
    without: Vec<f64>,
    with: Vec<f64>,
}

impl Turns {
    fn add(&mut self, without: f64, with: f64) {
        self.without.push(without);
        self.with.push(with);
    }

    fn print(self, what: &str) {
        let ratio = median(self.with.iter().zip(&self.without).map(|(with, without)| with / without).collect());
        let (without, with) = (median(self.without), median(self.with));
        println!("  {what:<52} without {without:>8.2}, with {with:>8.2}: {ratio:.2}");
    }
}
