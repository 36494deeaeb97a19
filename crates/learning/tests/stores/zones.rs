//! Histories of zones: the first reaches back for ever, a later one changes no past answer.

use tierkeep_db::Dialect;
use tierkeep_learning::key::KeyType;
use tierkeep_learning::store::Store;

use super::fresh::{Fresh, Outside};
use super::outside;
use super::rows::{ALL_DAYS, day, learner, session, user};

on_both!(
    first_zone_reaches_back_for_ever,
    later_zone_changes_no_past_day_whether_anybody_read_before_or_not,
    learner_without_a_zone_any_more_has_the_installations_from_then_on,
    unknown_zone_counts_as_the_installations,
    learner_who_comes_back_begins_a_new_history_whether_folded_between_or_not,
    totals_know_a_zone_that_is_not_folded_yet,
    another_spelling_of_the_zone_is_no_change,
);

const KEYS: KeyType = KeyType::Int;
/// 04:00 of the next day in Shanghai, 16:00 in New York; before and after any clock this runs by.
const PAST: &str = "2024-06-27T20:00:00Z";
const FUTURE: &str = "2090-06-27T20:00:00Z";

async fn days(store: &dyn Store) -> Vec<String> {
    let answer = store.learner_days(&[user(KEYS, 1)], ALL_DAYS).await.unwrap().remove(0).unwrap();
    answer.days.keys().map(ToString::to_string).collect()
}

async fn with_sessions(dialect: Dialect, zone: Option<&str>) -> (Fresh, std::sync::Arc<dyn Store>, Outside) {
    let fresh = Fresh::migrated(dialect, KEYS).await;
    let store = fresh.store().await;
    store.write_users(vec![learner(KEYS, 1, zone)]).await.unwrap();
    let sessions = vec![session(KEYS, 1, 1, PAST, 30), session(KEYS, 2, 1, FUTURE, 30)];
    store.write_sessions(sessions).await.unwrap();
    let outside = fresh.outside().await;
    (fresh, store, outside)
}

async fn first_zone_reaches_back_for_ever(dialect: Dialect) {
    let (_fresh, store, outside) = with_sessions(dialect, None).await;
    assert_eq!(days(&*store).await, ["2024-06-27", "2090-06-27"]);

    outside.run(&outside::set_zone(user(KEYS, 1), Some("Asia/Shanghai"))).await;

    assert_eq!(days(&*store).await, ["2024-06-28", "2090-06-28"]);
}

async fn later_zone_changes_no_past_day_whether_anybody_read_before_or_not(dialect: Dialect) {
    for somebody_reads in [true, false] {
        let (fresh, store, outside) = with_sessions(dialect, Some("Asia/Shanghai")).await;
        if somebody_reads {
            assert_eq!(days(&*store).await, ["2024-06-28", "2090-06-28"]);
        }

        outside.run(&outside::set_zone(user(KEYS, 1), Some("America/New_York"))).await;

        assert_eq!(days(&*fresh.reader().await).await, ["2024-06-28", "2090-06-27"], "read-only, {somebody_reads}");
        assert_eq!(days(&*store).await, ["2024-06-28", "2090-06-27"], "{somebody_reads}");
        let later = session(KEYS, 3, 1, "2090-07-01T20:00:00Z", 5);
        let earlier = session(KEYS, 4, 1, "2024-07-01T20:00:00Z", 5);
        store.write_sessions(vec![later, earlier]).await.unwrap();
        assert_eq!(days(&*store).await, ["2024-06-28", "2024-07-02", "2090-06-27", "2090-07-01"]);
    }
}

async fn learner_without_a_zone_any_more_has_the_installations_from_then_on(dialect: Dialect) {
    let (_fresh, store, outside) = with_sessions(dialect, Some("Asia/Shanghai")).await;

    outside.run(&outside::set_zone(user(KEYS, 1), None)).await;

    assert_eq!(days(&*store).await, ["2024-06-28", "2090-06-27"]);
}

async fn unknown_zone_counts_as_the_installations(dialect: Dialect) {
    let (_fresh, store, outside) = with_sessions(dialect, Some("Middle-earth/Shire")).await;
    assert_eq!(days(&*store).await, ["2024-06-27", "2090-06-27"]);

    outside.run(&outside::set_zone(user(KEYS, 1), Some("Asia/Shanghai"))).await;
    assert_eq!(days(&*store).await, ["2024-06-28", "2090-06-28"], "no zone was known before");
    outside.run(&outside::set_zone(user(KEYS, 1), Some("📚"))).await;

    assert_eq!(days(&*store).await, ["2024-06-28", "2090-06-27"]);
    assert_eq!(store.users(None, 5).await.unwrap()[0].time_zone.as_deref(), Some("📚"));
}

async fn learner_who_comes_back_begins_a_new_history_whether_folded_between_or_not(dialect: Dialect) {
    for is_folded_between in [true, false] {
        let (_fresh, store, outside) = with_sessions(dialect, Some("Asia/Shanghai")).await;
        assert_eq!(days(&*store).await, ["2024-06-28", "2090-06-28"]);

        outside.run(&outside::delete_user(user(KEYS, 1))).await;
        if is_folded_between {
            while store.settle().await.unwrap().more {}
        }
        assert!(store.learner_days(&[user(KEYS, 1)], ALL_DAYS).await.unwrap()[0].is_none());
        outside.run("insert into users (id, time_zone) values (1, 'America/New_York')").await;

        assert_eq!(days(&*store).await, ["2024-06-27", "2090-06-27"], "{is_folded_between}");
    }
}

async fn totals_know_a_zone_that_is_not_folded_yet(dialect: Dialect) {
    let (_fresh, store, outside) = with_sessions(dialect, Some("Asia/Shanghai")).await;
    while store.settle().await.unwrap().more {}
    let on = async |text| store.global_totals(day(text)).await.unwrap().totals.by_day.into_keys().collect::<Vec<_>>();
    assert_eq!(on("2090-06-28").await, [day("2090-06-28")]);

    outside.run(&outside::set_zone(user(KEYS, 1), Some("America/New_York"))).await;

    assert_eq!(on("2090-06-28").await, [day("2090-06-27")], "a later session moves");
    assert_eq!(on("2024-06-28").await, [day("2024-06-28")], "an earlier one stays");
}

async fn another_spelling_of_the_zone_is_no_change(dialect: Dialect) {
    let (_fresh, store, outside) = with_sessions(dialect, Some("Asia/Shanghai")).await;
    assert_eq!(days(&*store).await, ["2024-06-28", "2090-06-28"]);

    outside.run(&outside::set_zone(user(KEYS, 1), Some("asia/shanghai"))).await;

    let answer = store.learner_days(&[user(KEYS, 1)], ALL_DAYS).await.unwrap().remove(0).unwrap();
    assert_eq!(answer.clock.calendar.zones().changes().count(), 0);
}
