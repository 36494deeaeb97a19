//! Between two batches everything is as it should be: numbers, and who is told of them.

use std::sync::{Arc, Mutex};

use tierkeep_db::Dialect;
use tierkeep_learning::key::KeyType;
use tierkeep_learning::retention::{ARCHIVE, DELETE, INVALID};
use tierkeep_learning::store::{Cleanup, Keep};
use tierkeep_retention::Ended;

use super::super::retention::{cleanup, filled, numbers, run};
use super::super::rows::user;
use super::{Beside, attempt, clean, elsewhere, watched};

on_both!(
    no_number_changes_between_two_batches,
    archiving_is_no_change_and_a_deletion_is_told_at_once,
    deletion_that_nobody_is_told_of_leaves_stale_summaries,
);

const KEYS: KeyType = KeyType::Int;

async fn no_number_changes_between_two_batches(dialect: Dialect) {
    let (fresh, store, _outside) = filled(dialect, KEYS).await;
    let users = [user(KEYS, 1), user(KEYS, 2)];
    let before = numbers(&*store, &users).await;
    let totals = before.totals.clone();
    let observer = Beside::new(move |what| {
        if what.starts_with("moved ") {
            elsewhere(async || {
                let reader = fresh.reader().await;
                let mut now = numbers(&*reader, &users).await;
                if what == "moved inactive_users" {
                    // the sums lose the learner whose data was deleted
                    assert_ne!(now.totals, totals);
                    now.totals = totals.clone();
                }
                assert_eq!(now, before, "{what}");
                reader.close().await;
            });
        }
    });

    let outcome = attempt(&store, &[INVALID, ARCHIVE, DELETE], &watched(&observer)).await;

    assert_eq!((outcome.ended, outcome.reason), (Ended::Done, None));
    assert!(outcome.report.batches > 15, "{}", outcome.report.batches);
    assert_eq!(outcome.report.repointed.get("duplicate_progress"), Some(&1));
}

/// The position of the feed after each batch, by the rule that moved it.
async fn positions(dialect: Dialect, keep: Keep) -> Vec<(String, u64)> {
    let (fresh, store, _outside) = filled(dialect, KEYS).await;
    run(&store, &[INVALID]).await;
    while store.settle().await.unwrap().more {}
    let first = store.changes(0).await.unwrap().map_or(0, |changes| changes.position);
    let seen = Arc::new(Mutex::new(vec![("before".to_owned(), first)]));
    let all = Arc::clone(&seen);
    let observer = Beside::new(move |what| {
        if let Some(rule) = what.strip_prefix("moved ") {
            let position = elsewhere(async || {
                let other = fresh.store().await;
                let position = other.changes(0).await.unwrap().map_or(0, |changes| changes.position);
                other.close().await;
                position
            });
            all.lock().unwrap().push((rule.to_owned(), position));
        }
    });
    let cleanup = Cleanup { keep, ..cleanup(&[ARCHIVE, DELETE]) };
    let outcome = clean(&store, &cleanup, &watched(&observer)).await;
    assert_eq!((outcome.ended, outcome.reason), (Ended::Done, None));
    let known = store.known_learners(None, 100).await.unwrap();
    assert_eq!(store.verify(&known).await.unwrap().differences, []);
    Arc::try_unwrap(seen).unwrap_or_else(|shared| Mutex::new(shared.lock().unwrap().clone())).into_inner().unwrap()
}

async fn archiving_is_no_change_and_a_deletion_is_told_at_once(dialect: Dialect) {
    let positions = positions(dialect, Keep::Nothing).await;

    let mut deletions = 0;
    for pair in positions.windows(2) {
        let [(_, before), (rule, after)] = pair else { panic!("pairs") };
        if rule == "archive" {
            assert_eq!(after, before, "a row that was moved is counted as before");
        } else {
            assert!(after > before, "{rule}: {positions:?}");
            deletions += 1;
        }
    }
    assert!(deletions > 4, "{positions:?}");
}

/// The control: said to be a move, a deletion is not noticed by anybody, and what is stored is not what the rows say.
async fn deletion_that_nobody_is_told_of_leaves_stale_summaries(dialect: Dialect) {
    let (_fresh, store, outside) = filled(dialect, KEYS).await;
    while store.settle().await.unwrap().more {}
    let deletion = "delete from study_sessions where id in (101, 102)";
    match dialect {
        Dialect::Postgres => {
            outside.run(&format!("begin; {}; {deletion}; commit", tierkeep_db::feed::Feed::MOVE_POSTGRES)).await;
        }
        Dialect::Sqlite => {
            let super::super::fresh::Outside::Sqlite(connection) = &outside else { panic!("this is SQLite") };
            let mut connection = connection.lock().unwrap();
            let tx = connection.transaction().unwrap();
            tierkeep_db::feed::Feed::quietly_sqlite(&tx, |tx| tx.execute_batch(deletion)).unwrap();
            tx.commit().unwrap();
        }
    }

    let known = store.known_learners(None, 100).await.unwrap();
    assert_ne!(store.verify(&known).await.unwrap().differences, []);
}
