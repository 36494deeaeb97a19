//! Runs that meet another one, and runs that are told to end: whatever ends one, the next ends as if nothing had been.

use std::sync::Arc;
use std::time::Duration;

use tierkeep_db::Dialect;
use tierkeep_learning::key::KeyType;
use tierkeep_learning::retention::{ARCHIVE, DELETE, INVALID, PHASES};
use tierkeep_learning::store::{Store, StoreError};
use tierkeep_retention::{Band, Ended, Limits, Order, Outcome, RetentionError, SqliteLimits, StopSign};
use tokio_util::sync::CancellationToken;

use super::super::fresh::Outside;
use super::super::retention::{cleanup, filled, plan, run};
use super::{Beside, attempt, elsewhere, watched};

on_both!(
    switch_in_the_database_ends_a_run_within_a_batch,
    signal_ends_a_run_within_a_batch,
    stop_file_ends_a_run_within_a_batch,
    time_that_is_used_up_ends_a_run_before_the_next_batch,
    throttle_that_says_stop_keeps_a_run_from_its_first_batch,
    command_before_deletions_that_hangs_ends_with_the_run,
    second_run_is_refused_while_the_first_works,
    second_run_that_waits_goes_on_when_the_first_has_ended,
);

const KEYS: KeyType = KeyType::Int;

/// Where each row is at last; the same whoever brought it there.
async fn places(outside: &Outside) -> Vec<String> {
    let mut places = Vec::new();
    for table in ["study_sessions", "study_sessions_archive", "course_progress"] {
        let rows = format!("select '{table} ' || cast(id as text) from {table} order by {table}.id");
        places.extend(outside.texts(&rows).await);
    }
    let kept = "select kind || ' ' || source || ' ' || row_key from tierkeep_quarantine order by source, row_key, kind";
    places.extend(outside.texts(kept).await);
    let turned = "select cast(id as text) || ' of ' || coalesce(cast(course_progress_id as text), '') \
                  from study_sessions order by study_sessions.id";
    places.extend(outside.texts(turned).await);
    places.extend(outside.texts("select cast(user_id as text) from tierkeep_base order by user_id").await);
    places
}

async fn places_without_a_stop(dialect: Dialect) -> Vec<String> {
    let (_fresh, store, outside) = filled(dialect, KEYS).await;
    run(&store, &PHASES).await;
    places(&outside).await
}

/// The run that was stopped is half done; those that follow do the rest.
async fn goes_on(dialect: Dialect, store: &Arc<dyn Store>, outside: &Outside, stopped: &Outcome) {
    let wanted: u64 = stopped.plan.rules.iter().map(|rule| rule.rows).sum();
    let done: u64 = stopped.report.rules.values().sum();
    assert!(done < wanted, "{done} of {wanted}: it was stopped");

    run(store, &PHASES).await;

    assert_eq!(places(outside).await, places_without_a_stop(dialect).await);
    assert_eq!(store.audit_runs().await.unwrap(), []);
    let known = store.known_learners(None, 100).await.unwrap();
    assert_eq!(store.verify(&known).await.unwrap().differences, []);
}

async fn switch_in_the_database_ends_a_run_within_a_batch(dialect: Dialect) {
    let (fresh, store, outside) = filled(dialect, KEYS).await;
    let observer = Beside::new(move |what| {
        if what == "moved archive" {
            let switch = "update tierkeep_retention set stop = 'the backup runs'";
            elsewhere(async || fresh.outside().await.run(switch).await);
        }
    });

    let stopped = attempt(&store, &PHASES, &watched(&observer)).await;

    assert_eq!(stopped.ended, Ended::Signal);
    assert!(stopped.reason.as_deref().unwrap().contains("the backup runs"), "{:?}", stopped.reason);
    assert_eq!(observer.was_told("moved archive"), 1);
    let refused = Arc::clone(&store).clean_up(&cleanup(&PHASES), &watched(&observer)).await.unwrap_err();
    assert!(refused.to_string().contains("the backup runs"), "{refused}");
    outside.run("update tierkeep_retention set stop = null").await;
    goes_on(dialect, &store, &outside, &stopped).await;
}

async fn signal_ends_a_run_within_a_batch(dialect: Dialect) {
    let (_fresh, store, outside) = filled(dialect, KEYS).await;
    let signal = CancellationToken::new();
    let sign = StopSign::new(signal.clone());
    let observer = Beside::new(move |what| {
        if what == "moved archive" {
            signal.cancel();
        }
    });

    let stopped = attempt(&store, &PHASES, &Order { stop: sign, ..watched(&observer) }).await;

    assert_eq!(stopped.ended, Ended::Signal);
    assert_eq!(observer.was_told("moved archive"), 1);
    goes_on(dialect, &store, &outside, &stopped).await;
}

async fn stop_file_ends_a_run_within_a_batch(dialect: Dialect) {
    let (_fresh, store, outside) = filled(dialect, KEYS).await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("stop");
    let sign = StopSign::new(CancellationToken::new()).stop_file(file.clone());
    let observer = Beside::new(move |what| {
        if what == "moved archive" {
            std::fs::write(&file, "").unwrap();
        }
    });

    let stopped = attempt(&store, &PHASES, &Order { stop: sign, ..watched(&observer) }).await;

    assert_eq!((stopped.ended, stopped.reason.as_deref()), (Ended::Signal, Some("the stop file exists")));
    assert_eq!(observer.was_told("moved archive"), 1);
    goes_on(dialect, &store, &outside, &stopped).await;
}

async fn time_that_is_used_up_ends_a_run_before_the_next_batch(dialect: Dialect) {
    let (_fresh, store, outside) = filled(dialect, KEYS).await;
    let sign = StopSign::new(CancellationToken::new()).within(Duration::ZERO);
    let before = places(&outside).await;

    let stopped = attempt(&store, &PHASES, &Order { stop: sign, ..watched(&Beside::silent()) }).await;

    assert_eq!(stopped.ended, Ended::Budget);
    assert_eq!(stopped.report.batches, 0);
    assert_eq!(places(&outside).await, before);
    goes_on(dialect, &store, &outside, &stopped).await;
}

async fn second_run_is_refused_while_the_first_works(dialect: Dialect) {
    let (fresh, store, outside) = filled(dialect, KEYS).await;
    let observer = Beside::new(move |what| {
        if what == "moved archive" {
            elsewhere(async || {
                let second = fresh.store().await;
                let order = Order { wait: Duration::ZERO, ..watched(&Beside::silent()) };
                let refused = Arc::clone(&second).clean_up(&cleanup(&PHASES), &order).await.unwrap_err();
                let is_busy = matches!(&refused, StoreError::Retention(RetentionError::Busy { .. }));
                assert!(is_busy, "{refused}");
                // a plan needs no lease
                plan(&second, &PHASES).await;
                second.close().await;
            });
        }
    });

    let first = attempt(&store, &PHASES, &watched(&observer)).await;

    assert_eq!((first.ended, first.reason), (Ended::Done, None));
    assert!(observer.was_told("moved archive") > 1);
    assert_eq!(places(&outside).await, places_without_a_stop(dialect).await);
}

async fn second_run_that_waits_goes_on_when_the_first_has_ended(dialect: Dialect) {
    let (fresh, store, outside) = filled(dialect, KEYS).await;
    let second = fresh.store().await;
    let wanted = plan(&store, &PHASES).await;

    let (watcher, other) = (watched(&Beside::silent()), watched(&Beside::silent()));
    let (one, two) = tokio::join!(attempt(&store, &PHASES, &watcher), attempt(&second, &PHASES, &other));

    assert_eq!((one.ended, two.ended), (Ended::Done, Ended::Done), "{:?} {:?}", one.reason, two.reason);
    for rule in &wanted.rules {
        let (one, two) = (one.report.rows(&rule.rule), two.report.rows(&rule.rule));
        assert_eq!((one.max(two), one.min(two)), (rule.rows, 0), "{}: one run did all of it", rule.rule);
    }
    assert_ne!(one.run, two.run);
    assert_eq!(places(&outside).await, places_without_a_stop(dialect).await);
}

/// With the sources switched off the same run goes through.
async fn throttle_that_says_stop_keeps_a_run_from_its_first_batch(dialect: Dialect) {
    let (_fresh, store, outside) = filled(dialect, KEYS).await;
    let never = Some(Band { slow: 0, stop: 0 });
    let throttle = match dialect {
        Dialect::Postgres => Limits { waiters: never, ..Limits::default() },
        Dialect::Sqlite => {
            Limits { sqlite: SqliteLimits { write_lock_ms: never, ..SqliteLimits::default() }, ..Limits::default() }
        }
    };
    let order = |throttle| Order { throttle, ..watched(&Beside::silent()) };

    let held = attempt(&store, &[INVALID], &order(Limits { patience: Duration::ZERO, ..throttle })).await;

    assert_eq!(held.ended, Ended::Budget, "{:?}", held.reason);
    assert_eq!((held.report.batches, outside.count("tierkeep_quarantine").await), (0, 0));
    let done = attempt(&store, &[INVALID], &order(Limits::default())).await;
    assert_eq!((done.ended, done.reason), (Ended::Done, None));
    assert!(done.report.batches > 0);
}

async fn command_before_deletions_that_hangs_ends_with_the_run(dialect: Dialect) {
    let (_fresh, store, outside) = filled(dialect, KEYS).await;
    run(&store, &[ARCHIVE]).await;
    let archived = outside.count("study_sessions_archive").await;
    let order = Order {
        before_delete: Some("sleep 1000".to_owned()),
        stop: StopSign::new(CancellationToken::new()).within(Duration::from_secs(1)),
        ..watched(&Beside::silent())
    };

    let ended = tokio::time::timeout(Duration::from_secs(60), attempt(&store, &[DELETE], &order)).await.unwrap();

    assert_eq!(ended.ended, Ended::Budget, "{:?}", ended.reason);
    assert_eq!(outside.count("study_sessions_archive").await, archived);
}
