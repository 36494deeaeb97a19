//! Writing rows: what is counted, what wins, and that writing twice changes nothing.

use tierkeep_db::Dialect;
use tierkeep_learning::key::KeyType;
use tierkeep_learning::store::Written;

use super::fresh::Fresh;
use super::rows::{ALL_DAYS, day, learner, session, user};

on_both_with_both_keys!(rows_that_were_written_are_in_the_next_answer);

async fn rows_that_were_written_are_in_the_next_answer(dialect: Dialect, keys: KeyType) {
    let fresh = Fresh::migrated(dialect, keys).await;
    let store = fresh.store().await;
    assert_eq!(store.key_type(), keys);

    let users = store.write_users(vec![learner(keys, 1, Some("Asia/Shanghai")), learner(keys, 2, None)]).await.unwrap();
    let sessions = store.write_sessions(vec![session(keys, 10, 1, "2025-06-27T20:00:00Z", 30)]).await.unwrap();

    assert_eq!((users, sessions), (Written { inserted: 2, updated: 0 }, Written { inserted: 1, updated: 0 }));
    let answers = store.learner_days(&[user(keys, 1), user(keys, 2), user(keys, 3)], ALL_DAYS).await.unwrap();
    let found: Vec<_> = answers[0].as_ref().unwrap().days.iter().map(|(day, found)| (*day, found.minutes)).collect();
    assert_eq!(found, [(day("2025-06-28"), 30)]);
    assert!(answers[1].as_ref().unwrap().days.is_empty());
    assert!(answers[2].is_none());
}
