//! What is of no use goes, what counts stays, and what waits is told.

use std::sync::Arc;

use tierkeep_db::Dialect;
use tierkeep_learning::key::KeyType;
use tierkeep_learning::store::{Queues, Store, Swept};

use super::fresh::{Fresh, Outside};
use super::rows::{at, day, learner, session, user};

on_both!(
    sweep_leaves_what_counts,
    sweep_finds_what_is_left_of_nobody,
    sweep_is_bounded,
    old_nights_go_when_a_day_is_given,
    leftovers_of_answers_and_old_snapshots_go,
    snapshots_are_kept_by_name,
    queues_tell_what_waits,
    sizes_are_told_of_every_table,
    reader_finds_nothing,
);

const KEYS: KeyType = KeyType::Int;

/// Three learners with a session each, folded, and their nightly rows.
async fn filled(dialect: Dialect) -> (Fresh, Arc<dyn Store>, Outside) {
    let fresh = Fresh::migrated(dialect, KEYS).await;
    let store = fresh.store().await;
    for n in 1..=3 {
        store.write_users(vec![learner(KEYS, n, None)]).await.unwrap();
        store.write_sessions(vec![session(KEYS, n, n, "2025-06-10T12:00:00Z", 30)]).await.unwrap();
    }
    while store.settle().await.unwrap().more {}
    store.update_analytics(at("2025-06-12T03:00:00Z"), 7, None, 10, None).await.unwrap();
    let outside = fresh.outside().await;
    (fresh, store, outside)
}

/// Whether everything stored is what the rows say, the global sums included.
async fn is_right(store: &dyn Store) -> bool {
    let mut differences = store.verify(&[1, 2, 3, 4].map(|n| user(KEYS, n))).await.unwrap().differences;
    differences.extend(store.verify_totals().await.unwrap());
    differences.is_empty()
}

async fn sweep_leaves_what_counts(dialect: Dialect) {
    let (_fresh, store, outside) = filled(dialect).await;
    // one whose leaving is not folded yet
    outside.run("delete from users where id = 3").await;
    let months = outside.count("tierkeep_month").await;

    let swept = store.sweep_summaries(None, 100).await.unwrap();

    assert_eq!(swept, Swept::default());
    assert_eq!(outside.count("tierkeep_month").await, months);
    assert_eq!(outside.count("tierkeep_learning_analytics").await, 6);
    while store.settle().await.unwrap().more {}
    assert!(is_right(&*store).await);
    assert_eq!(outside.count("tierkeep_learning_analytics").await, 4, "the fold took them along");
}

async fn sweep_finds_what_is_left_of_nobody(dialect: Dialect) {
    let (_fresh, store, outside) = filled(dialect).await;
    outside.run("delete from users where id = 3").await;
    // as if nobody had noted it
    outside.run("delete from tierkeep_outbox where not settled; insert into tierkeep_learning_analytics select 9, date, iso_year, iso_week, total_sessions, total_duration, avg_effectiveness, avg_focus_score, productive_sessions, productivity_rate, most_productive_hour, preferred_environment, preferred_device, preferred_subject, improvement_trend, current_streak, time_zone, computed_at from tierkeep_learning_analytics where user_id = 1").await;
    assert!(!is_right(&*store).await);

    let swept = store.sweep_summaries(None, 100).await.unwrap();

    assert_eq!((swept.learners, swept.nightly_rows, swept.more), (1, 2, false));
    assert_eq!(outside.count("tierkeep_learner").await, 2);
    assert_eq!(outside.count("tierkeep_month").await, 2);
    assert_eq!(outside.count("tierkeep_learning_analytics").await, 4);
    assert!(is_right(&*store).await, "the global sums, too");
}

async fn sweep_is_bounded(dialect: Dialect) {
    let (_fresh, store, outside) = filled(dialect).await;
    outside.run("delete from users").await;
    outside.run("delete from tierkeep_outbox where not settled").await;

    let swept = store.sweep_summaries(None, 2).await.unwrap();

    assert_eq!((swept.learners, swept.more), (2, true));
    let swept = store.sweep_summaries(None, 2).await.unwrap();
    assert_eq!((swept.learners, swept.more), (1, false));
}

async fn old_nights_go_when_a_day_is_given(dialect: Dialect) {
    let (_fresh, store, outside) = filled(dialect).await;

    let swept = store.sweep_summaries(Some(day("2025-06-11")), 100).await.unwrap();

    assert_eq!(swept, Swept { nightly_rows: 3, ..Swept::default() });
    let left = outside.texts("select distinct cast(date as text) from tierkeep_learning_analytics").await;
    assert_eq!(left, ["2025-06-11"]);
}

async fn leftovers_of_answers_and_old_snapshots_go(dialect: Dialect) {
    let (_fresh, store, outside) = filled(dialect).await;
    outside.run("insert into tierkeep_idempotency_learner (user_id, key) values (1, 'gone')").await;
    store.save_snapshot("new", b"x").await.unwrap();
    store.save_snapshot("old", b"x").await.unwrap();
    let age = match dialect {
        Dialect::Sqlite => "update tierkeep_snapshot set saved_at = saved_at - 91 * 86400000000 where name = 'old'",
        Dialect::Postgres => "update tierkeep_snapshot set saved_at = saved_at - interval '91 days' where name = 'old'",
    };
    outside.run(age).await;

    let swept = store.sweep_summaries(None, 100).await.unwrap();

    assert_eq!((swept.answers, swept.snapshots), (1, 1));
    assert_eq!(outside.texts("select name from tierkeep_snapshot").await, ["new"]);
}

async fn snapshots_are_kept_by_name(dialect: Dialect) {
    let (_fresh, store, _outside) = filled(dialect).await;

    store.save_snapshot("hot", &[0, 1, 255]).await.unwrap();
    store.save_snapshot("hot", &[7]).await.unwrap();

    assert_eq!(store.snapshot("hot").await.unwrap(), Some(vec![7]));
    assert_eq!(store.snapshot("cold").await.unwrap(), None);
}

async fn queues_tell_what_waits(dialect: Dialect) {
    let (_fresh, store, _outside) = filled(dialect).await;
    let calm = store.queues().await.unwrap();
    assert_eq!((calm.dirty_learners, calm.dirty_days, calm.oldest_change_age), (0, 0, None));
    assert_eq!(calm.analytics_due, 3, "they ask for a row tomorrow");

    for (n, of, start) in
        [(11, 1, "2025-06-01T08:00:00Z"), (12, 1, "2025-06-02T08:00:00Z"), (13, 2, "2025-06-01T08:00:00Z")]
    {
        store.write_sessions(vec![session(KEYS, n, of, start, 5)]).await.unwrap();
    }

    let queues = store.queues().await.unwrap();
    assert_eq!((queues.dirty_learners, queues.dirty_days), (2, 3));
    assert!(queues.outbox_rows >= 3 && queues.oldest_change_age.unwrap().as_secs() < 600, "{queues:?}");
}

async fn sizes_are_told_of_every_table(dialect: Dialect) {
    let (_fresh, store, _outside) = filled(dialect).await;

    let sizes = store.table_sizes().await.unwrap();

    for name in ["users", "study_sessions", "study_sessions_archive", "tierkeep_learning_analytics", "tierkeep_token"] {
        let size = sizes.iter().find(|size| size.table == name).unwrap_or_else(|| panic!("{name}: {sizes:?}"));
        assert!(size.bytes > 0, "{size:?}");
    }
    assert!(sizes.iter().all(|size| !size.table.contains('"')));
}

async fn reader_finds_nothing(dialect: Dialect) {
    let (fresh, store, _outside) = filled(dialect).await;
    store.save_snapshot("hot", b"x").await.unwrap();
    let reader = fresh.reader().await;

    reader.save_snapshot("hot", b"y").await.unwrap();

    assert_eq!(reader.snapshot("hot").await.unwrap(), None);
    assert_eq!(store.snapshot("hot").await.unwrap(), Some(b"x".to_vec()));
    assert_eq!(reader.queues().await.unwrap(), Queues::default());
    assert_eq!(reader.sweep_summaries(None, 10).await.unwrap(), Swept::default());
    assert!(reader.table_sizes().await.unwrap().is_empty());
}
