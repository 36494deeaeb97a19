//! What a plan is objected to for: exactly the share is allowed, a row more is not.

use std::sync::Arc;

use tierkeep_db::Dialect;
use tierkeep_learning::key::KeyType;
use tierkeep_learning::retention::{ARCHIVE, DELETE, INVALID, PURGE};
use tierkeep_learning::store::{Cleanup, Store};
use tierkeep_retention::{Ended, Order, PlanLimits};

use super::super::fresh::{Fresh, Outside};
use super::super::outside;
use super::super::retention::{cleanup, order};
use super::super::rows::{at, instant_literal, learner, progress, session};
use super::clean;

on_both!(
    share_of_live_rows_that_go_into_quarantine_is_limited,
    share_of_archived_rows_that_are_deleted_counts_those_that_arrive,
    share_of_learners_who_lose_their_data_is_limited,
    share_of_course_progress_is_counted_by_itself,
    quarantine_is_emptied_whatever_the_share,
);

const KEYS: KeyType = KeyType::Int;

async fn empty(dialect: Dialect) -> (Arc<dyn Store>, Outside, Fresh) {
    let fresh = Fresh::migrated(dialect, KEYS).await;
    let (store, outside) = (fresh.store().await, fresh.outside().await);
    store.write_users(vec![learner(KEYS, 1, None)]).await.unwrap();
    (store, outside, fresh)
}

/// Plans and runs with the limit of a fifth; whether that was refused.
async fn is_refused(store: &Arc<dyn Store>, cleanup: &Cleanup, what: &str) -> bool {
    let limits = PlanLimits { max_fraction: 0.2, batch_rows: 100 };
    let plan = Arc::clone(store).plan_cleanup(cleanup, limits, false).await.unwrap();
    let order = Order { max_fraction: 0.2, ..order() };
    let outcome = clean(store, cleanup, &order).await;
    assert_eq!(outcome.plan.objections, plan.objections);
    let refused = outcome.ended == Ended::Refused;
    assert_eq!(refused, !plan.objections.is_empty(), "{:?}", plan.objections);
    if refused {
        assert_eq!(outcome.report.batches, 0);
        assert!(outcome.reason.unwrap().contains(what), "{:?}", plan.objections);
        let forced = clean(store, cleanup, &Order { is_forced: true, ..order }).await;
        assert_eq!((forced.ended, forced.reason), (Ended::Done, None));
        assert_eq!(forced.plan.objections, plan.objections, "what speaks against it is told all the same");
        let done: u64 = forced.report.rules.values().sum();
        assert_eq!(done, plan.rules.iter().map(|rule| rule.rows).sum::<u64>());
    } else {
        assert_eq!((outcome.ended, outcome.reason), (Ended::Done, None));
    }
    refused
}

async fn share_of_live_rows_that_go_into_quarantine_is_limited(dialect: Dialect) {
    for (invalid, all, refused) in
        [(2, 10, false), (3, 10, true), (1, 1, true), (1, 5, false), (1, 4, true), (0, 3, false)]
    {
        let (store, outside, _fresh) = empty(dialect).await;
        let minutes = |n| if n <= invalid { -1 } else { 5 };
        let rows = (1..=all).map(|n| session(KEYS, n, 1, "2026-05-01T08:00:00Z", minutes(n))).collect();
        store.write_sessions(rows).await.unwrap();

        let is_refused = is_refused(&store, &cleanup(&[INVALID]), "quarantine").await;

        assert_eq!(is_refused, refused, "{invalid} of {all}");
        assert_eq!(outside.count("tierkeep_quarantine").await, i64::from(invalid));
    }
}

async fn share_of_archived_rows_that_are_deleted_counts_those_that_arrive(dialect: Dialect) {
    for (old, arriving, archived, refused) in [(2, 2, 8, false), (3, 2, 8, true), (2, 0, 10, false), (1, 1, 0, true)] {
        let (store, outside, _fresh) = empty(dialect).await;
        let start = |n| if n <= old { "2022-05-01T08:00:00Z" } else { "2024-05-01T08:00:00Z" };
        let row = |n| session(KEYS, n, 1, start(n), 5);
        // of those that arrive, the first are deleted at once
        store.write_sessions((1..=arriving).map(row).collect()).await.unwrap();
        for n in arriving + 1..=arriving + archived {
            outside.run(&outside::insert(dialect, "study_sessions_archive", &row(n))).await;
        }

        let is_refused = is_refused(&store, &cleanup(&[ARCHIVE, DELETE]), "delete").await;

        assert_eq!(is_refused, refused, "{old} of {arriving} and {archived}");
        assert_eq!(outside.count("study_sessions_archive").await, i64::from(arriving + archived - old));
    }
}

async fn share_of_learners_who_lose_their_data_is_limited(dialect: Dialect) {
    for (inactive, all, refused) in [(1, 5, false), (2, 9, true), (2, 10, false)] {
        let (store, outside, _fresh) = empty(dialect).await;
        let mut learners = Vec::new();
        for n in 1..=all {
            let mut row = learner(KEYS, n, None);
            (row.is_active, row.created_at) = (n > inactive, at("2020-01-01T00:00:00Z"));
            learners.push(row);
        }
        store.write_users(learners).await.unwrap();
        store.write_progress((1..=all).map(|n| progress(KEYS, n, n, 1)).collect()).await.unwrap();

        let is_refused = is_refused(&store, &cleanup(&[DELETE]), "users").await;

        assert_eq!(is_refused, refused, "{inactive} of {all}");
        assert_eq!(outside.count("course_progress").await, i64::from(all - inactive));
        assert_eq!(outside.count("users").await, i64::from(all));
    }
}

async fn share_of_course_progress_is_counted_by_itself(dialect: Dialect) {
    let (store, _outside, _fresh) = empty(dialect).await;
    let rows = (1..=100).map(|n| session(KEYS, n, 1, "2026-05-01T08:00:00Z", 5)).collect();
    store.write_sessions(rows).await.unwrap();
    // 2 of 4, which is little beside a hundred sessions
    store.write_progress((1..=4).map(|n| progress(KEYS, n, 1, 1 + n % 2)).collect()).await.unwrap();

    assert!(is_refused(&store, &cleanup(&[INVALID]), "course_progress").await);
}

async fn quarantine_is_emptied_whatever_the_share(dialect: Dialect) {
    let (store, outside, _fresh) = empty(dialect).await;
    let since = instant_literal(dialect, at("2025-01-01T00:00:00Z"));
    let row = format!(
        "insert into tierkeep_quarantine (run_id, kind, source, row_key, quarantined_at, content) \
         values (0, 'orphan', 'study_sessions', '0', {since}, '{{}}')"
    );
    for _ in 0..3 {
        outside.run(&row).await;
    }

    assert!(!is_refused(&store, &cleanup(&[PURGE]), "").await);
    assert_eq!(outside.count("tierkeep_quarantine").await, 0);
}
