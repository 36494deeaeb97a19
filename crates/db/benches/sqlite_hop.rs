//! What it costs to send a closure to a SQLite thread and await its answer, against running it in place.
//!
//! `cargo bench -p tierkeep-db --bench sqlite_hop` prints medians in microseconds.

#![expect(clippy::print_stdout, reason = "a measurement is printed")]

use std::time::{Duration, Instant};

use rusqlite::Connection;
use tierkeep_db::{Error, SqliteConfig, SqliteDatabase, SqlitePath, StatementCounts};
use tokio::runtime::{Builder, Runtime};

/// Enough that the median of one run differs by under a tenth from that of the next.
const ROUNDS: i64 = 20_000;
/// Rows of the table; its index has two levels.
const ROWS: i64 = 10_000;
/// Callers at a time in the measurement of throughput.
const CALLERS: i64 = 32;

type AnyError = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), AnyError> {
    let directory = tempfile::tempdir()?;
    let path = SqlitePath::new(directory.path().join("hop.db"));
    let current_thread = Builder::new_current_thread().enable_all().build()?;
    let two_workers = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    for (name, runtime) in [("current thread", current_thread), ("two workers", two_workers)] {
        measure(name, &runtime, path.clone())?;
    }
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(counting(&path))
}

/// What it costs to count statements: the same look-ups with and without, taking turns.
async fn counting(path: &SqlitePath) -> Result<(), AnyError> {
    const TURNS: usize = 300;
    const LOOKUPS: i64 = 500;
    let open = async |statements| {
        SqliteDatabase::open(path, SqliteConfig { statements, readers: 1, ..SqliteConfig::default() }).await
    };
    let (plain, counted) = (open(StatementCounts::Off).await?, open(StatementCounts::On).await?);
    let turn = async |db: &SqliteDatabase| {
        db.read(|connection| {
            let start = Instant::now();
            for round in 0..LOOKUPS {
                lookup(connection, round)?;
            }
            Ok::<_, Error>(start.elapsed() / LOOKUPS as u32)
        })
        .await
    };
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        without.push(turn(&plain).await?);
        with.push(turn(&counted).await?);
    }
    println!("a statement                     {:6.2} us", median(without));
    println!("a statement that is counted     {:6.2} us", median(with));
    let start = Instant::now();
    let texts = counted.note_statements().await?;
    println!("{texts} texts are stored in       {:6.1} us", start.elapsed().as_secs_f64() * 1e6);
    Ok(())
}

fn measure(name: &str, runtime: &Runtime, path: SqlitePath) -> Result<(), AnyError> {
    let db = runtime.block_on(SqliteDatabase::open(&path, SqliteConfig::default()))?;
    runtime.block_on(fill(&db))?;

    let inline = Connection::open(path.path())?;
    let in_place = (0..ROUNDS).map(|round| timed(|| lookup(&inline, round))).collect::<Result<Vec<_>, _>>()?;
    println!("{name:15} query in place      {:6.1} us", median(in_place));

    // On a worker, as a handler would: the thread of `block_on` is not one.
    let (hop, query, write, per_second) = runtime.block_on(runtime.spawn(async move {
        let (mut hop, mut query, mut write) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            let start = Instant::now();
            db.read(|_| Ok::<_, Error>(())).await?;
            hop.push(start.elapsed());
            let start = Instant::now();
            db.read(move |connection| lookup(connection, round)).await?;
            query.push(start.elapsed());
        }
        for round in 0..ROUNDS / 10 {
            let start = Instant::now();
            db.write(move |tx| {
                Ok::<_, Error>(tx.prepare_cached("update t set text = 'x' where id = ?1")?.execute([round % ROWS + 1])?)
            })
            .await?;
            write.push(start.elapsed());
        }
        let per_second = throughput(&db).await?;
        db.close().await;
        Ok::<_, Error>((median(hop), median(query), median(write), per_second))
    }))??;
    println!("{name:15} hop alone           {hop:6.1} us");
    println!("{name:15} query with hop      {query:6.1} us");
    println!("{name:15} write with hop      {write:6.1} us");
    println!("{name:15} {CALLERS} callers          {per_second:6.0} queries/s");
    Ok(())
}

async fn fill(db: &SqliteDatabase) -> Result<(), Error> {
    db.write(|tx| {
        tx.execute_batch("drop table if exists t; create table t (id integer primary key, text text not null) strict")?;
        let mut insert = tx.prepare("insert into t (text) values (?1)")?;
        for row in 0..ROWS {
            insert.execute([format!("row {row}")])?;
        }
        Ok(())
    })
    .await
}

async fn throughput(db: &SqliteDatabase) -> Result<f64, Error> {
    let start = Instant::now();
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let db = db.clone();
            tokio::spawn(async move {
                for round in 0..ROUNDS / CALLERS {
                    db.read(move |connection| lookup(connection, round + caller)).await?;
                }
                Ok::<_, Error>(())
            })
        })
        .collect();
    for caller in callers {
        caller.await.expect("a caller does not panic")?;
    }
    Ok(ROUNDS as f64 / start.elapsed().as_secs_f64())
}

fn lookup(connection: &Connection, round: i64) -> Result<String, Error> {
    let mut statement = connection.prepare_cached("select text from t where id = ?1")?;
    Ok(statement.query_row([round % ROWS + 1], |row| row.get(0))?)
}

fn timed<T, E>(work: impl FnOnce() -> Result<T, E>) -> Result<Duration, E> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed())
}

/// In microseconds.
fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e6
}
