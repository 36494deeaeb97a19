//! Writers and readers at once: an answer holds every write that was acknowledged before it was asked for, and none that
//! had not begun.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use jiff::SignedDuration;
use tierkeep_db::Dialect;
use tierkeep_learning::calendar::{DayStart, Zone};
use tierkeep_learning::key::KeyType;
use tierkeep_learning::store::Store;
use tokio::task::JoinHandle;

use super::fresh::{Fresh, Outside};
use super::model::Model;
use super::outside;
use super::rows::{ALL_DAYS, at, day, learner, session, user};
use super::seeded::Chance;

const KEYS: KeyType = KeyType::Int;
const LEARNERS: u32 = 3;
const WRITERS: u32 = 4;
const READERS: u32 = 4;
const WRITES: u32 = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sqlite_readers_see_every_acknowledged_write() {
    Box::pin(readers_see_every_acknowledged_write(Dialect::Sqlite)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn postgres_readers_see_every_acknowledged_write() {
    Box::pin(readers_see_every_acknowledged_write(Dialect::Postgres)).await;
}

/// What writers have done so far.
#[derive(Default)]
struct Done {
    /// Of each learner: inserts that began, and those that were acknowledged.
    begun: [AtomicI64; LEARNERS as usize],
    acknowledged: [AtomicI64; LEARNERS as usize],
    /// Learner, and the database's clock after the commit, in microseconds.
    clocks: Mutex<Vec<(usize, i64)>>,
    /// Learner, the answer's `as_of`, and how many sessions it held.
    answers: Mutex<Vec<(usize, i64, i64)>>,
    is_over: AtomicBool,
}

async fn readers_see_every_acknowledged_write(dialect: Dialect) {
    let fresh = Fresh::migrated(dialect, KEYS).await;
    let store = fresh.store().await;
    let mut model = Model::new(Zone::utc(), DayStart::default());
    for n in 1..=LEARNERS {
        store.write_users(vec![learner(KEYS, n, Some("Asia/Shanghai"))]).await.unwrap();
        model.put_learner(user(KEYS, n), Some("Asia/Shanghai".to_owned()));
    }
    let done = Arc::new(Done::default());
    let second = fresh.store().await;

    let mut writers = Vec::new();
    for writer in 0..WRITERS {
        writers.push(tokio::spawn(write(dialect, fresh.outside().await, writer, Arc::clone(&done))));
    }
    let mut others: Vec<JoinHandle<()>> = Vec::new();
    for reader in 0..READERS {
        let store = if reader % 2 == 0 { Arc::clone(&store) } else { Arc::clone(&second) };
        others.push(tokio::spawn(read(store, reader, Arc::clone(&done))));
    }
    let settling = (Arc::clone(&store), Arc::clone(&done));
    others.push(tokio::spawn(async move {
        while !settling.1.is_over.load(Ordering::SeqCst) {
            settling.0.settle().await.unwrap();
            tokio::task::yield_now().await;
        }
    }));
    for writer in writers {
        for row in writer.await.unwrap() {
            model.write(&row);
        }
    }
    done.is_over.store(true, Ordering::SeqCst);
    for other in others {
        other.await.unwrap();
    }

    let clocks = done.clocks.lock().unwrap().clone();
    for (of, as_of, sessions) in done.answers.lock().unwrap().iter() {
        let before = clocks.iter().filter(|(learner, clock)| learner == of && clock < as_of).count();
        assert!(
            i64::try_from(before).unwrap() <= *sessions,
            "as_of promises {before} sessions, the answer has {sessions}"
        );
    }
    let users: Vec<_> = (1..=LEARNERS).map(|n| user(KEYS, n)).collect();
    let span = (day("2025-03-01"), day("2025-04-30"));
    model.compare(&*store, &users, span, "after all").await;
    while store.settle().await.unwrap().more {}
    assert_eq!(fresh.outside().await.count("tierkeep_outbox where not settled").await, 0);
    model.compare_totals(&*store, day("2025-03-03"), "after all").await;
    model.compare(&*second, &users, span, "after all").await;
}

async fn write(
    dialect: Dialect,
    outside: Outside,
    writer: u32,
    done: Arc<Done>,
) -> Vec<tierkeep_learning::rows::SessionRow> {
    let mut chance = Chance::new(writer.into());
    let mut rows = Vec::new();
    for n in 0..WRITES {
        let of = chance.below(LEARNERS);
        let mut row = session(KEYS, 1 + writer * WRITES + n, 1 + of, "2025-03-01T00:00:00Z", 10);
        row.start_time += SignedDuration::from_hours(chance.below(40 * 24).into());
        done.begun[of as usize].fetch_add(1, Ordering::SeqCst);
        outside.run(&outside::insert(dialect, "study_sessions", &row)).await;
        done.acknowledged[of as usize].fetch_add(1, Ordering::SeqCst);
        let clock = outside
            .number(match dialect {
                Dialect::Sqlite => "select cast(unixepoch('subsec') * 1000 as integer) * 1000",
                Dialect::Postgres => "select (extract(epoch from clock_timestamp()) * 1000000)::bigint",
            })
            .await;
        done.clocks.lock().unwrap().push((of as usize, clock));
        rows.push(row);
        tokio::task::yield_now().await;
    }
    rows
}

async fn read(store: Arc<dyn Store>, reader: u32, done: Arc<Done>) {
    let mut chance = Chance::new(u64::from(reader) + 100);
    while !done.is_over.load(Ordering::SeqCst) {
        if chance.below(4) == 0 {
            let sum = |counts: &[AtomicI64]| counts.iter().map(|count| count.load(Ordering::SeqCst)).sum::<i64>();
            let before = sum(&done.acknowledged);
            let totals = store.global_totals(day("2025-03-03")).await.unwrap().totals;
            let (sessions, after) = (i64::try_from(totals.sessions).unwrap(), sum(&done.begun));
            assert!((before..=after).contains(&sessions), "{before} <= {sessions} <= {after}");
            continue;
        }
        let of = chance.below(LEARNERS);
        let place = of as usize;
        // alone or with the others: these are different statements
        let users: Vec<_> = match chance.below(2) {
            0 => vec![user(KEYS, 1 + of)],
            _ => std::iter::once(1 + of).chain(1..=LEARNERS).map(|n| user(KEYS, n)).collect(),
        };
        let before = done.acknowledged[place].load(Ordering::SeqCst);
        let answer = store.learner_days(&users, ALL_DAYS).await.unwrap().remove(0).unwrap();
        let after = done.begun[place].load(Ordering::SeqCst);
        let sessions = i64::try_from(answer.days.values().map(|day| day.sessions).sum::<u64>()).unwrap();
        assert!((before..=after).contains(&sessions), "{before} <= {sessions} <= {after}");
        done.answers.lock().unwrap().push((place, answer.clock.as_of.as_microsecond(), sessions));
    }
}

/// Waits until somebody waits for a lock on a relation or a row of this database.
async fn until_somebody_waits(outside: &Outside) {
    let waiting =
        "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    while outside.number(waiting).await == 0 {
        tokio::task::yield_now().await;
    }
}

/// A learner with one folded session on PostgreSQL, and three connections beside the store.
async fn held() -> (Fresh, Arc<dyn Store>, [Outside; 3]) {
    let fresh = Fresh::migrated(Dialect::Postgres, KEYS).await;
    let store = fresh.store().await;
    store.write_users(vec![learner(KEYS, 1, None)]).await.unwrap();
    while store.settle().await.unwrap().more {}
    let outside = [fresh.outside().await, fresh.outside().await, fresh.outside().await];
    (fresh, store, outside)
}

fn insert(n: u32) -> String {
    outside::insert(Dialect::Postgres, "study_sessions", &session(KEYS, n, 1, "2025-06-27T08:00:00Z", 10))
}

async fn settled(store: &dyn Store) -> (u64, u64) {
    while store.settle().await.unwrap().more {}
    let totals = store.global_totals(day("2025-06-27")).await.unwrap().totals;
    (totals.users, totals.sessions)
}

#[tokio::test]
async fn change_that_is_committed_while_a_fold_saves_stays_for_the_next_fold() {
    let (_fresh, store, [holder, writer, watcher]) = held().await;
    writer.run(&insert(1)).await;
    assert_eq!(settled(&*store).await, (1, 1));
    writer.run(&insert(2)).await;
    // the fold has read changes and rows and waits where it adds to the sums
    holder.run("begin; select 1 from tierkeep_global for update").await;
    let folding = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.settle().await }
    });
    until_somebody_waits(&watcher).await;

    writer.run(&insert(3)).await;
    holder.run("commit").await;
    folding.await.unwrap().unwrap();

    assert_eq!(watcher.count("tierkeep_outbox where not settled").await, 1, "only what was read is consumed");
    let answer = store.learner_days(&[user(KEYS, 1)], ALL_DAYS).await.unwrap().remove(0).unwrap();
    assert_eq!(answer.days[&day("2025-06-27")].sessions, 3);
    assert_eq!(settled(&*store).await, (1, 3));
}

#[tokio::test]
async fn learner_who_leaves_while_a_fold_reads_is_gone_from_the_sums() {
    let (_fresh, store, [holder, writer, watcher]) = held().await;
    writer.run(&insert(1)).await;
    // first the fold waits for the learner's lock, then for the list of changes
    holder.run("begin; select 1 from tierkeep_learner for update").await;
    let folding = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.settle().await }
    });
    until_somebody_waits(&watcher).await;
    writer.run("begin; lock table tierkeep_outbox in access exclusive mode").await;
    holder.run("commit").await;
    until_somebody_waits(&watcher).await;

    writer.run("delete from users; commit").await;
    folding.await.unwrap().unwrap();

    assert_eq!(settled(&*store).await, (0, 0));
    assert_eq!(watcher.count("tierkeep_month").await, 0);
}

#[tokio::test]
async fn learner_who_comes_while_a_fold_reads_is_in_the_sums() {
    let (_fresh, store, [holder, writer, watcher]) = held().await;
    writer.run("delete from users").await;
    writer.run(&insert(1)).await;
    holder.run("begin; select 1 from tierkeep_learner for update").await;
    let folding = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.settle().await }
    });
    until_somebody_waits(&watcher).await;
    writer.run("begin; lock table tierkeep_outbox in access exclusive mode").await;
    holder.run("commit").await;
    until_somebody_waits(&watcher).await;

    writer.run("insert into users (id) values (1); commit").await;
    folding.await.unwrap().unwrap();

    assert_eq!(settled(&*store).await, (1, 1));
}

#[tokio::test]
async fn learner_whose_record_goes_while_a_fold_waits_is_counted_once() {
    let (_fresh, store, [holder, writer, watcher]) = held().await;
    writer.run(&insert(1)).await;
    // another node folds a learner who had left and has come back since
    holder.run("begin; select 1 from tierkeep_learner for update").await;
    let folding = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.settle().await }
    });
    until_somebody_waits(&watcher).await;

    holder.run("delete from tierkeep_learner; commit").await;
    folding.await.unwrap().unwrap();

    store.learner_days(&[user(KEYS, 1)], ALL_DAYS).await.unwrap();
    writer.run(&insert(2)).await;
    assert_eq!(settled(&*store).await, (1, 2));
}

#[tokio::test]
async fn readers_answer_while_a_writer_holds_its_rows() {
    let (_fresh, store, [writer, ..]) = held().await;
    writer.run(&format!("begin; {}; update users set time_zone = 'Asia/Tokyo'", insert(1))).await;

    let answer = store.learner_days(&[user(KEYS, 1)], ALL_DAYS).await.unwrap().remove(0).unwrap();
    assert!(answer.days.is_empty(), "not committed yet");
    writer.run("commit").await;

    let answer = store.learner_days(&[user(KEYS, 1)], ALL_DAYS).await.unwrap().remove(0).unwrap();
    assert_eq!(answer.days.len(), 1);
    assert!(answer.clock.as_of > at("2020-01-01T00:00:00Z"));
}
