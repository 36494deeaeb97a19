//! Computing statistics of many learners before anybody asks: from stored summaries, and from summaries that have to be
//! built or brought up to date first.
//!
//! `cargo bench -p tierkeep-learning --bench precompute -- --learners 20000 --sessions 1000000 --database sqlite`
//!
//! Without `--database` both are measured. `--at-once` batches of 1,000 learners are computed at a time, each answer encoded
//! as it would be sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::Result;
use jiff::{SignedDuration, Timestamp};
use tierkeep_db::{DatabaseUrl, PoolConfig};
use tierkeep_learning::calendar::{DayStart, Zone};
use tierkeep_learning::key::{Key, KeyType, SessionId, UserId};
use tierkeep_learning::language::Language;
use tierkeep_learning::mapping::Mapping;
use tierkeep_learning::rows::SessionRow;
use tierkeep_learning::service::{Ready, Settings, Statistics};
use tierkeep_learning::statistic::StatisticKind;
use tierkeep_learning::store::{OpenMode, OpenOptions, Store, open, rederive};
use tierkeep_testkit::{PostgresServer, SqliteFile};

#[path = "bench/memory.rs"]
mod memory;
#[path = "bench/report.rs"]
mod report;
#[path = "bench/rows.rs"]
mod rows;

use report::{Contest, argument};

/// Rows written at a time: few enough not to count in the memory of this process.
const CHUNK: u64 = 5_000;
/// Learners of a batch.
const BATCH: usize = 1_000;

const READY: &str = "daily, weekly and analytics from stored summaries";
const ONE_BY_ONE: &str = "the same by one call for each statistic";
const EVERYTHING: &str = "all seven statistics from stored summaries";

#[tokio::main]
async fn main() -> Result<()> {
    let wants = |name: &str| {
        let arguments: Vec<String> = std::env::args().collect();
        let asked = arguments.iter().position(|argument| argument == "--database");
        asked.and_then(|at| arguments.get(at + 1)).is_none_or(|given| given == name)
    };
    if wants("sqlite") {
        let file = SqliteFile::new()?;
        measure("SQLite", &file.url(), async || Ok(())).await?;
    }
    if wants("postgres") {
        let database = PostgresServer::shared().await?.database().await?;
        let client = database.client().await?;
        let vacuum = async || Ok(client.batch_execute("vacuum analyze").await?);
        measure("PostgreSQL", database.url(), vacuum).await?;
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

/// Measures one database; `tidy` is what its upkeep does by itself in time.
async fn measure(name: &str, url: &str, tidy: impl AsyncFn() -> Result<()>) -> Result<()> {
    let (learners, sessions) = (argument("--learners", 20_000), argument("--sessions", 1_000_000));
    let rounds = argument("--rounds", 5);
    let url: DatabaseUrl = url.parse()?;
    let store = open(&url, &options(OpenMode::Create { ids: Some(KeyType::Int) })?).await?;
    let mut contest = Contest::default();
    fill(&*store, learners, sessions).await?;
    tidy().await?;
    // a system that refuses goes on to report the peak of the whole process, which is never too small
    let _ = std::fs::write("/proc/self/clear_refs", "5");

    contest.add("settle of learners with imported sessions", settle(&*store).await?);
    tidy().await?;
    rederive(&url, &options(OpenMode::Existing)?).await?;
    contest.add("settle of learners never built (rederive)", settle(&*store).await?);
    tidy().await?;
    touch(&*store, learners, sessions).await?;
    contest.add("settle of learners with one session more", settle(&*store).await?);
    tidy().await?;

    let settings = Settings { default_zone: Zone::new("UTC")?, day_start: DayStart::default(), language: Language::En };
    let statistics = Statistics::new(Arc::clone(&store), settings);
    let users: Arc<Vec<UserId>> = Arc::new((1..=learners).map(user).collect());
    let mut bytes = 0;
    for _ in 0..rounds {
        let begun = Instant::now();
        bytes = batches(&statistics, &users, of_three).await?;
        contest.add(READY, begun.elapsed());
        let begun = Instant::now();
        let separately = batches(&statistics, &users, one_by_one).await?;
        contest.add(ONE_BY_ONE, begun.elapsed());
        anyhow::ensure!(bytes.abs_diff(separately) < 10 * learners, "{bytes} and {separately} bytes");
        let begun = Instant::now();
        batches(&statistics, &users, of_all).await?;
        contest.add(EVERYTHING, begun.elapsed());
    }
    #[expect(clippy::cast_precision_loss, reason = "a benchmark's counts")]
    contest.print(&format!("{name}, {sessions} sessions of {learners} learners"), learners as f64, "learner");
    contest.ratio(READY, ONE_BY_ONE, "less than 1 in time");
    #[expect(clippy::print_stdout, reason = "a benchmark is read by the person who runs it")]
    {
        println!("  {} bytes of answers a learner (wanted: 20000 learners/s)", bytes / learners);
        println!("  peak resident memory since the data lie there: {} MiB (wanted: under 128)", memory::peak_mib());
    }
    store.close().await;
    Ok(())
}

fn user(number: u64) -> UserId {
    UserId::new(Key::Int(i64::try_from(number).expect("a small number")))
}

async fn fill(store: &dyn Store, learners: u64, sessions: u64) -> Result<()> {
    store.write_users(rows::users(learners)).await?;
    let mut first = 0;
    while first < sessions {
        let count = CHUNK.min(sessions - first);
        store.write_sessions(rows::sessions(learners, sessions, first, count)).await?;
        first += count;
    }
    Ok(())
}

/// One session more for each learner.
async fn touch(store: &dyn Store, learners: u64, sessions: u64) -> Result<()> {
    let start: Timestamp = rows::END.parse()?;
    let template = rows::sessions(1, 1, 0, 1).remove(0);
    for chunk in (1..=learners).collect::<Vec<_>>().chunks(usize::try_from(CHUNK)?) {
        let row = |number: &u64| SessionRow {
            id: SessionId::new(user(sessions + number).key()),
            user_id: user(*number),
            start_time: start - SignedDuration::from_mins(30),
            end_time: Some(start),
            ..template.clone()
        };
        store.write_sessions(chunk.iter().map(row).collect()).await?;
    }
    Ok(())
}

async fn settle(store: &dyn Store) -> Result<std::time::Duration> {
    let begun = Instant::now();
    while store.settle().await?.more {}
    Ok(begun.elapsed())
}

const THREE: [StatisticKind; 3] = [StatisticKind::Daily, StatisticKind::Weekly, StatisticKind::Analytics];

/// Computes and encodes all learners, some batches at a time, and returns how many bytes that made.
async fn batches<F>(
    statistics: &Statistics,
    users: &Arc<Vec<UserId>>,
    compute: fn(Statistics, Vec<UserId>) -> F,
) -> Result<u64>
where
    F: Future<Output = Result<u64>> + Send + 'static,
{
    let next = Arc::new(AtomicUsize::new(0));
    let workers: Vec<_> = (0..argument("--at-once", 2))
        .map(|_| {
            let (statistics, users, next) = (statistics.clone(), Arc::clone(users), Arc::clone(&next));
            tokio::spawn(async move {
                let mut bytes = 0;
                loop {
                    let first = next.fetch_add(BATCH, Ordering::Relaxed);
                    if first >= users.len() {
                        return anyhow::Ok(bytes);
                    }
                    let batch = users[first..users.len().min(first + BATCH)].to_vec();
                    bytes += compute(statistics.clone(), batch).await?;
                }
            })
        })
        .collect();
    let mut bytes = 0;
    for worker in workers {
        bytes += worker.await??;
    }
    Ok(bytes)
}

async fn of_three(statistics: Statistics, users: Vec<UserId>) -> Result<u64> {
    encoded(statistics.ready(&users, &THREE, rows::END.parse()?).await?)
}

async fn of_all(statistics: Statistics, users: Vec<UserId>) -> Result<u64> {
    encoded(statistics.ready(&users, &StatisticKind::ALL, rows::END.parse()?).await?)
}

fn encoded<E: std::error::Error + Send + Sync + 'static>(learners: Vec<Result<Ready, E>>) -> Result<u64> {
    let mut bytes = 0;
    for ready in learners {
        let Ready { daily, weekly, monthly, analytics, heatmap, streaks, courses } = ready?;
        bytes += length(daily.as_ref())? + length(weekly.as_ref())? + length(monthly.as_ref())?;
        bytes += length(analytics.as_ref())? + length(heatmap.as_ref())?;
        bytes += length(streaks.as_ref())? + length(courses.as_ref())?;
    }
    Ok(bytes)
}

async fn one_by_one(statistics: Statistics, users: Vec<UserId>) -> Result<u64> {
    let now = rows::END.parse()?;
    let mut bytes = 0;
    for answer in statistics.daily(&users, None, now).await? {
        bytes += length(Some(&answer?))?;
    }
    for answer in statistics.weekly(&users, None, now).await? {
        bytes += length(Some(&answer?))?;
    }
    for answer in statistics.analytics(&users, None, Default::default(), None, now).await? {
        bytes += length(Some(&answer?))?;
    }
    Ok(bytes)
}

/// Bytes of an answer as it is sent.
fn length(answer: Option<&impl serde::Serialize>) -> Result<u64> {
    let Some(answer) = answer else { return Ok(0) };
    let mut json = Vec::with_capacity(1024);
    serde_json::to_writer(&mut json, answer)?;
    Ok(std::hint::black_box(json).len() as u64)
}
