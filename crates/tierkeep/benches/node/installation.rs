//! Databases with learners who studied on the days before today, all of it folded.

use std::time::Duration;

use anyhow::Result;
use tierkeep::config::Config;
use tierkeep_learning::key::KeyType;
use tierkeep_learning::mapping::Mapping;
use tierkeep_learning::store::{OpenMode, OpenOptions, open};
use tierkeep_testkit::{DatabaseClient, PostgresServer, SqliteFile, TestDatabase};

/// Learners of the large ones, with the ids 1 to this, and their sessions: fifty each, on as many days.
pub(crate) const LEARNERS: u64 = 20_000;
pub(crate) const SESSIONS: u64 = 1_000_000;

/// An empty one.
pub(crate) async fn migrated(url: &str) -> Result<()> {
    open(&url.parse()?, &options()).await?.close().await;
    Ok(())
}

pub(crate) async fn on_postgres(server: &PostgresServer) -> Result<TestDatabase> {
    let database = server.database().await?;
    migrated(database.url()).await?;
    let client: DatabaseClient = database.client().await?;
    client.batch_execute("set tierkeep.origin = 'import'").await?;
    let users = format!("insert into users (id) select generate_series(1, {LEARNERS})");
    client.batch_execute(&users).await?;
    // by days, as they were written once
    let sessions = format!(
        "insert into study_sessions (id, user_id, start_time, end_time, duration_minutes, effectiveness_rating,
             focus_score, learning_environment, device_type, subject_category)
         select (d - 1) * {LEARNERS} + u, u, at, at + make_interval(mins => m), m, 1 + (u + d) % 5, 0.5 + (u + d) % 50 / 100.0,
             (array['home', 'library', 'cafe', 'classroom'])[1 + (u + d) % 4], (array['mobile', 'laptop', 'desktop'])[1 + (u + d) % 3],
             (array['math', 'physics', 'english', 'history', 'python'])[1 + (u * 3 + d) % 5]
         from generate_series({}, 1, -1) as d, generate_series(1, {LEARNERS}) as u,
             lateral (select now() - make_interval(days => d, mins => u % 600) as at, 20 + (u + d) % 40 as m) as of
         order by d desc",
        SESSIONS / LEARNERS
    );
    client.batch_execute(&sessions).await?;
    settled(database.url()).await?;
    client.batch_execute("vacuum analyze").await?;
    Ok(database)
}

pub(crate) async fn on_sqlite(file: &SqliteFile, learners: u64, sessions: u64) -> Result<()> {
    migrated(&file.url()).await?;
    let db = rusqlite::Connection::open(file.path())?;
    db.busy_timeout(Duration::from_secs(60))?;
    let numbers = "with recursive n (i) as (select 1 union all select i + 1 from n where i < ";
    db.execute_batch(&format!("{numbers} {learners}) insert into users (id) select i from n"))?;
    db.execute_batch(&format!(
        "{numbers} {sessions})
         insert into study_sessions (id, user_id, start_time, end_time, duration_minutes, effectiveness_rating,
             focus_score, learning_environment, device_type, subject_category)
         select i, u, at, at + m * 60000000, m, 1 + (u + d) % 5, 0.5 + (u + d) % 50 / 100.0,
             case (u + d) % 4 when 0 then 'home' when 1 then 'library' when 2 then 'cafe' else 'classroom' end,
             case (u + d) % 3 when 0 then 'mobile' when 1 then 'laptop' else 'desktop' end,
             case (u * 3 + d) % 5 when 0 then 'math' when 1 then 'physics' when 2 then 'english' when 3 then 'history' else 'python' end
         from (select i, u, d, (unixepoch() - d * 86400 - u % 600 * 60) * 1000000 as at, 20 + (u + d) % 40 as m
               from (select i, 1 + i % {learners} as u, {sessions} / {learners} - (i - 1) / {learners} as d from n))"
    ))?;
    drop(db);
    settled(&file.url()).await
}

async fn settled(url: &str) -> Result<()> {
    let store = open(&url.parse()?, &options()).await?;
    while store.settle().await?.more {}
    store.close().await;
    Ok(())
}

fn options() -> OpenOptions {
    let config = Config::default();
    OpenOptions {
        mode: OpenMode::Create { ids: Some(KeyType::Int) },
        pool: config.database.pool,
        default_zone: config.days.default_zone,
        day_start: config.days.day_start,
        mapping: Mapping::default(),
    }
}
