//! Bringing back what a clean-up moved: column for column, as if it had never happened.

use std::sync::Arc;
use std::time::Duration;

use tierkeep_db::Dialect;
use tierkeep_learning::key::KeyType;
use tierkeep_learning::retention::{ARCHIVE, INVALID, PHASES};
use tierkeep_learning::store::Store;
use tierkeep_retention::{Ended, Observer, Order, RestoreOrder, RestoreReport, Restored, RunId, Scope};

use super::fresh::{Fresh, Outside};
use super::outside;
use super::retention::{cleanup, filled, numbers, order, plan, run};
use super::rows::{at, key, key_literal, learner, progress, session, user};

mod refused;
mod values;

on_both_with_both_keys!(
    a_run_is_undone_column_for_column_and_no_number_changes,
    restored_rows_are_left_alone_until_their_grace_is_over,
    references_point_back_wherever_they_are_if_they_still_name_the_survivor,
    a_learner_gets_everything_back_whatever_the_run,
    a_restore_that_was_stopped_goes_on,
    an_older_row_of_a_live_id_comes_back_beside_it,
);

const TABLES: [&str; 3] = ["course_progress", "study_sessions", "study_sessions_archive"];

pub(crate) fn of_run(run: RunId) -> RestoreOrder {
    RestoreOrder { scope: Scope::Run(run), grace: Duration::from_secs(30 * 86_400), order: order() }
}

/// All rows of a table with every byte, in an order.
pub(crate) async fn rows(outside: &Outside, dialect: Dialect, table: &str) -> Vec<String> {
    if dialect == Dialect::Postgres {
        return outside.texts(&format!("select t::text from {table} as t order by 1")).await;
    }
    let names =
        format!("select '\"' || replace(name, '\"', '\"\"') || '\"' from pragma_table_info('{table}') order by name");
    let columns = outside.texts(&names).await;
    let columns: Vec<String> = columns
        .iter()
        .map(|name| {
            format!("typeof({name}) || case typeof({name}) when 'real' then quote({name}) else hex({name}) end")
        })
        .collect();
    outside.texts(&format!("select {} from {table} order by 1", columns.join(" || ' ' || "))).await
}

/// The tables of rows, all of them.
pub(crate) async fn everything(outside: &Outside, dialect: Dialect) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    for table in TABLES {
        all.push(rows(outside, dialect, table).await);
    }
    all
}

/// Restores, after a dry run by somebody who may only read has said the same and changed nothing.
pub(crate) async fn restore(fresh: &Fresh, store: &Arc<dyn Store>, order: &RestoreOrder) -> RestoreReport {
    let outside = fresh.outside().await;
    let before = everything(&outside, fresh.dialect).await;
    let planned = fresh.reader().await.plan_restore(order).await.unwrap();
    assert_eq!(everything(&outside, fresh.dialect).await, before, "a dry run changes nothing");

    let restored = Arc::clone(store).restore(order).await.unwrap();

    assert_eq!((restored.ended, restored.reason.as_deref()), (Ended::Done, None));
    let done = RestoreReport { batches: 0, ..restored.report.clone() };
    assert_eq!(done, planned, "done as planned");
    assert_eq!(store.audit_runs().await.unwrap(), []);
    restored.report
}

async fn a_run_is_undone_column_for_column_and_no_number_changes(dialect: Dialect, keys: KeyType) {
    let (fresh, store, outside) = filled(dialect, keys).await;
    let users = [user(keys, 1), user(keys, 2), user(keys, 3)];
    let (before, counted) = (everything(&outside, dialect).await, numbers(&*store, &users).await);

    let cleaned = run(&store, &[INVALID, ARCHIVE]).await;
    assert_ne!(everything(&outside, dialect).await, before);
    let report = restore(&fresh, &store, &of_run(cleaned.run)).await;

    assert_eq!(everything(&outside, dialect).await, before);
    assert_eq!((report.restored(), report.repointed, report.stayed, report.left), (50, 1, 0, 0), "{report:?}");
    assert_eq!(numbers(&*store, &users).await, counted, "before the changes are folded");
    while store.settle().await.unwrap().more {}
    assert_eq!(numbers(&*store, &users).await, counted);
    for table in ["tierkeep_quarantine", "tierkeep_repointed"] {
        assert_eq!(outside.count(table).await, 0, "{table}");
    }
    let known = store.known_learners(None, 100).await.unwrap();
    assert_eq!(store.verify(&known).await.unwrap().differences, []);
    assert_eq!(store.verify_totals().await.unwrap(), []);

    let again = restore(&fresh, &store, &of_run(cleaned.run)).await;
    assert_eq!(again, RestoreReport::default(), "nothing is left to bring back");
    let listed: Vec<RunId> =
        store.retention_runs(None, 10).await.unwrap().into_iter().map(|entry| entry.run_id).collect();
    assert_eq!(listed, [cleaned.run], "restores are not listed");

    // what the comparison is worth: a restore that forgets one column of one row
    let rating = "update study_sessions set effectiveness_rating = null where effectiveness_rating = 6";
    outside.run(rating).await;
    assert_ne!(everything(&outside, dialect).await, before);
}

async fn restored_rows_are_left_alone_until_their_grace_is_over(dialect: Dialect, keys: KeyType) {
    let (fresh, store, outside) = filled(dialect, keys).await;
    let first = plan(&store, &PHASES).await;
    let cleaned = run(&store, &[INVALID, ARCHIVE]).await;
    restore(&fresh, &store, &of_run(cleaned.run)).await;
    let back = everything(&outside, dialect).await;

    let during = plan(&store, &PHASES).await;
    let idle = run(&store, &PHASES).await;

    assert_eq!(during.rules.iter().map(|rule| rule.rows).sum::<u64>(), 0, "{during:?}");
    assert_eq!(idle.report.batches, 0, "{:?}", idle.report);
    assert_eq!(everything(&outside, dialect).await, back);
    assert_eq!(outside.count("tierkeep_exempt").await, 50);

    let later = at("2026-07-01T12:00:01Z");
    let mut due = cleanup(&PHASES);
    due.cutoffs.now = later;
    let due_order = Order { max_fraction: 1.0, ..Order::new("cleanup", Arc::new(move || later)) };
    let outcome = Arc::clone(&store).clean_up(&due, &due_order).await.unwrap();

    assert_eq!((outcome.ended, outcome.reason.as_deref()), (Ended::Done, None));
    for rule in &first.rules {
        assert_eq!(outcome.report.rows(&rule.rule), rule.rows, "{}", rule.rule);
    }
    assert_eq!(outside.count("tierkeep_exempt").await, 0, "the next run forgets what is over");
}

async fn references_point_back_wherever_they_are_if_they_still_name_the_survivor(dialect: Dialect, keys: KeyType) {
    let fresh = Fresh::migrated(dialect, keys).await;
    let (store, outside) = (fresh.store().await, fresh.outside().await);
    store.write_users(vec![learner(keys, 1, None)]).await.unwrap();
    let mut newer = progress(keys, 2, 1, 1);
    newer.updated_at = at("2026-01-01T00:00:00Z");
    store.write_progress(vec![progress(keys, 1, 1, 1), newer, progress(keys, 3, 1, 2)]).await.unwrap();
    let names = |n: u32| Some(tierkeep_learning::key::CourseProgressId::new(key(keys, n)));
    let mut sessions = vec![
        session(keys, 11, 1, "2026-05-01T08:00:00Z", 30),
        session(keys, 12, 1, "2024-05-01T08:00:00Z", 30),
        session(keys, 13, 1, "2026-05-02T08:00:00Z", 30),
        session(keys, 14, 1, "2026-05-03T08:00:00Z", 30),
    ];
    sessions.iter_mut().for_each(|session| session.course_progress_id = names(1));
    sessions.push(session(keys, 15, 1, "2026-05-04T08:00:00Z", 30));
    sessions.last_mut().unwrap().course_progress_id = names(2);
    store.write_sessions(sessions).await.unwrap();

    let turned = run(&store, &[INVALID]).await;
    assert_eq!(turned.report.repointed.get("duplicate_progress"), Some(&4));
    // one is archived, one quarantined, and one given to another course by the platform
    let id = |n: u32| key_literal(key(keys, n));
    outside.run(&format!("update study_sessions set duration_minutes = -1 where id = {}", id(13))).await;
    outside.run(&format!("update study_sessions set course_progress_id = {} where id = {}", id(3), id(14))).await;
    let moved = run(&store, &[INVALID, ARCHIVE]).await;
    assert_eq!((moved.report.rows("negative_duration"), moved.report.rows("archive")), (1, 1));

    let report = restore(&fresh, &store, &of_run(turned.run)).await;

    assert_eq!((report.restored(), report.repointed, report.stayed), (1, 3, 0), "{report:?}");
    restore(&fresh, &store, &of_run(moved.run)).await;
    let named = [(11, 1), (12, 1), (13, 1), (14, 3), (15, 2)];
    assert_eq!(named_courses(&outside).await, named.map(|(n, of)| pair(keys, n, of)));
    assert_eq!(outside.count("tierkeep_repointed").await, 0);

    // what the comparison is worth: turning back without looking
    let blindly = format!("update study_sessions set course_progress_id = {} where id = {}", id(1), id(14));
    outside.run(&blindly).await;
    assert_ne!(named_courses(&outside).await, named.map(|(n, of)| pair(keys, n, of)));
}

fn pair(keys: KeyType, n: u32, of: u32) -> String {
    format!("{} {}", key(keys, n), key(keys, of))
}

async fn named_courses(outside: &Outside) -> Vec<String> {
    outside
        .texts("select cast(id as text) || ' ' || cast(course_progress_id as text) from study_sessions order by id")
        .await
}

async fn a_learner_gets_everything_back_whatever_the_run(dialect: Dialect, keys: KeyType) {
    let (fresh, store, outside) = filled(dialect, keys).await;
    let of = |table: &str| format!("select count(*) from {table} where user_id = {}", key_literal(key(keys, 1)));
    let mut before = Vec::new();
    for table in TABLES {
        before.push(outside.number(&of(table)).await);
    }
    let all = everything(&outside, dialect).await;
    let first = run(&store, &[INVALID]).await;
    let second = run(&store, &[ARCHIVE]).await;
    let learner = RestoreOrder { scope: Scope::Owner(key(keys, 1).to_string()), ..of_run(first.run) };

    let report = restore(&fresh, &store, &learner).await;

    assert_eq!(report.stayed, 0, "{report:?}");
    for (table, before) in TABLES.iter().zip(before) {
        assert_eq!(outside.number(&of(table)).await, before, "{table}");
    }
    let others = format!("select count(*) from study_sessions_archive where user_id <> {}", key_literal(key(keys, 1)));
    assert!(outside.number(&others).await > 0, "other learners' rows stay where they are");
    for run in [first.run, second.run] {
        restore(&fresh, &store, &of_run(run)).await;
    }
    assert_eq!(everything(&outside, dialect).await, all, "the rest comes back by the runs");
    let stranger = match keys {
        KeyType::Int => "00000000-0000-7000-8000-000000000001",
        KeyType::Uuid => "1",
    };
    let stranger = RestoreOrder { scope: Scope::Owner(stranger.to_owned()), ..learner };
    let refused = Arc::clone(&store).restore(&stranger).await.unwrap_err();
    assert!(refused.to_string().contains("is no id of a learner here"), "{refused}");
}

/// Stops after so many batches.
struct After(u32, std::sync::atomic::AtomicU32, Box<dyn Fn() + Send + Sync>);

impl Observer for After {
    fn moved(&self, _: &str, _: u64) {
        if self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1 >= self.0 {
            self.2();
        }
    }
}

async fn a_restore_that_was_stopped_goes_on(dialect: Dialect, keys: KeyType) {
    let (_fresh, store, outside) = filled(dialect, keys).await;
    let users = [user(keys, 1), user(keys, 2), user(keys, 3)];
    let (before, counted) = (everything(&outside, dialect).await, numbers(&*store, &users).await);
    let cleaned = run(&store, &[INVALID, ARCHIVE]).await;
    let small = tierkeep_retention::BatchSize::Fixed(std::num::NonZeroU32::new(7).unwrap());

    let mut stops = Vec::new();
    for _ in 0..20 {
        let mut order = of_run(cleaned.run);
        order.order.batch = small;
        let signal = order.order.stop.signal();
        let stop = Box::new(move || signal.cancel());
        order.order.observer = Arc::new(After(2, std::sync::atomic::AtomicU32::new(0), stop));
        let restored: Restored = Arc::clone(&store).restore(&order).await.unwrap();
        assert_eq!(numbers(&*store, &users).await, counted, "half of it is back");
        stops.push(restored.ended);
        if restored.ended == Ended::Done {
            break;
        }
        assert!(restored.report.batches <= 2);
    }

    assert_eq!(stops.last(), Some(&Ended::Done));
    assert!(stops.len() > 3, "{stops:?}");
    assert_eq!(everything(&outside, dialect).await, before);
    assert_eq!(store.audit_runs().await.unwrap(), []);
}

async fn an_older_row_of_a_live_id_comes_back_beside_it(dialect: Dialect, keys: KeyType) {
    let fresh = Fresh::migrated(dialect, keys).await;
    let (store, outside) = (fresh.store().await, fresh.outside().await);
    store.write_users(vec![learner(keys, 1, None)]).await.unwrap();
    let users = [user(keys, 1)];
    // the live row of the first is to be archived itself
    let live = [session(keys, 1, 1, "2024-05-01T08:00:00Z", 30), session(keys, 2, 1, "2026-05-01T08:00:00Z", 30)];
    store.write_sessions(live.to_vec()).await.unwrap();
    for n in [1, 2] {
        let older = session(keys, n, 1, "2023-05-01T08:00:00Z", 5);
        outside.run(&outside::insert(dialect, "study_sessions_archive", &older)).await;
    }
    let (before, counted) = (everything(&outside, dialect).await, numbers(&*store, &users).await);
    let cleaned = run(&store, &[ARCHIVE]).await;
    assert_eq!((cleaned.report.rows("superseded"), cleaned.report.rows("archive")), (2, 1));

    let report = restore(&fresh, &store, &of_run(cleaned.run)).await;

    assert_eq!((report.restored(), report.stayed), (3, 0), "{report:?}");
    assert_eq!(everything(&outside, dialect).await, before);
    assert_eq!(numbers(&*store, &users).await, counted);
    // a live row that is due now cannot go where the older one is back, and does not have to
    outside.run(&outside::set_start(dialect, "study_sessions", live[1].id, at("2024-06-01T08:00:00Z"))).await;
    assert_eq!(run(&store, &[ARCHIVE]).await.report.batches, 0);
}
