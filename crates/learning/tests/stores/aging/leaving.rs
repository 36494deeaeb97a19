//! Learners whose sessions were deleted by age, or who are deleted with all their data, leave: nothing of theirs stays.

use std::sync::Arc;

use jiff::SignedDuration;
use tierkeep_db::Dialect;
use tierkeep_learning::key::{KeyType, UserId};
use tierkeep_learning::statistic::Days;
use tierkeep_learning::store::Keep;
use tierkeep_learning::store::erasure::Grace;

use super::super::fresh::Outside;
use super::super::outside;
use super::super::rows::{session, user};
use super::{KEYS, LEARNERS, SESSIONS, filled, ids, is_well, minutes, numbers, settle, these, users};

on_both_with_both_keys!(quarantine_and_bases_go_with_a_learner);

on_both!(deleted_data_leaves_a_learner_without_sessions, base_alone_is_a_departure);

async fn quarantine(outside: &Outside, owner: UserId) {
    let columns = "(run_id, kind, source, row_key, owner, content)";
    outside
        .run(&format!(
            "insert into tierkeep_quarantine {columns} values (3, 'bad_rating', 'study_sessions', '1', '{owner}', \
             '{{\"duration_minutes\": \"30\"}}'), (4, 'orphan', 'study_sessions', '2', '{owner}', '{{}}')"
        ))
        .await;
}

async fn quarantine_and_bases_go_with_a_learner(dialect: Dialect, keys: KeyType) {
    let (_fresh, store, outside) = filled(dialect, keys).await;
    let (one, two) = (user(keys, 1), user(keys, 2));
    quarantine(&outside, one).await;
    quarantine(&outside, two).await;
    store.delete_archived(&ids(keys, 1..=SESSIONS), Keep::Summaries).await.unwrap();
    let before = numbers(&*store, keys).await;

    let exported = store.export_base(one).await.unwrap();
    let first = store.export_quarantine(one, None, 1).await.unwrap();
    let second = store.export_quarantine(one, Some(first[0].id), 5).await.unwrap();
    let base: Vec<u64> = exported.iter().map(|day| day.sessions).collect();
    assert!(base.len() > 3 && base.iter().all(|sessions| *sessions > 0), "{exported:?}");
    assert!(exported.is_sorted_by_key(|day| day.date));
    assert_eq!((first.len(), first[0].kind.as_str(), first[0].run_id), (1, "bad_rating", 3));
    assert_eq!(first[0].content, serde_json::json!({"duration_minutes": "30"}));
    assert_eq!(second.iter().map(|row| row.kind.as_str()).collect::<Vec<_>>(), ["orphan"]);

    let erased = store.erase(one).await.unwrap().unwrap();

    assert!(erased.is_complete() && erased.removed["tierkeep_base"] > 0, "{erased:?}");
    assert_eq!(erased.removed["tierkeep_quarantine"], 2);
    assert_eq!(store.traces(one).await.unwrap().values().sum::<u64>(), 0);
    assert_eq!(
        (store.export_base(one).await.unwrap(), store.export_quarantine(one, None, 5).await.unwrap()),
        (vec![], vec![])
    );
    let after = numbers(&*store, keys).await;
    assert_eq!((&after.days[0], &after.days[1..]), (&None, &before.days[1..]), "the others keep theirs");
    assert_eq!(store.export_quarantine(two, None, 5).await.unwrap().len(), 2);
    settle(&*store).await;
    is_well(&*store, "erased").await;
}

async fn deleted_data_leaves_a_learner_without_sessions(dialect: Dialect) {
    let (_fresh, store, outside) = filled(dialect, KEYS).await;
    settle(&*store).await;
    store.delete_archived(&ids(KEYS, 1..=30), Keep::Summaries).await.unwrap();
    let before = numbers(&*store, KEYS).await;
    quarantine(&outside, user(KEYS, 1)).await;
    quarantine(&outside, user(KEYS, 2)).await;

    let rows = store.delete_data(&[user(KEYS, 1), user(KEYS, 1), user(KeyType::Uuid, 1)]).await.unwrap();

    assert!(rows > 5, "{rows}");
    let traces = store.traces(user(KEYS, 1)).await.unwrap();
    let left: Vec<&str> = traces
        .iter()
        .filter(|(table, rows)| **rows > 0 && *table != "tierkeep_outbox")
        .map(|(table, _)| table.as_str())
        .collect();
    assert_eq!(left, ["tierkeep_analytics_due", "tierkeep_learner", "tierkeep_quarantine", "users"]);
    assert_eq!(store.erased_among(&users(KEYS)).await.unwrap(), []);
    let after = numbers(&*store, KEYS).await;
    assert_eq!((&after.days[0], &after.days[1..]), (&Some(Days::new()), &before.days[1..]));
    assert_eq!(after.totals.users, before.totals.users - 1);
    settle(&*store).await;
    is_well(&*store, "deleted").await;
    assert_eq!(numbers(&*store, KEYS).await, after);
    // and they may begin anew
    store.write_sessions(vec![session(KEYS, 900, 1, "2025-06-27T20:00:00Z", 5)]).await.unwrap();
    assert_eq!(minutes(&*store, 1).await, these(&[("2025-06-28", 5)]));
}

async fn base_alone_is_a_departure(dialect: Dialect) {
    for kept in ["tierkeep_base", "tierkeep_quarantine", ""] {
        let (_fresh, store, outside) = filled(dialect, KEYS).await;
        let last = user(KEYS, LEARNERS);
        quarantine(&outside, last).await;
        store.delete_archived(&ids(KEYS, 1..=SESSIONS), Keep::Summaries).await.unwrap();
        for table in ["tierkeep_base", "tierkeep_quarantine"].iter().filter(|table| **table != kept) {
            outside.run(&format!("delete from {table}")).await;
        }
        outside.run(&outside::delete_user(last)).await;
        store.note_departures().await.unwrap();

        let noted = outside.count("tierkeep_departed").await;

        assert_eq!(noted, i64::from(!kept.is_empty()), "{kept}");
        let grace = Grace { length: SignedDuration::ZERO, now: None };
        let erased = store.erase_departed(grace, 10).await.unwrap();
        assert_eq!(erased.len(), usize::from(!kept.is_empty()), "{kept}");
        assert!(erased.iter().all(|erased| erased.is_complete() && erased.removed[kept] > 0), "{erased:?}");
    }
}

/// An erasure waits for a deletion that is under way, and finds the base that it left.
#[tokio::test]
async fn erasure_waits_for_a_deletion_under_way() {
    let (fresh, store, _) = filled(Dialect::Postgres, KEYS).await;
    settle(&*store).await;
    let (blocker, watcher) = (fresh.outside().await, fresh.outside().await);
    // the deletion has its rows and waits for the learner
    blocker.run("begin; select from tierkeep_learner for update").await;
    let deleting = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.delete_archived(&ids(KEYS, 1..=SESSIONS), Keep::Summaries).await }
    });
    let waiting =
        "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    while watcher.number(waiting).await < 1 {
        assert!(!deleting.is_finished(), "it waits for nobody");
        tokio::task::yield_now().await;
    }
    let erasing = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.erase(user(KEYS, 1)).await }
    });
    while watcher.number(waiting).await < 2 {
        assert!(!erasing.is_finished(), "it waits for nobody");
        tokio::task::yield_now().await;
    }
    blocker.run("commit").await;

    assert!(deleting.await.unwrap().unwrap() > 0);
    let erased = erasing.await.unwrap().unwrap().unwrap();
    assert!(erased.is_complete() && erased.removed["tierkeep_base"] > 0, "{erased:?}");
    assert_eq!(watcher.count("tierkeep_base where user_id = 1").await, 0);
    settle(&*store).await;
    is_well(&*store, "erased").await;
}
