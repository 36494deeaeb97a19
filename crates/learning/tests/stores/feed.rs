//! What those who keep answers are told of changes.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::time::Duration;

use tierkeep_db::Dialect;
use tierkeep_learning::calendar::DayStart;
use tierkeep_learning::key::{KeyType, UserId};
use tierkeep_learning::store::{Changes, OpenMode, OpenOptions, Store, migrate, rederive};

use super::fresh::{Fresh, Outside, options};
use super::outside;
use super::rows::{ALL_DAYS, day, learner, progress, session, user};

on_both!(
    every_change_of_what_answers_rest_on_is_told,
    a_change_of_one_learner_is_told_of_no_other,
    a_bulk_write_names_its_learners,
    reading_folding_and_settling_are_no_changes,
    nodes_are_told_the_same,
    a_reader_is_told_nothing,
    with_a_trigger_missing_answers_come_from_rows,
    new_days_change_everybody,
    changes_that_everybody_was_told_go,
    too_many_changes_become_one,
);

const KEYS: KeyType = KeyType::Int;

async fn told(store: &dyn Store, after: u64) -> Changes {
    store.changes(after).await.unwrap().expect("own tables")
}

/// The position once everything that was committed before is told.
async fn position(store: &dyn Store) -> u64 {
    told(store, 0).await.position
}

fn learners(changes: &Changes) -> Vec<UserId> {
    let mut learners: Vec<UserId> = changes.learners.iter().map(|(user, _)| *user).collect();
    learners.sort_unstable();
    learners.dedup();
    learners
}

async fn every_change_of_what_answers_rest_on_is_told(dialect: Dialect) {
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
        let now = told(&*store, known).await;
        assert!(now.position > known, "{change}");
        assert_eq!((learners(&now), now.everybody), (vec![user(KEYS, 1)], None), "{change}");
        known = now.position;
    }
    store.write_progress(vec![progress(KEYS, 1, 1, 1)]).await.unwrap();
    assert!(told(&*store, known).await.position > known, "our own writes are changes, too");
}

async fn a_change_of_one_learner_is_told_of_no_other(dialect: Dialect) {
    let fresh = Fresh::migrated(dialect, KEYS).await;
    let (store, outside) = (fresh.store().await, fresh.outside().await);
    store.write_users((1..=3).map(|n| learner(KEYS, n, None)).collect()).await.unwrap();
    store.write_sessions((1..=3).map(|n| session(KEYS, n, n, "2025-06-27T08:00:00Z", 30)).collect()).await.unwrap();
    let known = position(&*store).await;

    outside.run(&outside::set_minutes(user(KEYS, 2), 31)).await;

    assert_eq!(learners(&told(&*store, known).await), [user(KEYS, 2)]);
    // a row that goes from one learner to another touches both
    outside.run("update study_sessions set user_id = 3 where id = 1").await;
    assert_eq!(learners(&told(&*store, known).await), [user(KEYS, 1), user(KEYS, 2), user(KEYS, 3)]);
}

/// As an import does it: more rows than triggers are run for on SQLite, more learners than they name on PostgreSQL.
async fn a_bulk_write_names_its_learners(dialect: Dialect) {
    const MANY: u32 = 600;
    let fresh = Fresh::migrated(dialect, KEYS).await;
    let store = fresh.store().await;
    store.write_users((1..=MANY).map(|n| learner(KEYS, n, None)).collect()).await.unwrap();
    let known = told(&*store, 0).await;

    let rows = (1..=MANY).map(|n| session(KEYS, n, n, "2025-06-27T08:00:00Z", 30)).collect();
    store.write_sessions(rows).await.unwrap();

    let now = told(&*store, known.position).await;
    assert_eq!((learners(&now).len(), now.everybody, now.epoch), (600, None, known.epoch));
    assert_eq!(now.broken, Vec::<String>::new());
}

async fn reading_folding_and_settling_are_no_changes(dialect: Dialect) {
    let fresh = Fresh::migrated(dialect, KEYS).await;
    let store = fresh.store().await;
    store.write_users((1..=3).map(|n| learner(KEYS, n, None)).collect()).await.unwrap();
    store.write_sessions(vec![session(KEYS, 1, 1, "2025-06-27T08:00:00Z", 30)]).await.unwrap();
    let known = told(&*store, 0).await;
    assert!(known.unfolded);

    for _ in 0..3 {
        store.learner_days(&[user(KEYS, 1)], ALL_DAYS).await.unwrap();
        store.learner_courses(&[user(KEYS, 2)]).await.unwrap();
        store.settle().await.unwrap();
        store.global_totals(day("2025-06-27")).await.unwrap();
    }

    let now = told(&*store, known.position).await;
    assert_eq!((now.position, now.unfolded), (known.position, false));
    assert_eq!(told(&*store, 0).await.learners, known.learners, "what was folded is told all the same");
}

async fn nodes_are_told_the_same(dialect: Dialect) {
    let fresh = Fresh::migrated(dialect, KEYS).await;
    let (one, other) = (fresh.store().await, fresh.store().await);
    one.write_users(vec![learner(KEYS, 1, None)]).await.unwrap();

    let left = told(&*one, 0).await;
    let later = fresh.store().await;

    assert_eq!(told(&*other, 0).await, left);
    assert_eq!(told(&*later, 0).await, left, "a node that starts finds what is known already");
    assert_eq!(one.installation().await.unwrap(), later.installation().await.unwrap());
    let empty = Fresh::empty(dialect).await;
    let elsewhere = empty.open(OpenMode::Create { ids: Some(KEYS) }).await.unwrap();
    assert_ne!(one.installation().await.unwrap(), elsewhere.installation().await.unwrap());
}

async fn a_reader_is_told_nothing(dialect: Dialect) {
    let fresh = Fresh::migrated(dialect, KEYS).await;

    assert_eq!(fresh.reader().await.changes(0).await.unwrap(), None);
}

/// A trigger that somebody removed: writes are not noted, and yet no answer is wrong.
async fn with_a_trigger_missing_answers_come_from_rows(dialect: Dialect) {
    let fresh = Fresh::migrated(dialect, KEYS).await;
    let (store, outside) = (fresh.store().await, fresh.outside().await);
    store.write_users(vec![learner(KEYS, 1, None)]).await.unwrap();
    store.write_sessions(vec![session(KEYS, 1, 1, "2025-06-27T08:00:00Z", 30)]).await.unwrap();
    while store.settle().await.unwrap().more {}
    let minutes = async |store: &dyn Store| {
        let answer = store.learner_days(&[user(KEYS, 1)], ALL_DAYS).await.unwrap().remove(0).unwrap();
        let totals = store.global_totals(day("2025-06-27")).await.unwrap().totals;
        let minutes: u64 = answer.days.values().map(|day| day.minutes).sum();
        assert_eq!(minutes, totals.minutes);
        minutes
    };
    let known = position(&*store).await;
    outside.run(&remove_update_trigger(dialect, &outside).await).await;
    outside.run(&outside::set_minutes(user(KEYS, 1), 50)).await;

    assert_eq!(minutes(&*fresh.reader().await).await, 50, "who only reads never trusts what is stored");
    // before anybody has looked
    assert_eq!(minutes(&*store).await, 30, "the test shows nothing if what is stored is not old");
    let now = told(&*store, known).await;

    assert!(!now.broken.is_empty());
    assert_eq!(minutes(&*store).await, 50);
    let later = fresh.store().await;
    assert_eq!(minutes(&*later).await, 50, "a store looks when it is opened");
    // installing again puts it right
    migrate(&fresh.url, &options(OpenMode::Create { ids: Some(KEYS) })).await.unwrap();
    let repaired = told(&*store, known).await;
    assert_eq!((repaired.broken, repaired.everybody.is_some()), (Vec::new(), true));
    assert_eq!(minutes(&*store).await, 50);
}

async fn remove_update_trigger(dialect: Dialect, outside: &Outside) -> String {
    match dialect {
        Dialect::Postgres => "drop trigger tierkeep_update on study_sessions".to_owned(),
        Dialect::Sqlite => {
            let triggers = "select name from sqlite_schema where type = 'trigger' and tbl_name = 'study_sessions' \
                            and sql like '%after update%'";
            let name = outside.texts(triggers).await.remove(0);
            format!("drop trigger {name}")
        }
    }
}

async fn new_days_change_everybody(dialect: Dialect) {
    let fresh = Fresh::migrated(dialect, KEYS).await;
    let store = fresh.store().await;
    let known = position(&*store).await;

    let moved = OpenOptions { day_start: DayStart::new(4).unwrap(), ..options(OpenMode::Existing) };
    rederive(&fresh.url, &moved).await.unwrap();

    let now = told(&*store, known).await;
    assert!(now.everybody.is_some_and(|position| position > known));
}

async fn changes_that_everybody_was_told_go(dialect: Dialect) {
    let fresh = Fresh::migrated(dialect, KEYS).await;
    let store = fresh.store().await;
    store.write_users((1..=50).map(|n| learner(KEYS, n, None)).collect()).await.unwrap();
    let known = told(&*store, 0).await;
    let gigabyte = 1 << 30;
    assert_eq!(store.prune_changes(Duration::ZERO, 0, gigabyte).await.unwrap(), 0, "nothing is folded yet");
    while store.settle().await.unwrap().more {}

    assert_eq!(store.prune_changes(Duration::from_secs(3600), 1000, gigabyte).await.unwrap(), 0);
    while store.prune_changes(Duration::from_secs(3600), 10, gigabyte).await.unwrap() > 0 {}

    let now = told(&*store, known.position).await;
    assert!(now.floor > known.floor && now.floor <= known.position);
    assert_eq!((now.position, now.everybody), (known.position, None));
    assert_eq!(told(&*store, now.floor).await.learners.len(), 10);
}

async fn too_many_changes_become_one(dialect: Dialect) {
    let fresh = Fresh::migrated(dialect, KEYS).await;
    let (store, outside) = (fresh.store().await, fresh.outside().await);
    store.write_users((1..=500).map(|n| learner(KEYS, n, None)).collect()).await.unwrap();
    let known = position(&*store).await;

    store.prune_changes(Duration::from_secs(3600), 1_000_000, 1).await.unwrap();

    assert_eq!(outside.count("tierkeep_outbox where not settled").await, 1);
    let now = told(&*store, known).await;
    assert!(now.everybody.is_some_and(|position| position > known));
    let answers = store.learner_days(&[user(KEYS, 77)], ALL_DAYS).await.unwrap();
    assert!(answers[0].is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn answers_kept_by_the_position_of_sqlite_are_current() {
    Box::pin(answers_that_were_kept_are_current(Dialect::Sqlite)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn answers_kept_by_the_position_of_postgres_are_current() {
    Box::pin(answers_that_were_kept_are_current(Dialect::Postgres)).await;
}

/// Writers at random, in transactions that overlap, and readers that keep an answer until its learner is told of: what
/// was acknowledged before they asked is in it.
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
                    // the others write, and readers ask, while this one has an id in the list and has not committed
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
            let (mut known, mut required, mut kept, mut reads) = (0, 0, (0, 0), 0);
            while kept.1 < u64::from(WRITERS * WRITES) {
                let before = acknowledged.load(SeqCst);
                let now = told(&*store, known).await;
                required = now.learners.last().map_or(required, |(_, position)| *position);
                known = now.position;
                if kept.0 < required || reads == 0 {
                    let answer = store.learner_days(&[user(KEYS, 1)], ALL_DAYS).await.unwrap().remove(0).unwrap();
                    kept = (known, answer.days.values().map(|day| day.minutes).sum());
                    reads += 1;
                }
                assert!(kept.1 >= before, "{} of {before} at {now:?}", kept.1);
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
