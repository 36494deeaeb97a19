//! Clean-up of what is invalid or old: exact, undone by nothing, and invisible to the numbers.

use std::sync::Arc;

use jiff::Timestamp;
use tierkeep_db::Dialect;
use tierkeep_learning::key::{KeyType, UserId};
use tierkeep_learning::retention::{ARCHIVE, Cutoffs, DELETE, INVALID, PHASES};
use tierkeep_learning::statistic::{Days, GlobalTotals};
use tierkeep_learning::store::{Cleanup, Keep, Store};
use tierkeep_retention::{Ended, Order, Outcome, Plan, PlanLimits};

use super::fresh::{Fresh, Outside};
use super::outside;
use super::rows::{ALL_DAYS, at, day, key, key_literal, learner, progress, session, user};

on_both_with_both_keys!(plan_is_what_the_run_does_and_no_number_changes, the_backlog_is_the_oldest_session_that_waits,);

const NOW: &str = "2026-06-01T12:00:00Z";
pub(crate) const LIMITS: PlanLimits = PlanLimits { max_fraction: 1.0, batch_rows: 1000 };

pub(crate) fn cleanup(phases: &[&'static str]) -> Cleanup {
    let cutoffs = Cutoffs {
        now: at(NOW),
        archive: at("2025-06-01T12:00:00Z"),
        delete: at("2023-06-01T12:00:00Z"),
        purge: at("2026-03-01T12:00:00Z"),
    };
    Cleanup { phases: phases.to_vec(), cutoffs, keep: Keep::Summaries }
}

pub(crate) fn order() -> Order {
    let now: Timestamp = at(NOW);
    Order { max_fraction: 1.0, ..Order::new("cleanup", Arc::new(move || now)) }
}

pub(crate) async fn plan(store: &Arc<dyn Store>, phases: &[&'static str]) -> Plan {
    Arc::clone(store).plan_cleanup(&cleanup(phases), LIMITS, false).await.unwrap()
}

pub(crate) async fn run(store: &Arc<dyn Store>, phases: &[&'static str]) -> Outcome {
    let outcome = Arc::clone(store).clean_up(&cleanup(phases), &order()).await.unwrap();
    assert_eq!((outcome.ended, outcome.reason.as_deref()), (Ended::Done, None));
    outcome
}

/// Learners 1 and 2 who study, 3 who has not been seen for years, and faults of every kind.
pub(crate) async fn filled(dialect: Dialect, keys: KeyType) -> (Fresh, Arc<dyn Store>, Outside) {
    let fresh = Fresh::migrated(dialect, keys).await;
    let store = fresh.store().await;
    let mut gone = learner(keys, 3, None);
    (gone.is_active, gone.last_login) = (false, Some(at("2022-01-01T00:00:00Z")));
    store.write_users(vec![learner(keys, 1, Some("Asia/Shanghai")), learner(keys, 2, None), gone]).await.unwrap();
    let newer = |n, of, content, updated: &str| {
        let mut row = progress(keys, n, of, content);
        row.updated_at = at(updated);
        row
    };
    store
        .write_progress(vec![
            newer(1, 1, 1, "2026-01-01T00:00:00Z"),
            newer(2, 1, 1, "2026-02-01T00:00:00Z"),
            newer(3, 1, 1, "2026-02-01T00:00:00Z"),
            newer(4, 3, 1, "2022-01-01T00:00:00Z"),
        ])
        .await
        .unwrap();
    let mut rows = Vec::new();
    for n in 1..=20 {
        rows.push(session(keys, n, 1 + n % 2, &format!("2026-05-{n:02}T08:00:00Z"), 30));
        rows.push(session(keys, 100 + n, 1 + n % 2, &format!("2024-05-{n:02}T08:00:00Z"), 40));
        rows.push(session(keys, 200 + n, 1 + n % 2, &format!("2023-05-{n:02}T08:00:00Z"), 50));
    }
    for n in 1..=3 {
        rows.push(session(keys, 300 + n, 3, &format!("2022-05-{n:02}T08:00:00Z"), 60));
    }
    rows[0].course_progress_id = Some(tierkeep_learning::key::CourseProgressId::new(key(keys, 1)));
    let mut open = session(keys, 310, 3, "2022-05-05T08:00:00Z", 5);
    open.is_active = true;
    rows.push(open);
    let mut bad = session(keys, 401, 1, "2026-05-01T08:00:00Z", -5);
    bad.notes = "it's \"quoted\"\n\u{1f600}".to_owned();
    rows.push(bad);
    let mut bad = session(keys, 402, 1, "2024-05-01T08:00:00Z", 5);
    bad.end_time = Some(at("2024-05-01T07:00:00Z"));
    rows.push(bad);
    let mut bad = session(keys, 403, 1, "2026-05-01T08:00:00Z", 5);
    bad.effectiveness_rating = Some(6);
    rows.push(bad);
    rows.push(session(keys, 404, 99, "2026-05-01T08:00:00Z", 5));
    store.write_sessions(rows).await.unwrap();
    while store.settle().await.unwrap().more {}
    let outside = fresh.outside().await;
    // an archived row whose id is live again
    let live = session(keys, 1, 2, "2024-01-01T08:00:00Z", 5);
    outside.run(&outside::insert(dialect, "study_sessions_archive", &live)).await;
    (fresh, store, outside)
}

#[derive(Debug, PartialEq)]
pub(crate) struct Numbers {
    pub(crate) days: Vec<Option<Days>>,
    courses: Vec<usize>,
    pub(crate) totals: GlobalTotals,
}

pub(crate) async fn numbers(store: &dyn Store, users: &[UserId]) -> Numbers {
    let days = store.learner_days(users, ALL_DAYS).await.unwrap();
    let mut courses = Vec::new();
    for answer in store.learner_courses(users).await.unwrap() {
        courses.push(answer.map_or(0, |answer| {
            tierkeep_learning::statistic::course_summary(&answer.rows).total_courses.try_into().unwrap()
        }));
    }
    Numbers {
        days: days.into_iter().map(|answer| answer.map(|answer| answer.days)).collect(),
        courses,
        totals: store.global_totals(day("2026-06-01")).await.unwrap().totals,
    }
}

async fn plan_is_what_the_run_does_and_no_number_changes(dialect: Dialect, keys: KeyType) {
    let (fresh, store, outside) = filled(dialect, keys).await;
    let users = [user(keys, 1), user(keys, 2), user(keys, 3)];
    let before = numbers(&*store, &users).await;
    let reader = fresh.reader().await;

    let planned = plan(&reader, &PHASES).await;
    let outcome = run(&store, &[INVALID, ARCHIVE]).await;

    assert_eq!(numbers(&*store, &users).await, before, "invalid rows are gone, old ones archived");
    let deleted = run(&store, &[DELETE]).await;
    let after = numbers(&*store, &users).await;
    assert_eq!((&after.days[..2], &after.courses[..2]), (&before.days[..2], &before.courses[..2]));
    assert_eq!((after.days[2].as_ref().map(Days::len), after.courses[2]), (Some(0), 0));

    let counts = |name: &str| planned.rows(name);
    let expected = [
        ("negative_duration", 1),
        ("end_before_start", 1),
        ("bad_rating", 1),
        ("bad_focus", 0),
        ("duplicate_progress", 2),
        ("orphan", 1),
        ("superseded", 1),
        ("archive", 43),
        ("archived_sessions", 23),
        ("inactive_users", 1),
    ];
    for (name, rows) in expected {
        assert_eq!(counts(name), rows, "planned {name}");
        assert_eq!(outcome.report.rows(name) + deleted.report.rows(name), rows, "done {name}");
    }
    let dependants = &planned.rule("inactive_users").unwrap().dependants;
    assert_eq!(dependants.iter().map(|(_, rows)| rows).sum::<u64>(), 2, "{dependants:?}");
    assert_eq!(deleted.report.dependants_of("inactive_users", "study_sessions"), 1);
    assert_eq!(deleted.report.dependants_of("inactive_users", "course_progress"), 1);
    assert_eq!(outcome.report.repointed.get("duplicate_progress"), Some(&1));
    let turned =
        format!("select count(*) from study_sessions where course_progress_id = {}", key_literal(key(keys, 3)));
    assert_eq!(outside.number(&turned).await, 1);
    assert_eq!(outside.count("study_sessions_archive").await, 20);
    assert_eq!(outside.count("tierkeep_quarantine").await, 7);

    assert_eq!(plan(&store, &PHASES).await.rules.iter().map(|rule| rule.rows).sum::<u64>(), 0);
    assert_eq!(run(&store, &PHASES).await.report.batches, 0);
    assert_eq!(store.audit_runs().await.unwrap(), []);
    let known = store.known_learners(None, 100).await.unwrap();
    assert_eq!(store.verify(&known).await.unwrap().differences, []);
    assert_eq!(store.verify_totals().await.unwrap(), []);
}

async fn the_backlog_is_the_oldest_session_that_waits(dialect: Dialect, keys: KeyType) {
    let (fresh, store, _outside) = filled(dialect, keys).await;
    let (cutoffs, reader) = (cleanup(&[]).cutoffs, fresh.reader().await);
    let waits = |cutoff: &str| {
        let (reader, cutoff) = (Arc::clone(&reader), at(cutoff));
        async move { reader.retention_backlog(cutoff).await.unwrap() }
    };

    // the open session of 2022-05-05 stays
    let oldest = reader.retention_backlog(cutoffs.archive).await.unwrap();
    assert_eq!(oldest, Some(at("2022-05-01T08:00:00Z")));
    assert_eq!(waits("2022-05-01T08:00:00Z").await, None, "what begins at the cutoff is not older");
    run(&store, &[INVALID, ARCHIVE]).await;

    assert_eq!(reader.retention_backlog(cutoffs.archive).await.unwrap(), None, "what is open does not wait");
    assert_eq!(waits("2026-05-03T08:00:00Z").await, Some(at("2026-05-01T08:00:00Z")));
    let now = reader.database_now().await.unwrap();
    assert!(now > at("2026-01-01T00:00:00Z") && store.database_now().await.unwrap() >= now);
}
