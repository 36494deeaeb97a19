//! Reads of statistics beside bare statements through the same pool: a day from rows, a week and 30 days from stored
//! summaries, streaks over all history; at a small and a large number of sessions, since cost must not grow with it.
//!
//! `cargo bench -p tierkeep-learning --bench reads -- --small 100000 --large 1000000 --rounds 400`

use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use jiff::Timestamp;
use tierkeep_db::{Access, DatabaseUrl, Pool, PoolConfig, SqliteConfig, SqliteDatabase};
use tierkeep_learning::calendar::{DayStart, Zone};
use tierkeep_learning::key::{Key, KeyType, UserId};
use tierkeep_learning::language::Language;
use tierkeep_learning::local_day::LocalDay;
use tierkeep_learning::mapping::Mapping;
use tierkeep_learning::service::{Settings, Statistics};
use tierkeep_learning::statistic::WindowDays;
use tierkeep_learning::store::{OpenMode, OpenOptions, Store, open};
use tierkeep_testkit::{PostgresServer, SqliteFile};

#[path = "bench/report.rs"]
mod report;
#[path = "bench/rows.rs"]
mod rows;

use report::{Contest, argument};
use rows::Random;

const CHUNK: u64 = 50_000;
/// Learners grow with the sessions, so that a learner's own history stays the same: what must not matter is the others.
const SESSIONS_PER_LEARNER: u64 = 250;

const DAY_ROWS: &str = "select start_time, end_time, duration_minutes, effectiveness_rating, focus_score, break_count, \
     is_active, learning_environment, device_type, subject_category, estimator from study_sessions \
     where user_id = ";

#[tokio::main]
async fn main() -> Result<()> {
    let sizes = [argument("--small", 50_000), argument("--large", 500_000)];
    let rounds = argument("--rounds", 400);
    let server = PostgresServer::shared().await?;
    for sessions in sizes {
        let learners = sessions / SESSIONS_PER_LEARNER;
        let file = SqliteFile::new()?;
        let mut contest = Contest::default();
        let store = filled(&file.url(), learners, sessions).await?;
        sqlite(&file, &store, learners, rounds, &mut contest).await?;
        contest.print(&format!("SQLite, {sessions} sessions of {learners} learners"), 1.0, "read");
        ratios(&contest);

        let database = server.database().await?;
        let mut contest = Contest::default();
        let store = filled(database.url(), learners, sessions).await?;
        database.client().await?.batch_execute("vacuum analyze").await?;
        postgres(database.url(), &store, learners, rounds, &mut contest).await?;
        contest.print(&format!("PostgreSQL, {sessions} sessions of {learners} learners"), 1.0, "read");
        ratios(&contest);
    }
    Ok(())
}

fn ratios(contest: &Contest) {
    contest.ratio("a day from rows", "bare select of the day's rows", "1.5 or less in time");
    contest.ratio("weekly", "bare range read of the summaries' key", "2 or less in time");
    contest.ratio("analytics of 30 days", "bare range read of the summaries' key", "2 or less in time");
    contest.ratio("streaks", "bare key read", "one key read");
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

fn statistics(store: Arc<dyn Store>) -> Result<Statistics> {
    let settings = Settings { default_zone: Zone::new("UTC")?, day_start: DayStart::default(), language: Language::En };
    Ok(Statistics::new(store, settings))
}

/// Statistics from stored summaries.
async fn filled(url: &str, learners: u64, sessions: u64) -> Result<Statistics> {
    let url: DatabaseUrl = url.parse()?;
    let store = open(&url, &options(OpenMode::Create { ids: Some(KeyType::Int) })?).await?;
    store.write_users(rows::users(learners)).await?;
    let mut first = 0;
    while first < sessions {
        let count = CHUNK.min(sessions - first);
        store.write_sessions(rows::sessions(learners, sessions, first, count)).await?;
        first += count;
    }
    while store.settle().await?.more {}
    statistics(store)
}

/// A learner and a day of the data.
fn pick(random: &mut Random, learners: u64) -> (UserId, LocalDay) {
    let user = UserId::new(Key::Int(i64::try_from(1 + random.below(learners)).expect("small")));
    let end: LocalDay = "2025-06-20".parse().expect("a day");
    (user, end.plus(-i32::try_from(random.below(300)).expect("small")))
}

fn micros_of(day: LocalDay) -> i64 {
    let midnight = day.date().to_zoned(jiff::tz::TimeZone::UTC).expect("a day of this century");
    midnight.timestamp().as_microsecond()
}

/// The statistics of one learner, in turn with the bare statements.
async fn ours(stored: &Statistics, user: UserId, day: LocalDay, now: Timestamp, contest: &mut Contest) -> Result<()> {
    let begun = Instant::now();
    stored.weekly(&[user], Some(day), now).await?;
    contest.add("weekly", begun.elapsed());
    let begun = Instant::now();
    stored.analytics(&[user], Some(day), WindowDays::default(), None, now).await?;
    contest.add("analytics of 30 days", begun.elapsed());
    let begun = Instant::now();
    stored.streaks(&[user], now).await?;
    contest.add("streaks", begun.elapsed());
    Ok(())
}

/// A store that computes every answer from rows: the same tables, read as a platform's.
async fn from_rows(url: &str) -> Result<Statistics> {
    let url: DatabaseUrl = url.parse()?;
    let mapping: Mapping = serde_json::from_value(serde_json::json!({ "preset": "none" }))?;
    statistics(open(&url, &OpenOptions { mapping, ..options(OpenMode::ReadOnly)? }).await?)
}

async fn sqlite(
    file: &SqliteFile,
    stored: &Statistics,
    learners: u64,
    rounds: u64,
    contest: &mut Contest,
) -> Result<()> {
    let rows = from_rows(&file.url()).await?;
    let DatabaseUrl::Sqlite(path) = file.url().parse()? else { unreachable!("an address of a file") };
    let config = SqliteConfig { access: Access::ReadOnly, ..SqliteConfig::default() };
    let bare = SqliteDatabase::open(&path, config).await?;
    let now: Timestamp = rows::END.parse()?;
    for seed in 0..2 {
        let mut random = Random::new(seed);
        for _ in 0..rounds {
            let (user, day) = pick(&mut random, learners);
            let Key::Int(key) = user.key() else { unreachable!("integer keys") };
            let (start, end) = (micros_of(day), micros_of(day.plus(1)));
            let begun = Instant::now();
            bare.read(move |db| -> Result<usize, tierkeep_db::Error> {
                let mut select =
                    db.prepare_cached(&format!("{DAY_ROWS}?1 and start_time >= ?2 and start_time < ?3"))?;
                let mut found = select.query((key, start, end))?;
                let mut count = 0;
                while let Some(row) = found.next()? {
                    let _: i64 = row.get(2)?;
                    count += 1;
                }
                Ok(count)
            })
            .await?;
            contest.add("bare select of the day's rows", begun.elapsed());
            let begun = Instant::now();
            rows.daily(&[user], Some(day), now).await?;
            contest.add("a day from rows", begun.elapsed());
            let months = (day.monday().month().number(), day.monday().plus(6).month().number());
            let begun = Instant::now();
            bare.read(move |db| -> Result<usize, tierkeep_db::Error> {
                let mut select = db.prepare_cached(
                    "select month, days from tierkeep_month where user_id = ?1 and month between ?2 and ?3",
                )?;
                let mut found = select.query((key, months.0, months.1))?;
                let mut bytes = 0;
                while let Some(row) = found.next()? {
                    bytes += row.get::<_, Vec<u8>>(1)?.len();
                }
                Ok(bytes)
            })
            .await?;
            contest.add("bare range read of the summaries' key", begun.elapsed());
            let begun = Instant::now();
            bare.read(move |db| -> Result<usize, tierkeep_db::Error> {
                let mut select = db.prepare_cached("select active_days from tierkeep_learner where user_id = ?1")?;
                Ok(select.query_row([key], |row| row.get::<_, Vec<u8>>(0))?.len())
            })
            .await?;
            contest.add("bare key read", begun.elapsed());
            ours(stored, user, day, now, contest).await?;
        }
    }
    bare.close().await;
    Ok(())
}

async fn postgres(url: &str, stored: &Statistics, learners: u64, rounds: u64, contest: &mut Contest) -> Result<()> {
    let rows = from_rows(url).await?;
    let DatabaseUrl::Postgres(address) = url.parse()? else { unreachable!("an address of a server") };
    let bare = Pool::new(&address, PoolConfig::default())?;
    let now: Timestamp = rows::END.parse()?;
    for seed in 0..2 {
        let mut random = Random::new(seed);
        for _ in 0..rounds {
            let (user, day) = pick(&mut random, learners);
            let Key::Int(key) = user.key() else { unreachable!("integer keys") };
            let (start, end) = (micros_of(day), micros_of(day.plus(1)));
            let begun = Instant::now();
            let db = bare.get().await?;
            let text = format!(
                "{DAY_ROWS}$1 and start_time >= to_timestamp($2::bigint / 1e6) and start_time < to_timestamp($3::bigint / 1e6)"
            );
            let found = db.query(&db.prepared(&text).await?, &[&key, &start, &end]).await?;
            let _: usize = found.iter().map(|row| row.get::<_, i32>(2)).filter(|minutes| *minutes > 0).count();
            drop(db);
            contest.add("bare select of the day's rows", begun.elapsed());
            let begun = Instant::now();
            rows.daily(&[user], Some(day), now).await?;
            contest.add("a day from rows", begun.elapsed());
            let months = (day.monday().month().number(), day.monday().plus(6).month().number());
            let begun = Instant::now();
            let db = bare.get().await?;
            let text = "select month, days from tierkeep_month where user_id = $1 and month between $2 and $3";
            let found = db.query(&db.prepared(text).await?, &[&key, &months.0, &months.1]).await?;
            let _: usize = found.iter().map(|row| row.get::<_, &[u8]>(1).len()).sum();
            drop(db);
            contest.add("bare range read of the summaries' key", begun.elapsed());
            let begun = Instant::now();
            let db = bare.get().await?;
            let text = "select active_days from tierkeep_learner where user_id = $1";
            let _ = db.query_one(&db.prepared(text).await?, &[&key]).await?.get::<_, &[u8]>(0).len();
            drop(db);
            contest.add("bare key read", begun.elapsed());
            ours(stored, user, day, now, contest).await?;
        }
    }
    bare.close().await;
    Ok(())
}
