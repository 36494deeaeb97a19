//! Stored values that cannot be read, and rows stranger than any import would write: errors or documented values, and
//! never a panic.

use tierkeep_db::Dialect;
use tierkeep_learning::key::KeyType;
use tierkeep_learning::store::{OpenMode, Store, StoreError, rederive};

use super::fresh::{Fresh, Outside, options};
use super::outside;
use super::rows::{ALL_DAYS, day, learner, session, user};

on_both!(
    damaged_values_are_named_with_the_remedy_and_the_remedy_heals,
    totals_over_a_damaged_history_of_zones_are_an_error,
    rating_and_focus_outside_their_range_never_count,
    trash_in_the_list_of_changes_is_survived,
);

const KEYS: KeyType = KeyType::Int;

async fn built(dialect: Dialect) -> (Fresh, std::sync::Arc<dyn Store>, Outside) {
    let fresh = Fresh::migrated(dialect, KEYS).await;
    let store = fresh.store().await;
    store.write_users(vec![learner(KEYS, 1, Some("Asia/Shanghai")), learner(KEYS, 2, None)]).await.unwrap();
    let rows = vec![session(KEYS, 1, 1, "2025-06-27T20:00:00Z", 30), session(KEYS, 2, 2, "2025-06-27T20:00:00Z", 5)];
    store.write_sessions(rows).await.unwrap();
    while store.settle().await.unwrap().more {}
    let outside = fresh.outside().await;
    (fresh, store, outside)
}

fn bytes(dialect: Dialect, hex: &str) -> String {
    match dialect {
        Dialect::Sqlite => format!("x'{hex}'"),
        Dialect::Postgres => format!("'\\x{hex}'"),
    }
}

async fn damaged_values_are_named_with_the_remedy_and_the_remedy_heals(dialect: Dialect) {
    let garbage = bytes(dialect, "01ffffffffffffffffff");
    let newer = bytes(dialect, "6300");
    for damage in [
        format!("update tierkeep_month set days = {garbage} where user_id = 1"),
        format!("update tierkeep_month set days = {newer} where user_id = 1"),
        format!("update tierkeep_month set days = {} where user_id = 1", bytes(dialect, "")),
        format!("update tierkeep_learner set active_days = {garbage} where user_id = 1"),
        "update tierkeep_learner set zones = 'no JSON' where user_id = 1".to_owned(),
        "update tierkeep_learner set zones = '[\"Middle-earth/Shire\"]' where user_id = 1".to_owned(),
        "update tierkeep_learner set zones = '[]' where user_id = 1".to_owned(),
    ] {
        let (fresh, store, outside) = built(dialect).await;
        let reader = fresh.reader().await;
        outside.run(&damage).await;

        let mut errors = Vec::new();
        for store in [&store, &reader] {
            errors.extend(store.learner_days(&[user(KEYS, 2), user(KEYS, 1)], ALL_DAYS).await.err());
            errors.extend(store.learner_activity(&[user(KEYS, 1)]).await.err());
        }
        assert!(errors.len() >= 2, "{damage}: {errors:?}");
        // a fold meets the damage as well, and leaves the change for later
        outside.run(&outside::set_minutes(user(KEYS, 1), 31)).await;
        errors.extend(reader.learner_days(&[user(KEYS, 1)], ALL_DAYS).await.err());
        errors.extend(store.learner_days(&[user(KEYS, 1)], ALL_DAYS).await.err());
        for error in errors {
            assert!(matches!(&error, StoreError::Corrupt { learner, .. } if learner == "1"), "{damage}: {error:?}");
            assert!(error.to_string().contains("tierkeep rederive"), "{error}");
        }
        assert!(store.learner_days(&[user(KEYS, 2)], ALL_DAYS).await.is_ok(), "the others are not concerned");

        rederive(&fresh.url, &options(OpenMode::Existing)).await.unwrap();

        for store in [&reader, &store] {
            let answer = store.learner_days(&[user(KEYS, 1)], ALL_DAYS).await.unwrap().remove(0).unwrap();
            let minutes: Vec<_> = answer.days.into_iter().map(|(day, summary)| (day, summary.minutes)).collect();
            assert_eq!(minutes, [(day("2025-06-28"), 31)], "{damage}");
            assert_eq!(
                store.learner_activity(&[user(KEYS, 1)]).await.unwrap()[0].as_ref().unwrap().active_days.len(),
                1
            );
        }
        while store.settle().await.unwrap().more {}
        let totals = store.global_totals(day("2025-06-28")).await.unwrap().totals;
        assert_eq!((totals.users, totals.sessions, totals.minutes), (2, 2, 36), "{damage}");
    }
}

async fn totals_over_a_damaged_history_of_zones_are_an_error(dialect: Dialect) {
    let (_fresh, store, outside) = built(dialect).await;
    outside.run("update tierkeep_learner set zones = 'no JSON' where user_id = 1").await;
    outside.run(&outside::note(user(KEYS, 3))).await;

    let error = store.global_totals(day("2025-06-28")).await.unwrap_err();

    assert!(matches!(&error, StoreError::Corrupt { learner, .. } if learner == "1"), "{error:?}");
}

async fn rating_and_focus_outside_their_range_never_count(dialect: Dialect) {
    let (_fresh, store, outside) = built(dialect).await;
    // no other values than these fit the column of PostgreSQL; SQLite's holds any number
    let focus = match dialect {
        Dialect::Postgres => vec!["'NaN'", "9.99", "-9.99", "1.01", "-0.01"],
        Dialect::Sqlite => vec!["9e999", "-9e999", "1.004", "-0.004", "1e300", "1.0000000001"],
    };
    let rating = match dialect {
        Dialect::Postgres => vec!["32767", "-32768", "0", "6"],
        Dialect::Sqlite => vec!["9223372036854775807", "-9223372036854775808", "0", "6", "65537"],
    };
    for (column, values) in [("focus_score", focus), ("effectiveness_rating", rating)] {
        for value in values {
            outside.run(&format!("update study_sessions set {column} = {value} where id = 1")).await;

            let passed = store.global_totals(day("2025-06-28")).await.unwrap().totals;
            let answer = store.learner_days(&[user(KEYS, 1)], ALL_DAYS).await.unwrap().remove(0).unwrap();
            while store.settle().await.unwrap().more {}
            let stored = store.global_totals(day("2025-06-28")).await.unwrap().totals;

            assert!(answer.days.is_empty(), "{column} = {value}: {:?}", answer.days);
            assert_eq!((passed.sessions, passed.users), (1, 1), "{column} = {value}");
            assert_eq!(stored, passed, "{column} = {value}");
            assert_eq!(store.sessions(user(KEYS, 1), None, 5).await.unwrap().unwrap().len(), 1);
        }
        outside.run(&format!("update study_sessions set {column} = null where id = 1")).await;
    }
}

async fn trash_in_the_list_of_changes_is_survived(dialect: Dialect) {
    let (_fresh, store, outside) = built(dialect).await;
    let (past, future) = match dialect {
        Dialect::Postgres => ("'-infinity'", "'infinity'"),
        Dialect::Sqlite => ("-9223372036854775808", "9223372036854775807"),
    };
    for (first, last) in [(past, future), (future, past), (past, past), (future, future)] {
        outside
            .run(&format!(
                "insert into tierkeep_outbox (source, key, first, last) values ('study_sessions', 1, {first}, {last})"
            ))
            .await;
    }
    outside
        .run(&format!(
            "insert into tierkeep_outbox (source, key, at, note) values ('users', 1, {future}, 'Asia/Tokyo')"
        ))
        .await;
    outside
        .run(&format!("insert into tierkeep_outbox (source, key, at, note) values ('users', 1, {past}, 'Nowhere')"))
        .await;

    let answer = store.learner_days(&[user(KEYS, 1)], ALL_DAYS).await.unwrap().remove(0).unwrap();

    assert_eq!(answer.days.keys().copied().collect::<Vec<_>>(), [day("2025-06-28")]);
    assert_eq!(outside.count("tierkeep_outbox where not settled").await, 0);
}

#[tokio::test]
async fn infinite_and_far_instants_on_postgres_count_nowhere() {
    let (_fresh, store, outside) = built(Dialect::Postgres).await;
    for start in ["'infinity'", "'-infinity'", "'20000-01-01'", "'4713-01-01 BC'", "'9999-01-01'", "'0001-01-01'"] {
        outside.run(&format!("update study_sessions set start_time = {start}, end_time = {start} where id = 1")).await;
        let passed = store.global_totals(day("2025-06-28")).await.unwrap().totals;
        let answer = store.learner_days(&[user(KEYS, 1)], ALL_DAYS).await.unwrap().remove(0).unwrap();
        while store.settle().await.unwrap().more {}

        assert!(answer.days.is_empty(), "{start}");
        assert_eq!(passed.sessions, 1, "{start}");
        assert_eq!(store.global_totals(day("2025-06-28")).await.unwrap().totals, passed, "{start}");
    }
    // the last instant there is belongs to the last day
    outside
        .run("update study_sessions set start_time = '9998-12-31 23:59:59.999999Z', end_time = 'infinity' where id = 1")
        .await;
    assert_eq!(store.global_totals(day("2025-06-28")).await.unwrap().totals.sessions, 2);
    let answer = store.learner_days(&[user(KEYS, 1)], ALL_DAYS).await.unwrap().remove(0).unwrap();
    assert_eq!(answer.days.keys().copied().collect::<Vec<_>>(), [tierkeep_learning::local_day::LocalDay::MAX]);
    // an end that is before every start
    outside
        .run("update study_sessions set start_time = '2025-06-27 20:00Z', end_time = '-infinity' where id = 1")
        .await;
    assert!(store.learner_days(&[user(KEYS, 1)], ALL_DAYS).await.unwrap()[0].as_ref().unwrap().days.is_empty());
}

#[tokio::test]
async fn numbers_that_only_sqlite_holds_are_cut_off_alike_in_every_answer() {
    let (_fresh, store, outside) = built(Dialect::Sqlite).await;
    outside
        .run("update study_sessions set duration_minutes = 9223372036854775807, break_count = 9223372036854775807")
        .await;

    let passed = store.global_totals(day("2025-06-28")).await.unwrap().totals;
    while store.settle().await.unwrap().more {}

    assert_eq!(passed.minutes, 2 * u64::try_from(i32::MAX).unwrap());
    assert_eq!(store.global_totals(day("2025-06-28")).await.unwrap().totals, passed);
}

#[tokio::test]
async fn texts_that_are_no_keys_on_sqlite_are_nobodys() {
    let fresh = Fresh::migrated(Dialect::Sqlite, KeyType::Uuid).await;
    let (store, outside) = (fresh.store().await, fresh.outside().await);
    store.write_users(vec![learner(KeyType::Uuid, 1, None)]).await.unwrap();
    store.write_sessions(vec![session(KeyType::Uuid, 1, 1, "2025-06-27T20:00:00Z", 30)]).await.unwrap();
    let known = user(KeyType::Uuid, 1);
    outside
        .run(&format!(
            "insert into users (id) values ('somebody'), (upper('0191f9a0-0000-7000-8000-0000000000aa')), (''); \
             insert into study_sessions (id, user_id, start_time) \
                 select 's' || rowid, id, 1751000000000000 from users where id <> '{known}'; \
             insert into study_sessions (id, user_id, start_time) values ('BAD', '{known}', 1751000000000000)"
        ))
        .await;

    for _ in 0..2 {
        let totals = store.global_totals(day("2025-06-28")).await.unwrap().totals;
        assert_eq!((totals.users, totals.sessions), (1, 2));
        assert_eq!(store.users(None, 10).await.unwrap().len(), 1);
        assert_eq!(store.sessions(known, None, 10).await.unwrap().unwrap().len(), 1);
        for call in 0.. {
            assert!(call < 20, "settling does not end");
            if !store.settle().await.unwrap().more {
                break;
            }
        }
        assert_eq!(outside.count("tierkeep_outbox where not settled").await, 0);
    }
    rederive(&fresh.url, &options(OpenMode::Existing)).await.unwrap();
    for call in 0.. {
        assert!(call < 20, "settling does not end");
        if !store.settle().await.unwrap().more {
            break;
        }
    }
    assert_eq!(store.global_totals(day("2025-06-28")).await.unwrap().totals.users, 1);
}
