//! Archiving, counting and deleting beside the bare statements that do the least that could be called the same.
//!
//! `cargo bench -p tierkeep-learning --bench retention -- archive --sessions 1000000 --rounds 3`
//! `cargo bench -p tierkeep-learning --bench retention -- dry-run --sessions 5000000`
//!
//! Keys are integers that rise with time unless `--uuids 1`: random UUIDs scatter the rows of a batch over all of an index, so
//! that each batch writes most of its pages, whoever moves them.
//!
//! Each round fills both tables anew, so that nobody moves rows that another has moved before. On PostgreSQL commits wait for
//! the disk (`fsync` on), unless `--fast 1`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use jiff::{SignedDuration, Timestamp};
use tierkeep_db::{DatabaseUrl, PoolConfig};
use tierkeep_learning::calendar::{DayStart, Zone};
use tierkeep_learning::key::KeyType;
use tierkeep_learning::mapping::Mapping;
use tierkeep_learning::retention::{ARCHIVE, Cutoffs, DELETE, INVALID};
use tierkeep_learning::store::{Cleanup, Keep, OpenMode, OpenOptions, Store, migrate, open};
use tierkeep_retention::{BatchSize, Ended, Order, PlanLimits};
use tierkeep_testkit::{DatabaseClient, Durability, PostgresServer, SqliteFile};

#[path = "bench/memory.rs"]
mod memory;
#[path = "bench/report.rs"]
mod report;

use report::{Contest, argument};

const NOW: &str = "2026-06-01T00:00:00Z";
const LEARNERS: u64 = 20_000;
/// Of ten rows nine are old enough for the archive. Rows lie in the order of their starts, as they come in over the years.
const OLD_OF_TEN: u64 = 9;

#[tokio::main]
async fn main() -> Result<()> {
    let sessions = argument("--sessions", 200_000);
    let rounds = argument("--rounds", 3);
    let is = |mode: &str| std::env::args().any(|argument| argument == mode);
    if is("dry-run") {
        dry_run(sessions, rounds).await?;
    } else {
        archive_on_postgres(sessions, rounds).await?;
        archive_on_sqlite(sessions, rounds).await?;
    }
    #[expect(clippy::print_stdout, reason = "a benchmark is read by the person who runs it")]
    {
        println!("  peak resident memory of this process, contestants included: {} MiB", memory::peak_mib());
    }
    Ok(())
}

fn options(mode: OpenMode) -> Result<OpenOptions> {
    Ok(OpenOptions {
        mode,
        pool: PoolConfig::default(),
        default_zone: Zone::new("UTC")?,
        day_start: DayStart::default(),
        mapping: Mapping::default(),
    })
}

async fn made(url: &str) -> Result<Arc<dyn Store>> {
    let url: DatabaseUrl = url.parse()?;
    migrate(&url, &options(OpenMode::Create { ids: Some(keys()) })?).await?;
    Ok(open(&url, &options(OpenMode::Existing)?).await?)
}

fn keys() -> KeyType {
    if argument("--uuids", 0) == 1 { KeyType::Uuid } else { KeyType::Int }
}

fn cleanup(phases: &[&'static str]) -> Result<Cleanup> {
    let now: Timestamp = NOW.parse()?;
    let before = |days: i64| now - SignedDuration::from_hours(24 * days);
    let cutoffs = Cutoffs { now, archive: before(365), delete: before(1095), purge: before(90) };
    Ok(Cleanup { phases: phases.to_vec(), cutoffs, keep: Keep::Summaries })
}

fn order(batch: BatchSize, batch_time: Duration) -> Result<Order> {
    let now: Timestamp = NOW.parse()?;
    Ok(Order { max_fraction: 1.0, batch, batch_time: Some(batch_time), ..Order::new("cleanup", Arc::new(move || now)) })
}

fn fixed(rows: u32) -> BatchSize {
    BatchSize::Fixed(rows.try_into().expect("a batch has rows"))
}

/// Moves with the engine; how long that took, without the counting pass that comes first.
async fn moved_by_engine(
    store: &Arc<dyn Store>,
    batch: BatchSize,
    batch_time: Duration,
    rows: u64,
) -> Result<Duration> {
    let order = order(batch, batch_time)?;
    let begun = Instant::now();
    let outcome = Arc::clone(store).clean_up(&cleanup(&[ARCHIVE])?, &order).await?;
    let took = begun.elapsed();
    anyhow::ensure!(outcome.ended == Ended::Done, "{:?}", outcome.reason);
    anyhow::ensure!(outcome.report.rows("archive") == rows, "{} of {rows}", outcome.report.rows("archive"));
    Ok(took)
}

const COLUMNS: &str = "id, user_id, course_progress_id, start_time, end_time, duration_minutes, effectiveness_rating, \
     focus_score, break_count, is_active, learning_environment, device_type, subject_category, content_covered, notes, \
     created_at, updated_at, goal_id, learning_plan_id, estimator";

/// A learner's key from a number, on PostgreSQL.
fn learner(number: &str) -> String {
    match keys() {
        KeyType::Int => number.to_owned(),
        KeyType::Uuid => format!("('00000000-0000-7000-8000-' || lpad(({number})::text, 12, '0'))::uuid"),
    }
}

async fn fill_postgres(client: &DatabaseClient, sessions: u64) -> Result<()> {
    let id = if keys() == KeyType::Int { "n" } else { "gen_random_uuid()" };
    client
        .batch_execute(&format!(
            "truncate study_sessions, study_sessions_archive; begin; set local tierkeep.origin = 'move';
            insert into study_sessions ({COLUMNS})
            select {id}, {}, null,
                timestamptz '{NOW}' - interval '365 days' + (n - {sessions} * {OLD_OF_TEN} / 10) * interval '10 seconds',
                null, 30, 3, 0.85, 1, false, 'home', 'mobile', 'mathematics', 'chapter ' || n, '', now(), now(), null,
                null, null
            from generate_series(0, {sessions} - 1) as s (n);
            commit; truncate tierkeep_outbox;",
            learner(&format!("n % {LEARNERS}")),
        ))
        .await?;
    client.batch_execute("vacuum analyze study_sessions").await?;
    client.batch_execute("checkpoint").await?;
    Ok(())
}

const OLD: &str = "start_time < timestamptz '2025-06-01T00:00:00Z' and not is_active";

fn one_statement() -> String {
    format!(
        "with gone as (delete from study_sessions where {OLD} returning {COLUMNS}) \
         insert into study_sessions_archive ({COLUMNS}) select {COLUMNS} from gone"
    )
}

/// A keyset loop without any safety but the transaction.
fn bare_batch(skip_locked: bool) -> String {
    let lock = if skip_locked { "for update skip locked" } else { "" };
    let key = if keys() == KeyType::Int { "bigint" } else { "uuid" };
    format!(
        "with pick as materialized (
            select id, start_time from study_sessions
            where (start_time, id) > ($1::text::timestamptz, $2::text::{key}) and {OLD}
            order by start_time, id limit $3 {lock}
        ), gone as (
            delete from study_sessions as s using pick where s.id = pick.id returning {}
        ), came as (insert into study_sessions_archive ({COLUMNS}) select {COLUMNS} from gone returning id)
        select (select count(*) from came), (select start_time::text from pick order by start_time desc, id desc limit 1),
            (select id::text from pick order by start_time desc, id desc limit 1)",
        COLUMNS.split(", ").map(|column| format!("s.{column}")).collect::<Vec<_>>().join(", ")
    )
}

async fn bare_loop(client: &DatabaseClient, rows: i64, skip_locked: bool) -> Result<u64> {
    let statement = client.prepare(&bare_batch(skip_locked)).await?;
    let first = if keys() == KeyType::Int { "0" } else { "00000000-0000-0000-0000-000000000000" };
    let (mut age, mut key) = ("-infinity".to_owned(), first.to_owned());
    let mut moved = 0;
    loop {
        client.batch_execute("begin; set local tierkeep.origin = 'move'").await?;
        let row = client.query_one(&statement, &[&age, &key, &rows]).await?;
        client.batch_execute("commit").await?;
        let count: i64 = row.get(0);
        moved += count.unsigned_abs();
        if count < rows {
            return Ok(moved);
        }
        (age, key) = (row.get(1), row.get(2));
    }
}

async fn archive_on_postgres(sessions: u64, rounds: u64) -> Result<()> {
    let server = if argument("--fast", 0) == 1 {
        PostgresServer::builder().launch().await?
    } else {
        PostgresServer::builder().durability(Durability::Full).launch().await?
    };
    let database = server.database().await?;
    let store = made(database.url()).await?;
    let client = database.client().await?;
    let rows = sessions * OLD_OF_TEN / 10;
    let mut contest = Contest::default();
    for _ in 0..rounds {
        fill_postgres(&client, sessions).await?;
        let begun = Instant::now();
        client.batch_execute("begin; set local tierkeep.origin = 'move'").await?;
        client.batch_execute(&one_statement()).await?;
        client.batch_execute("commit").await?;
        contest.add("one statement", begun.elapsed());

        for (name, skip_locked) in [("bare loop of 1,000", false), ("bare loop of 1,000, skip locked", true)] {
            fill_postgres(&client, sessions).await?;
            let begun = Instant::now();
            anyhow::ensure!(bare_loop(&client, 1000, skip_locked).await? == rows, "the bare loop lost rows");
            contest.add(name, begun.elapsed());
        }
        for (name, batch) in [("engine, batches of 1,000", fixed(1000)), ("engine, adaptive", BatchSize::default())] {
            fill_postgres(&client, sessions).await?;
            contest.add(name, moved_by_engine(&store, batch, Duration::from_millis(200), rows).await?);
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "a benchmark's counts")]
    contest.print(&format!("PostgreSQL, {rows} of {sessions} sessions archived"), rows as f64, "row");
    contest.ratio("one statement", "bare loop of 1,000", "known: 0.86 of the speed");
    contest.ratio("engine, batches of 1,000", "one statement", "0.55 of the speed");
    contest.ratio("engine, adaptive", "one statement", "0.7 of the speed");
    contest.ratio("engine, batches of 1,000", "bare loop of 1,000, skip locked", "what digests, lease and record cost");
    Ok(())
}

fn fill_sqlite(db: &rusqlite::Connection, sessions: u64) -> Result<()> {
    let columns: Vec<&str> = COLUMNS.split(", ").collect();
    anyhow::ensure!(columns.len() == 20, "the columns of the insert");
    let (id, learner) = match keys() {
        KeyType::Int => ("n", format!("n % {LEARNERS}")),
        KeyType::Uuid => (
            "lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-7' || substr(hex(randomblob(2)), 2) || '-8' \
             || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))",
            format!("printf('00000000-0000-7000-8000-%012d', n % {LEARNERS})"),
        ),
    };
    db.execute_batch(&format!(
        "begin immediate;
        delete from study_sessions; delete from study_sessions_archive;
        insert into tierkeep_feed_quiet (only_row) values (1);
        insert into study_sessions ({COLUMNS})
        with recursive s (n) as (select 0 union all select n + 1 from s where n + 1 < {sessions})
        select {id}, {learner}, null,
            (strftime('%s', '{NOW}') - 365 * 86400 + (n - {sessions} * {OLD_OF_TEN} / 10) * 10) * 1000000,
            null, 30, 3, 0.85, 1, 0, 'home', 'mobile', 'mathematics', 'chapter ' || n, '', 0, 0, null, null, null
        from s;
        delete from tierkeep_feed_quiet; delete from tierkeep_outbox;
        commit;
        pragma wal_checkpoint(truncate); analyze;"
    ))?;
    Ok(())
}

const OLD_SQLITE: &str = "start_time < strftime('%s', '2025-06-01T00:00:00Z') * 1000000 and is_active = 0";

/// A loop by row numbers without any safety but the transaction.
fn bare_loop_sqlite(db: &rusqlite::Connection, rows: i64) -> Result<()> {
    db.execute_batch("create temp table if not exists pick (place integer primary key)")?;
    loop {
        db.execute_batch(
            "begin immediate; insert into tierkeep_feed_quiet (only_row) values (1); delete from temp.pick",
        )?;
        let picked = db
            .prepare_cached(&format!(
                "insert into temp.pick select rowid from study_sessions where {OLD_SQLITE} order by start_time limit ?1"
            ))?
            .execute([rows])?;
        db.prepare_cached(&format!(
            "insert into study_sessions_archive ({COLUMNS}) select {COLUMNS} from study_sessions
            where rowid in (select place from temp.pick)"
        ))?
        .execute([])?;
        db.prepare_cached("delete from study_sessions where rowid in (select place from temp.pick)")?.execute([])?;
        db.execute_batch("delete from tierkeep_feed_quiet; commit")?;
        if picked == 0 {
            return Ok(());
        }
    }
}

async fn archive_on_sqlite(sessions: u64, rounds: u64) -> Result<()> {
    let file = SqliteFile::new()?;
    let store = made(&file.url()).await?;
    let db = rusqlite::Connection::open(file.path())?;
    db.busy_timeout(Duration::from_secs(20))?;
    db.execute_batch("pragma synchronous = normal; pragma cache_size = -8192; pragma temp_store = memory")?;
    let rows = sessions * OLD_OF_TEN / 10;
    let mut contest = Contest::default();
    for _ in 0..rounds {
        fill_sqlite(&db, sessions)?;
        let begun = Instant::now();
        db.execute_batch(&format!(
            "begin immediate; insert into tierkeep_feed_quiet (only_row) values (1);
            insert into study_sessions_archive ({COLUMNS}) select {COLUMNS} from study_sessions where {OLD_SQLITE};
            delete from study_sessions where {OLD_SQLITE};
            delete from tierkeep_feed_quiet; commit"
        ))?;
        contest.add("one transaction", begun.elapsed());
        fill_sqlite(&db, sessions)?;
        let begun = Instant::now();
        bare_loop_sqlite(&db, 1000)?;
        contest.add("bare loop of 1,000", begun.elapsed());
        for (name, batch) in [("engine, batches of 1,000", fixed(1000)), ("engine, adaptive", BatchSize::default())] {
            fill_sqlite(&db, sessions)?;
            contest.add(name, moved_by_engine(&store, batch, Duration::from_millis(50), rows).await?);
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "a benchmark's counts")]
    contest.print(&format!("SQLite, {rows} of {sessions} sessions archived"), rows as f64, "row");
    contest.ratio("bare loop of 1,000", "one transaction", "what batches cost by themselves");
    contest.ratio("engine, batches of 1,000", "one transaction", "0.6 of the speed");
    contest.ratio("engine, adaptive", "one transaction", "0.75 of the speed");
    Ok(())
}

/// A dry run beside counting with the same conditions.
async fn dry_run(sessions: u64, rounds: u64) -> Result<()> {
    let server = PostgresServer::shared().await?;
    let database = server.database().await?;
    let store = made(database.url()).await?;
    let client = database.client().await?;
    client
        .batch_execute(&format!(
            "insert into users (id) select {} from generate_series(0, {LEARNERS} - 1) as s (n)",
            learner("n")
        ))
        .await?;
    fill_postgres(&client, sessions).await?;
    let counting = format!(
        "select count(*) filter (where duration_minutes < 0), count(*) filter (where end_time < start_time),
            count(*) filter (where effectiveness_rating < 1 or effectiveness_rating > 5),
            count(*) filter (where focus_score < 0 or focus_score > 1),
            count(*) filter (where not exists (select from users as u where u.id = s.user_id)),
            count(*) filter (where {OLD})
        from study_sessions as s"
    );
    let limits = PlanLimits { max_fraction: 1.0, batch_rows: 1000 };
    let mut contest = Contest::default();
    for _ in 0..rounds {
        let begun = Instant::now();
        client.query_one(counting.as_str(), &[]).await?;
        contest.add("select count(*) with the same conditions", begun.elapsed());
        let begun = Instant::now();
        let plan = Arc::clone(&store).plan_cleanup(&cleanup(&[INVALID, ARCHIVE, DELETE])?, limits, false).await?;
        contest.add("dry run", begun.elapsed());
        anyhow::ensure!(plan.rows("archive") == sessions * OLD_OF_TEN / 10, "{:?}", plan.rule("archive"));
    }
    #[expect(clippy::cast_precision_loss, reason = "a benchmark's counts")]
    contest.print(&format!("PostgreSQL, a dry run over {sessions} sessions"), sessions as f64, "row");
    contest.ratio("dry run", "select count(*) with the same conditions", "1.5 or less in time");
    Ok(())
}
