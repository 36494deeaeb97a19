//! Rows that others work on: nobody waits for them, and they are met again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tierkeep_db::Dialect;
use tierkeep_learning::key::KeyType;
use tierkeep_learning::retention::{ARCHIVE, DELETE, INVALID, PHASES};
use tierkeep_learning::store::Store;
use tierkeep_retention::{Ended, Order};
use tokio::sync::Notify;

use super::super::fresh::{Fresh, Outside};
use super::super::retention::{filled, plan, run};
use super::{Beside, attempt, elsewhere, watched};

on_both!(row_that_changed_after_the_plan_is_not_moved);

const KEYS: KeyType = KeyType::Int;

/// Holds rows from before a run until after it, and looks at what it does with them.
async fn held_rows_are_passed_over(prepare: &str, hold: &str, phases: &[&'static str], left: &[(&str, u64)]) {
    let (fresh, store, outside) = filled(Dialect::Postgres, KEYS).await;
    outside.run(prepare).await;
    let planned = plan(&store, phases).await;
    outside.run(&format!("begin; {hold}")).await;
    let observer = Beside::silent();
    // whoever waited for a lock would wait until the end of the test
    let order = Order { lock_timeout: Duration::from_secs(3600), ..watched(&observer) };

    let outcome = tokio::time::timeout(Duration::from_secs(60), attempt(&store, phases, &order)).await.unwrap();

    assert_eq!((outcome.ended, outcome.reason), (Ended::Done, None), "{hold}");
    let wanted: BTreeMap<String, u64> = left.iter().map(|(name, rows)| ((*name).to_owned(), *rows)).collect();
    assert_eq!(outcome.report.left, wanted, "{hold}");
    // the control: others do wait for these rows
    let other = fresh.outside().await;
    let refused = other.attempt(&format!("set lock_timeout = '50ms'; {}", hold.replace(';', " nowait;"))).await;
    assert!(refused.unwrap_err().contains("55P03"), "{hold}");
    outside.run("rollback").await;
    let rest = run(&store, phases).await;
    for rule in &planned.rules {
        let name = &rule.rule;
        assert_eq!(outcome.report.rows(name) + rest.report.rows(name), rule.rows, "{name}: {hold}");
    }
    assert_eq!(rest.report.left, BTreeMap::new(), "{hold}");
}

#[tokio::test]
async fn locked_sessions_are_archived_by_the_next_run() {
    held_rows_are_passed_over(
        "",
        "select from study_sessions where id in (201, 101, 120) for update;",
        &[ARCHIVE],
        &[("archive", 3)],
    )
    .await;
}

#[tokio::test]
async fn locked_invalid_sessions_are_met_again() {
    held_rows_are_passed_over(
        "",
        "select from study_sessions where id = 401 for update;",
        &[INVALID],
        &[("invalid", 1)],
    )
    .await;
}

#[tokio::test]
async fn locked_duplicates_are_met_again() {
    held_rows_are_passed_over(
        "",
        "select from course_progress where id = 2 for update;",
        &[INVALID],
        &[("duplicate_progress", 1)],
    )
    .await;
}

#[tokio::test]
async fn duplicate_stays_while_somebody_works_on_a_session_that_refers_to_it() {
    held_rows_are_passed_over(
        "",
        "select from study_sessions where id = 1 for update;",
        &[INVALID],
        &[("duplicate_progress", 1)],
    )
    .await;
}

#[tokio::test]
async fn session_whose_archived_row_is_locked_stays_live() {
    held_rows_are_passed_over(
        "update study_sessions set start_time = '2024-02-01Z' where id = 1",
        "select from study_sessions_archive where id = 1 for update;",
        &[ARCHIVE],
        &[("archive", 1), ("superseded", 1)],
    )
    .await;
}

#[tokio::test]
async fn locked_archived_sessions_are_deleted_by_the_next_run() {
    held_rows_are_passed_over(
        "with moved as (delete from study_sessions where id between 201 and 220 returning *) \
         insert into study_sessions_archive select *, now() from moved",
        "select from study_sessions_archive where id in (205, 211) for update;",
        &[DELETE],
        &[("archived_sessions", 2)],
    )
    .await;
}

#[tokio::test]
async fn learner_on_whose_row_somebody_works_keeps_their_data() {
    held_rows_are_passed_over("", "select from users where id = 3 for update;", &[DELETE], &[("inactive_users", 1)])
        .await;
}

/// Holds something that a batch has to have, until the run says that it waits.
async fn run_waits_for(hold: &str, phases: &[&'static str]) {
    let (_fresh, store, outside): (Fresh, Arc<dyn Store>, Outside) = filled(Dialect::Postgres, KEYS).await;
    let planned = plan(&store, phases).await;
    outside.run(&format!("begin; {hold}")).await;
    let waits = Arc::new(Notify::new());
    let told = Arc::clone(&waits);
    let observer = Beside::new(move |what| {
        if what == "waiting others hold locks" {
            told.notify_one();
        }
    });
    let order = Order { lock_timeout: Duration::from_millis(50), ..watched(&observer) };

    let ran = async {
        let outcome = attempt(&store, phases, &order).await;
        // a run that never waited must not be waited for
        waits.notify_one();
        outcome
    };
    let (outcome, ()) = tokio::join!(ran, async {
        waits.notified().await;
        outside.run("rollback").await;
    });

    assert_eq!((outcome.ended, outcome.reason), (Ended::Done, None), "{hold}");
    assert!(observer.was_told("waiting others hold locks") > 0, "{hold}");
    for rule in &planned.rules {
        assert_eq!(outcome.report.rows(&rule.rule), rule.rows, "{}: {hold}", rule.rule);
    }
}

#[tokio::test]
async fn run_waits_out_a_lock_on_the_table() {
    run_waits_for("lock table study_sessions in share mode", &[ARCHIVE]).await;
}

#[tokio::test]
async fn deletion_waits_out_whoever_folds_the_learner() {
    run_waits_for("select from tierkeep_learner for update", &[ARCHIVE, DELETE]).await;
}

#[tokio::test]
async fn deletion_waits_out_an_erasure() {
    run_waits_for("lock table tierkeep_erased in exclusive mode", &[ARCHIVE, DELETE]).await;
}

/// Between the plan and the first batch of each rule rows stop to be what the rule is about.
async fn row_that_changed_after_the_plan_is_not_moved(dialect: Dialect) {
    let (fresh, store, outside) = filled(dialect, KEYS).await;
    let planned = plan(&store, &PHASES).await;
    let fresh = Arc::new(fresh);
    let place = Arc::clone(&fresh);
    let observer = Beside::new(move |what| {
        let deed = match what {
            "begun invalid" => "update study_sessions set duration_minutes = 5 where id = 401",
            "begun duplicate_progress" => "update course_progress set content_id = 7 where id = 2",
            "begun archive" => "update study_sessions set is_active = true where id in (101, 201)",
            "begun archived_sessions" => {
                "update study_sessions_archive set start_time = (select max(start_time) from study_sessions) where id = 203"
            }
            "begun inactive_users" => "update users set is_active = true where id = 3",
            _ => return,
        };
        elsewhere(async || place.outside().await.run(deed).await);
    });

    let outcome = attempt(&store, &PHASES, &watched(&observer)).await;

    assert_eq!((outcome.ended, outcome.reason), (Ended::Done, None));
    let less = [
        ("negative_duration", 1),
        ("duplicate_progress", 1),
        ("archive", 2),
        // one that changed, and one that was not archived
        ("archived_sessions", 2),
        ("inactive_users", 1),
    ];
    for rule in &planned.rules {
        let less = less.iter().find(|(name, _)| *name == rule.rule).map_or(0, |(_, rows)| *rows);
        assert_eq!(outcome.report.rows(&rule.rule), rule.rows - less, "{}", rule.rule);
    }
    assert_eq!(outside.number("select count(*) from study_sessions where id in (101, 201, 401)").await, 3);
    assert_eq!(outside.number("select count(*) from study_sessions_archive where id = 203").await, 1);
    assert_eq!(outside.number("select count(*) from course_progress where id in (2, 4)").await, 2);
    let _ = fresh;
}
