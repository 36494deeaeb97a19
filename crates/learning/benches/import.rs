//! Import beside a bare COPY (PostgreSQL) and a bare prepared insert in one transaction (SQLite) of the same file into
//! the same tables with their indexes, but without our triggers. Building summaries is timed apart.
//!
//! `cargo bench -p tierkeep-learning --bench import -- --sessions 1000000 --rounds 3`

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use bytes::Bytes;
use futures_util::SinkExt;
use tierkeep_db::{DatabaseUrl, PoolConfig};
use tierkeep_learning::calendar::{DayStart, Zone};
use tierkeep_learning::import::{Rejects, Table, import_csv};
use tierkeep_learning::key::KeyType;
use tierkeep_learning::mapping::Mapping;
use tierkeep_learning::store::{OpenMode, OpenOptions, Store, open};
use tierkeep_testkit::{PostgresServer, SqliteFile};

#[path = "bench/csv_file.rs"]
mod csv_file;
#[path = "bench/memory.rs"]
mod memory;
#[path = "bench/report.rs"]
mod report;
#[path = "bench/rows.rs"]
mod rows;

use report::{Contest, argument};

const LEARNERS: u64 = 20_000;

#[tokio::main]
#[expect(clippy::print_stdout, reason = "a benchmark is read by the person who runs it")]
async fn main() -> Result<()> {
    let sessions = argument("--sessions", 200_000);
    let rounds = argument("--rounds", 3);
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("study_sessions.csv");
    csv_file::write_csv(&file, LEARNERS, sessions)?;
    let mut contest = Contest::default();
    for _ in 0..rounds {
        sqlite(&file, &mut contest, sessions).await?;
        postgres(&file, &mut contest).await?;
    }
    contest.print(&format!("import of {sessions} sessions of {LEARNERS} learners"), sessions as f64, "row");
    contest.ratio("SQLite: tierkeep import", "SQLite: bare prepared insert", "speed 0.60 or more");
    contest.ratio("PostgreSQL: tierkeep import", "PostgreSQL: bare COPY", "speed 0.60 or more");
    println!("  peak resident memory of this process, contestants included: {} MiB", memory::peak_mib());
    Ok(())
}

fn options() -> Result<OpenOptions> {
    Ok(OpenOptions {
        mode: OpenMode::Create { ids: Some(KeyType::Int) },
        pool: PoolConfig::default(),
        default_zone: Zone::new("UTC")?,
        day_start: DayStart::default(),
        mapping: Mapping::default(),
    })
}

async fn ours(name: &str, url: &str, file: &Path, contest: &mut Contest) -> Result<()> {
    let url: DatabaseUrl = url.parse()?;
    let store = open(&url, &options()?).await?;
    store.write_users(rows::users(LEARNERS)).await?;
    settle(&*store).await?;
    let begun = Instant::now();
    let mut rejects = Rejects::new();
    let imported =
        import_csv(&*store, Table::StudySessions, "study_sessions.csv", File::open(file)?, &mut |_| {}, &mut rejects)
            .await?;
    contest.add(&format!("{name}: tierkeep import"), begun.elapsed());
    assert_eq!(imported.rejected, 0, "every generated row can be stored");
    let begun = Instant::now();
    settle(&*store).await?;
    contest.add(&format!("{name}: building the summaries"), begun.elapsed());
    store.close().await;
    Ok(())
}

async fn settle(store: &dyn Store) -> Result<()> {
    while store.settle().await?.more {}
    Ok(())
}

async fn postgres(file: &Path, contest: &mut Contest) -> Result<()> {
    let server = PostgresServer::shared().await?;
    let bare = server.database().await?;
    let client = bare.client().await?;
    client
        .batch_execute(&include_str!("../src/store/migrations/postgres/V1__tables.sql").replace("{key}", "bigint"))
        .await?;
    let begun = Instant::now();
    let statement = format!(
        "copy study_sessions ({}) from stdin (format csv, header, force_not_null (learning_environment, device_type, subject_category, content_covered, notes))",
        csv_file::COLUMNS.join(", ")
    );
    let sink = client.copy_in::<_, Bytes>(&statement).await?;
    let mut sink = std::pin::pin!(sink);
    let mut input = File::open(file)?;
    let mut piece = vec![0; 256 * 1024];
    loop {
        let read = input.read(&mut piece)?;
        if read == 0 {
            break;
        }
        sink.send(Bytes::copy_from_slice(&piece[..read])).await?;
    }
    sink.finish().await?;
    contest.add("PostgreSQL: bare COPY", begun.elapsed());

    let own = server.database().await?;
    ours("PostgreSQL", own.url(), file, contest).await
}

async fn sqlite(file: &Path, contest: &mut Contest, sessions: u64) -> Result<()> {
    let bare = SqliteFile::new()?;
    let mut db = rusqlite::Connection::open(bare.path())?;
    db.execute_batch("pragma journal_mode = wal; pragma synchronous = normal; pragma cache_size = -65536")?;
    db.execute_batch(&include_str!("../src/store/migrations/sqlite/V1__tables.sql").replace("{key}", "integer"))?;
    let begun = Instant::now();
    let tx = db.transaction()?;
    let marks: Vec<String> = (1..=csv_file::COLUMNS.len()).map(|at| format!("?{at}")).collect();
    let columns = csv_file::COLUMNS.join(", ");
    let mut insert =
        tx.prepare(&["insert into study_sessions (", &columns, ") values (", &marks.join(", "), ")"].concat())?;
    let mut reader = csv::Reader::from_path(file)?;
    let mut record = csv::StringRecord::new();
    let mut inserted = 0;
    while reader.read_record(&mut record)? {
        insert_bare(&mut insert, &record)?;
        inserted += 1;
    }
    drop(insert);
    tx.commit()?;
    contest.add("SQLite: bare prepared insert", begun.elapsed());
    assert_eq!(inserted, sessions, "the file has every row");

    let own = SqliteFile::new()?;
    ours("SQLite", &own.url(), file, contest).await
}

/// Binds a record of the file with the types of the table, as the least program would.
fn insert_bare(insert: &mut rusqlite::Statement<'_>, record: &csv::StringRecord) -> Result<()> {
    for (at, field) in record.iter().enumerate() {
        let place = at + 1;
        match csv_file::COLUMNS[at] {
            "start_time" | "end_time" | "created_at" | "updated_at" => {
                let micros =
                    if field.is_empty() { None } else { Some(field.parse::<jiff::Timestamp>()?.as_microsecond()) };
                insert.raw_bind_parameter(place, micros)?;
            }
            "learning_environment" | "device_type" | "subject_category" | "content_covered" | "notes" => {
                insert.raw_bind_parameter(place, field)?;
            }
            "is_active" => insert.raw_bind_parameter(place, field == "t")?,
            "focus_score" => insert.raw_bind_parameter(place, field.parse::<f64>().ok())?,
            _ => insert.raw_bind_parameter(place, field.parse::<i64>().ok())?,
        }
    }
    insert.raw_execute()?;
    Ok(())
}
