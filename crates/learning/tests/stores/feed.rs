//! The position that tells whoever keeps answers that something changed.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicU32, AtomicU64};

use tierkeep_db::Dialect;
use tierkeep_learning::calendar::DayStart;
use tierkeep_learning::key::KeyType;
use tierkeep_learning::store::{OpenMode, OpenOptions, Store, rederive};

use super::fresh::{Fresh, options};
use super::outside;
use super::rows::{ALL_DAYS, day, learner, progress, session, user};

on_both!(
    every_change_of_what_answers_rest_on_raises_it,
    reading_folding_and_settling_do_not,
    nodes_are_told_the_same,
    without_a_trigger_or_the_right_to_write_there_is_none,
    new_days_raise_it,
);

const KEYS: KeyType = KeyType::Int;

async fn position(store: &dyn Store) -> u64 {
    store.change_position().await.unwrap().expect("own tables with their triggers")
}

/// The position once all transactions that ran at the last change have ended, but for `open` of this test's own: other
/// tests use the same server.
async fn settled(store: &dyn Store, fresh: &Fresh, open: i64) -> u64 {
    let outside = fresh.outside().await;
    loop {
        let known = position(store).await;
        let running =
            "select coalesce(cardinality(pending) + unlisted, cardinality(pending))::bigint from tierkeep_feed";
        if fresh.dialect == Dialect::Sqlite || outside.number(running).await <= open {
            return known;
        }
    }
}

async fn every_change_of_what_answers_rest_on_raises_it(dialect: Dialect) {
    let fresh = Fresh::migrated(dialect, KEYS).await;
    let (store, outside) = (fresh.store().await, fresh.outside().await);
    let row = session(KEYS, 1, 1, "2025-06-27T08:00:00Z", 30);
    let course = "insert into course_progress (id, user_id, content_id) values (9, 1, 9)";
    let changes = [
        outside::replace_user(dialect, &learner(KEYS, 1, None)),
        outside::set_zone(user(KEYS, 1), Some("Asia/Tokyo")),
        outside::insert(dialect, "study_sessions", &row),
        outside::set_minutes(user(KEYS, 1), 31),
        outside::archive_copy(dialect, &row),
        outside::delete("study_sessions", row.id),
        outside::delete("study_sessions_archive", row.id),
        course.to_owned(),
        "update course_progress set proficiency_level = 3".to_owned(),
        "delete from course_progress".to_owned(),
        outside::delete_user(user(KEYS, 1)),
    ];

    let mut known = position(&*store).await;
    for change in changes {
        outside.run(&change).await;
        let now = position(&*store).await;
        assert!(now > known, "{change}");
        known = now;
    }
    store.write_progress(vec![progress(KEYS, 1, 1, 1)]).await.unwrap();
    assert!(position(&*store).await > known, "our own writes are changes, too");
}

async fn reading_folding_and_settling_do_not(dialect: Dialect) {
    let fresh = Fresh::migrated(dialect, KEYS).await;
    let store = fresh.store().await;
    store.write_users((1..=3).map(|n| learner(KEYS, n, None)).collect()).await.unwrap();
    store.write_sessions(vec![session(KEYS, 1, 1, "2025-06-27T08:00:00Z", 30)]).await.unwrap();
    let known = settled(&*store, &fresh, 0).await;

    for _ in 0..3 {
        store.learner_days(&[user(KEYS, 1)], ALL_DAYS).await.unwrap();
        store.learner_courses(&[user(KEYS, 2)]).await.unwrap();
        store.settle().await.unwrap();
        store.global_totals(day("2025-06-27")).await.unwrap();
    }

    assert_eq!(position(&*store).await, known);
}

async fn nodes_are_told_the_same(dialect: Dialect) {
    let fresh = Fresh::migrated(dialect, KEYS).await;
    let (one, other) = (fresh.store().await, fresh.store().await);
    one.write_users(vec![learner(KEYS, 1, None)]).await.unwrap();

    let left = settled(&*one, &fresh, 0).await;
    let later = fresh.store().await;

    assert_eq!(position(&*other).await, left);
    assert_eq!(position(&*later).await, left, "a node that starts finds what is known already");
    assert_eq!(one.installation().await.unwrap(), later.installation().await.unwrap());
    let elsewhere = Fresh::empty(dialect).await.open(OpenMode::Create { ids: Some(KEYS) }).await.unwrap();
    assert_ne!(one.installation().await.unwrap(), elsewhere.installation().await.unwrap());
}

async fn without_a_trigger_or_the_right_to_write_there_is_none(dialect: Dialect) {
    let fresh = Fresh::migrated(dialect, KEYS).await;
    let (store, outside) = (fresh.store().await, fresh.outside().await);

    assert_eq!(fresh.reader().await.change_position().await.unwrap(), None);
    let known = position(&*store).await;
    let (disable, enable) = match dialect {
        Dialect::Sqlite => (
            "drop trigger tierkeep_users_zone",
            "create trigger tierkeep_users_zone after update on users begin select 1; end",
        ),
        Dialect::Postgres => (
            "alter table users disable trigger tierkeep_update",
            "alter table users enable always trigger tierkeep_update",
        ),
    };
    outside.run(disable).await;
    assert_eq!(store.change_position().await.unwrap(), None);
    outside.run(enable).await;
    assert!(position(&*store).await > known, "what was written meanwhile is unknown");
}

async fn new_days_raise_it(dialect: Dialect) {
    let fresh = Fresh::migrated(dialect, KEYS).await;
    let store = fresh.store().await;
    let known = position(&*store).await;

    let moved = OpenOptions { day_start: DayStart::new(4).unwrap(), ..options(OpenMode::Existing) };
    rederive(&fresh.url, &moved).await.unwrap();

    assert!(position(&*store).await > known);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn answers_kept_by_the_position_of_sqlite_are_current() {
    Box::pin(answers_that_were_kept_are_current(Dialect::Sqlite)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn answers_kept_by_the_position_of_postgres_are_current() {
    Box::pin(answers_that_were_kept_are_current(Dialect::Postgres)).await;
}

/// Writers at random, in transactions of random length, and readers that keep an answer for as long as the position
/// stays: what was acknowledged before the position was asked for is in it.
async fn answers_that_were_kept_are_current(dialect: Dialect) {
    const WRITERS: u32 = 3;
    const WRITES: u32 = 12;
    let fresh = Fresh::migrated(dialect, KEYS).await;
    let store = fresh.store().await;
    store.write_users(vec![learner(KEYS, 1, None)]).await.unwrap();
    let acknowledged = Arc::new(AtomicU64::new(0));
    let asked = Arc::new(AtomicU32::new(0));
    let nodes = [fresh.store().await, fresh.store().await, fresh.store().await];

    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let (outside, acknowledged, asked) = (fresh.outside().await, Arc::clone(&acknowledged), Arc::clone(&asked));
        writers.spawn(async move {
            for n in 0..WRITES {
                let row = session(KEYS, 1 + writer * WRITES + n, 1, "2025-06-27T08:00:00Z", 1);
                let insert = outside::insert(dialect, "study_sessions", &row);
                let others_ask = async || {
                    while asked.load(SeqCst) < n * 2 {
                        tokio::task::yield_now().await;
                    }
                };
                if dialect == Dialect::Sqlite {
                    // a reader that folds would wait for a transaction that is open
                    outside.run(&insert).await;
                    others_ask().await;
                } else {
                    // the others write, and readers ask, while this one has moved the mark and not committed
                    outside.run("begin").await;
                    outside.run(&insert).await;
                    others_ask().await;
                    outside.run("commit").await;
                }
                acknowledged.fetch_add(1, SeqCst);
            }
        });
    }

    let mut readers = tokio::task::JoinSet::new();
    for store in nodes {
        let (acknowledged, asked) = (Arc::clone(&acknowledged), Arc::clone(&asked));
        readers.spawn(async move {
            let (mut kept, mut reads) = ((0, 0), 0);
            while kept.1 < u64::from(WRITERS * WRITES) {
                let before = acknowledged.load(SeqCst);
                let now = position(&*store).await;
                if kept.0 != now {
                    let answer = store.learner_days(&[user(KEYS, 1)], ALL_DAYS).await.unwrap().remove(0).unwrap();
                    kept = (now, answer.days.values().map(|day| day.minutes).sum());
                    reads += 1;
                }
                assert!(kept.1 >= before, "{} of {before} at {now}", kept.1);
                asked.fetch_add(1, SeqCst);
            }
            reads
        });
    }

    while let Some(written) = writers.join_next().await {
        written.unwrap();
    }
    let mut answers = 0;
    while let Some(read) = readers.join_next().await {
        answers += read.unwrap();
    }
    assert!(answers > 3, "answers were kept and replaced");
}

mod postgres_alone {
    use super::*;

    /// Held by a test that waits for the server's other transactions to end while one of its own stays open: two such
    /// tests at once would wait for each other.
    static STAYS_OPEN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

    #[tokio::test]
    async fn a_transaction_that_commits_late_raises_it_when_it_ends_and_not_before() {
        let _alone = STAYS_OPEN.lock().await;
        let fresh = Fresh::migrated(Dialect::Postgres, KEYS).await;
        let (store, writer) = (fresh.store().await, fresh.outside().await);
        store.write_users(vec![learner(KEYS, 1, None)]).await.unwrap();
        let row = session(KEYS, 1, 1, "2025-06-27T08:00:00Z", 30);

        writer.run("begin").await;
        writer.run(&outside::insert(Dialect::Postgres, "study_sessions", &row)).await;
        let listed = settled(&*store, &fresh, 1).await;
        let open = [position(&*store).await, position(&*store).await];
        writer.run("commit").await;
        let committed = position(&*store).await;

        assert_eq!(open, [listed, listed]);
        assert!(committed > listed);
        assert_eq!(settled(&*store, &fresh, 0).await, committed);
    }

    #[tokio::test]
    async fn somebody_elses_long_transaction_keeps_nothing_from_being_kept() {
        let _alone = STAYS_OPEN.lock().await;
        let fresh = Fresh::migrated(Dialect::Postgres, KEYS).await;
        let (store, busy) = (fresh.store().await, fresh.outside().await);
        busy.run("create table elsewhere (n integer); begin; insert into elsewhere values (1)").await;
        busy.run("begin; insert into elsewhere values (1)").await;

        store.write_users(vec![learner(KEYS, 1, None)]).await.unwrap();
        let known = settled(&*store, &fresh, 1).await;

        assert_eq!([position(&*store).await, position(&*store).await], [known, known]);
    }

    #[tokio::test]
    async fn truncated_course_progress_raises_it() {
        let fresh = Fresh::migrated(Dialect::Postgres, KEYS).await;
        let (store, outside) = (fresh.store().await, fresh.outside().await);
        let known = position(&*store).await;

        outside.run("truncate course_progress").await;

        assert!(position(&*store).await > known);
    }
}
