//! Writing rows: what is counted, what wins, and that writing twice changes nothing.

use tierkeep_db::Dialect;
use tierkeep_learning::key::{Key, KeyType};
use tierkeep_learning::store::{StoreError, Written};

use super::fresh::Fresh;
use super::outside;
use super::rows::{ALL_DAYS, at, day, learner, progress, session, user};

on_both_with_both_keys!(
    rows_that_were_written_are_in_the_next_answer,
    last_of_several_rows_with_one_id_counts,
    known_rows_are_replaced_where_they_lie,
    writing_the_same_rows_again_changes_nothing,
    missing_learners_are_added_and_known_ones_kept,
    listed_rows_are_the_written_ones,
    rows_with_keys_of_the_other_type_are_refused_as_a_whole,
    nothing_to_write_is_nothing_written,
);

const fn written(inserted: u64, updated: u64) -> Written {
    Written { inserted, updated }
}

async fn rows_that_were_written_are_in_the_next_answer(dialect: Dialect, keys: KeyType) {
    let fresh = Fresh::migrated(dialect, keys).await;
    let store = fresh.store().await;
    assert_eq!(store.key_type(), keys);

    let users = store.write_users(vec![learner(keys, 1, Some("Asia/Shanghai")), learner(keys, 2, None)]).await.unwrap();
    let sessions = store.write_sessions(vec![session(keys, 10, 1, "2025-06-27T20:00:00Z", 30)]).await.unwrap();

    assert_eq!((users, sessions), (written(2, 0), written(1, 0)));
    let asked = [user(keys, 1), user(keys, 2), user(keys, 3), user(keys, 1)];
    let answers = store.learner_days(&asked, ALL_DAYS).await.unwrap();
    let found: Vec<_> = answers[0].as_ref().unwrap().days.iter().map(|(day, found)| (*day, found.minutes)).collect();
    assert_eq!(found, [(day("2025-06-28"), 30)]);
    assert!(answers[1].as_ref().unwrap().days.is_empty());
    assert!(answers[2].is_none());
    assert_eq!(answers[3].as_ref().unwrap().days, answers[0].as_ref().unwrap().days, "asked for twice");
    assert!(store.learner_days(&[], ALL_DAYS).await.unwrap().is_empty());
}

async fn last_of_several_rows_with_one_id_counts(dialect: Dialect, keys: KeyType) {
    let fresh = Fresh::migrated(dialect, keys).await;
    let store = fresh.store().await;

    let users = vec![learner(keys, 1, Some("Asia/Shanghai")), learner(keys, 1, None)];
    assert_eq!(store.write_users(users).await.unwrap(), written(1, 0));
    let rows = vec![
        session(keys, 7, 1, "2025-06-27T20:00:00Z", 1),
        session(keys, 8, 1, "2025-06-27T20:00:00Z", 2),
        session(keys, 7, 1, "2025-06-28T20:00:00Z", 4),
    ];
    assert_eq!(store.write_sessions(rows.clone()).await.unwrap(), written(2, 0));
    assert_eq!(store.write_sessions(rows).await.unwrap(), written(0, 2));
    let mut newer = progress(keys, 1, 1, 5);
    newer.proficiency_level = 77;
    assert_eq!(store.write_progress(vec![progress(keys, 1, 1, 5), newer]).await.unwrap(), written(1, 0));

    let answer = store.learner_days(&[user(keys, 1)], ALL_DAYS).await.unwrap().remove(0).unwrap();
    let minutes: Vec<_> = answer.days.iter().map(|(day, found)| (day.to_string(), found.minutes)).collect();
    assert_eq!(minutes, [("2025-06-27".to_owned(), 2), ("2025-06-28".to_owned(), 4)]);
    let courses = store.learner_courses(&[user(keys, 1)]).await.unwrap().remove(0).unwrap();
    assert_eq!(courses.rows.iter().map(|row| row.proficiency_level).collect::<Vec<_>>(), [77]);
}

async fn known_rows_are_replaced_where_they_lie(dialect: Dialect, keys: KeyType) {
    let fresh = Fresh::migrated(dialect, keys).await;
    let (store, outside) = (fresh.store().await, fresh.outside().await);
    store.write_users(vec![learner(keys, 1, None), learner(keys, 2, None)]).await.unwrap();
    let rows = vec![session(keys, 1, 1, "2023-06-01T08:00:00Z", 10), session(keys, 2, 1, "2025-06-01T08:00:00Z", 20)];
    store.write_sessions(rows).await.unwrap();
    outside.run(&outside::archive_before(dialect, at("2024-01-01T00:00:00Z"))).await;

    // the archived one moves to another learner and another day
    let rows = vec![
        session(keys, 1, 2, "2023-07-01T08:00:00Z", 11),
        session(keys, 2, 1, "2025-06-01T08:00:00Z", 21),
        session(keys, 3, 1, "2025-06-02T08:00:00Z", 30),
    ];
    assert_eq!(store.write_sessions(rows).await.unwrap(), written(1, 2));

    assert_eq!((outside.count("study_sessions").await, outside.count("study_sessions_archive").await), (2, 1));
    let answers = store.learner_days(&[user(keys, 1), user(keys, 2)], ALL_DAYS).await.unwrap();
    let minutes: Vec<Vec<u64>> =
        answers.into_iter().map(|answer| answer.unwrap().days.values().map(|day| day.minutes).collect()).collect();
    assert_eq!(minutes, [vec![21, 30], vec![11]]);
}

async fn writing_the_same_rows_again_changes_nothing(dialect: Dialect, keys: KeyType) {
    let fresh = Fresh::migrated(dialect, keys).await;
    let store = fresh.store().await;
    let users = vec![learner(keys, 1, Some("Asia/Shanghai"))];
    let rows = vec![session(keys, 1, 1, "2025-06-01T20:00:00Z", 10), session(keys, 2, 1, "2025-06-01T08:00:00Z", -5)];
    let courses = vec![progress(keys, 1, 1, 5)];
    store.write_users(users.clone()).await.unwrap();
    store.write_sessions(rows.clone()).await.unwrap();
    store.write_progress(courses.clone()).await.unwrap();
    while store.settle().await.unwrap().more {}
    let before = store.learner_days(&[user(keys, 1)], ALL_DAYS).await.unwrap().remove(0).unwrap();
    let totals = store.global_totals(day("2025-06-02")).await.unwrap().totals;

    assert_eq!(store.write_users(users).await.unwrap(), written(0, 1));
    assert_eq!(store.write_sessions(rows).await.unwrap(), written(0, 2));
    assert_eq!(store.write_progress(courses).await.unwrap(), written(0, 1));

    let after = store.learner_days(&[user(keys, 1)], ALL_DAYS).await.unwrap().remove(0).unwrap();
    assert_eq!((after.days, after.clock.calendar), (before.days, before.clock.calendar));
    while store.settle().await.unwrap().more {}
    assert_eq!(store.global_totals(day("2025-06-02")).await.unwrap().totals, totals);
}

async fn missing_learners_are_added_and_known_ones_kept(dialect: Dialect, keys: KeyType) {
    let fresh = Fresh::migrated(dialect, keys).await;
    let store = fresh.store().await;
    let known = learner(keys, 1, Some("Asia/Shanghai"));
    store.write_users(vec![known.clone()]).await.unwrap();

    let added = store.add_missing_users(vec![learner(keys, 1, None), learner(keys, 2, None)]).await.unwrap();

    assert_eq!(added, written(1, 0));
    assert_eq!(store.users(None, 10).await.unwrap(), [known, learner(keys, 2, None)]);
    assert_eq!(store.add_missing_users(vec![learner(keys, 3, None)]).await.unwrap(), written(1, 0), "all new");
}

async fn listed_rows_are_the_written_ones(dialect: Dialect, keys: KeyType) {
    let fresh = Fresh::migrated(dialect, keys).await;
    let store = fresh.store().await;
    let mut somebody = learner(keys, 1, Some("Pacific/Apia"));
    somebody.username = "自习室 📚 o'clock".to_owned();
    somebody.last_login = Some(at("2025-06-01T00:00:00.000001Z"));
    somebody.is_active = false;
    store.write_users(vec![somebody.clone()]).await.unwrap();
    let mut row = session(keys, 1, 1, "2025-06-01T20:00:00.123456Z", 10);
    row.course_progress_id = Some("9".parse().unwrap()).filter(|_| keys == KeyType::Int);
    row.end_time = Some(at("2025-06-01T19:00:00Z"));
    row.effectiveness_rating = Some(9);
    row.focus_hundredths = Some(-7);
    row.break_count = i16::MIN;
    row.is_active = true;
    row.learning_environment = "home".to_owned();
    row.device_type = "tablet".to_owned();
    row.subject_category = "q\\t\"x'".to_owned();
    row.content_covered = "\u{10FFFF}\n\t".to_owned();
    row.notes = "ноты".repeat(1000);
    row.goal_id = Some(super::rows::key(keys, 4));
    row.learning_plan_id = Some(super::rows::key(keys, 5));
    row.estimator = "gap/900/60/1".parse().ok();
    store.write_sessions(vec![row.clone()]).await.unwrap();

    assert_eq!(store.users(None, 10).await.unwrap(), [somebody]);
    let listed = store.sessions(user(keys, 1), None, 10).await.unwrap().unwrap();
    assert_eq!(listed.into_iter().map(|listed| (listed.row, listed.archived)).collect::<Vec<_>>(), [(row, false)]);
}

async fn rows_with_keys_of_the_other_type_are_refused_as_a_whole(dialect: Dialect, keys: KeyType) {
    let fresh = Fresh::migrated(dialect, keys).await;
    let store = fresh.store().await;
    let other = if keys == KeyType::Int { KeyType::Uuid } else { KeyType::Int };
    let mut with_other_goal = session(keys, 2, 1, "2025-06-01T08:00:00Z", 10);
    with_other_goal.goal_id = Some(super::rows::key(other, 1));

    let refused = [
        store.write_users(vec![learner(keys, 1, None), learner(other, 2, None)]).await,
        store.write_sessions(vec![session(keys, 1, 1, "2025-06-01T08:00:00Z", 10), with_other_goal]).await,
        store.write_progress(vec![progress(other, 1, 1, 5)]).await,
    ];

    for error in refused.map(Result::unwrap_err) {
        assert!(matches!(error, StoreError::OtherKeyType { .. }), "{error}");
        assert!(error.to_string().contains(&keys.to_string()), "{error}");
    }
    let outside = fresh.outside().await;
    assert_eq!((outside.count("users").await, outside.count("study_sessions").await), (0, 0));
    let stranger = match other {
        KeyType::Int => Key::Int(1),
        KeyType::Uuid => super::rows::key(other, 1),
    };
    let stranger = tierkeep_learning::key::UserId::new(stranger);
    assert!(store.learner_days(&[stranger], ALL_DAYS).await.unwrap()[0].is_none());
    assert!(store.learner_activity(&[stranger, stranger]).await.unwrap()[1].is_none());
    assert!(store.learner_courses(&[stranger]).await.unwrap()[0].is_none());
    assert!(store.sessions(stranger, None, 5).await.unwrap().is_none());
}

async fn nothing_to_write_is_nothing_written(dialect: Dialect, keys: KeyType) {
    let fresh = Fresh::migrated(dialect, keys).await;
    let store = fresh.store().await;

    assert_eq!(store.write_users(Vec::new()).await.unwrap(), Written::default());
    assert_eq!(store.write_sessions(Vec::new()).await.unwrap(), Written::default());
    assert_eq!(store.write_progress(Vec::new()).await.unwrap(), Written::default());
}
