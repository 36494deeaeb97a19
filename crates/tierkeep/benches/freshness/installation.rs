//! A database with learners who have studied on earlier days, all of it folded.

use std::time::Duration;

use anyhow::Result;
use tierkeep::config::Config;
use tierkeep_learning::key::KeyType;
use tierkeep_learning::mapping::Mapping;
use tierkeep_learning::store::{OpenMode, OpenOptions, open};
use tierkeep_testkit::{DatabaseClient, PostgresServer, SqliteFile, TestDatabase};

/// Learners of every installation, with the ids 1 to this.
pub(crate) const LEARNERS: u32 = 20_000;

const USERS: &str = "with recursive n (i) as (select 1 union all select i + 1 from n where i < 20000)
    insert into users (id) select i from n";
/// Twenty a learner, on as many of the days before today.
const SESSIONS: &str = "
    insert into study_sessions (id, user_id, start_time, end_time, duration_minutes)
    select u.id * 20 + d, u.id, now() - make_interval(days => d), now() - make_interval(days => d, mins => -30), 30
    from users as u, generate_series(1, 20) as d";
const SQLITE_SESSIONS: &str = "
    with recursive days (d) as (select 1 union all select d + 1 from days where d < 20)
    insert into study_sessions (id, user_id, start_time, end_time, duration_minutes)
    select u.id * 20 + d, u.id, (unixepoch() - d * 86400) * 1000000, (unixepoch() - d * 86400 + 1800) * 1000000, 30
    from users as u, days where u.id <= 500";

/// What another program runs for a session that begins now: its id, its learner.
pub(crate) const INSERT: &str = "insert into study_sessions (id, user_id, start_time, end_time, duration_minutes)
    values ($1, $2, now(), now() + interval '30 minutes', 30)";

/// Makes the tables.
pub(crate) async fn migrated(url: &str) -> Result<()> {
    open(&url.parse()?, &options()).await?.close().await;
    Ok(())
}

pub(crate) async fn on_postgres(server: &PostgresServer) -> Result<TestDatabase> {
    let database = server.database().await?;
    migrated(database.url()).await?;
    let client: DatabaseClient = database.client().await?;
    client.batch_execute(USERS).await?;
    client.batch_execute(SESSIONS).await?;
    settled(database.url()).await?;
    client.batch_execute("vacuum analyze").await?;
    Ok(database)
}

pub(crate) async fn on_sqlite() -> Result<SqliteFile> {
    let file = SqliteFile::new()?;
    migrated(&file.url()).await?;
    let db = rusqlite::Connection::open(file.path())?;
    db.busy_timeout(Duration::from_secs(60))?;
    db.execute_batch(USERS)?;
    db.execute_batch(SQLITE_SESSIONS)?;
    drop(db);
    settled(&file.url()).await?;
    Ok(file)
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
