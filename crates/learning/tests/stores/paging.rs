//! Listings by key: pages of any size put together are the whole in order.

use jiff::SignedDuration;
use tierkeep_db::Dialect;
use tierkeep_learning::key::{KeyType, SessionId};
use tierkeep_learning::rows::SessionRow;
use tierkeep_learning::store::{SessionPlace, Store};

use super::fresh::Fresh;
use super::outside;
use super::rows::{at, key, learner, session, user};

on_both_with_both_keys!(
    pages_of_learners_of_any_size_are_the_whole,
    pages_of_sessions_of_any_size_are_the_whole_newest_first,
    places_of_the_other_type_of_key_have_nothing_after_them,
    sessions_past_the_ends_of_time_are_left_out_and_stop_nothing,
);

async fn pages_of_learners_of_any_size_are_the_whole(dialect: Dialect, keys: KeyType) {
    let fresh = Fresh::migrated(dialect, keys).await;
    let store = fresh.store().await;
    let all: Vec<_> = (1..=7).map(|n| learner(keys, n * 100, None)).collect();
    store.write_users(all.iter().rev().cloned().collect()).await.unwrap();

    for size in 1..=8 {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = store.users(after, size).await.unwrap();
            assert!(page.len() <= size as usize);
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            found.extend(page);
        }
        assert_eq!(found, all, "pages of {size}");
    }
    assert!(store.users(None, 0).await.unwrap().is_empty());
}

async fn walk(store: &dyn Store, keys: KeyType, size: u32) -> Vec<(SessionRow, bool)> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = store.sessions(user(keys, 1), after, size).await.unwrap().unwrap();
        let Some(last) = page.last() else { return found };
        after = Some(SessionPlace { start_time: last.row.start_time, id: last.row.id });
        found.extend(page.into_iter().map(|listed| (listed.row, listed.archived)));
        assert!(found.len() < 100, "the listing does not end");
    }
}

async fn pages_of_sessions_of_any_size_are_the_whole_newest_first(dialect: Dialect, keys: KeyType) {
    let fresh = Fresh::migrated(dialect, keys).await;
    let (store, outside) = (fresh.store().await, fresh.outside().await);
    store.write_users(vec![learner(keys, 1, None), learner(keys, 2, None)]).await.unwrap();
    // four starts, three ids each; the two oldest lie in the archive
    let mut all: Vec<SessionRow> =
        (0..12).map(|n| session(keys, 1 + n * 7 % 12, 1, "2025-06-01T08:00:00Z", 5)).collect();
    for (n, row) in all.iter_mut().enumerate() {
        row.start_time += SignedDuration::from_hours(i64::try_from(n % 4).unwrap());
    }
    store.write_sessions(all.clone()).await.unwrap();
    store.write_sessions(vec![session(keys, 50, 2, "2025-06-01T09:00:00Z", 5)]).await.unwrap();
    outside.run(&outside::archive_before(dialect, at("2025-06-01T10:00:00Z"))).await;
    // an id that is live hides its row of the archive
    let mut twin = all[3].clone();
    twin.start_time = at("2025-06-01T01:00:00Z");
    outside.run(&outside::archive_copy(dialect, &twin)).await;
    let mut wanted: Vec<(SessionRow, bool)> = all
        .into_iter()
        .map(|row| {
            let archived = row.start_time < at("2025-06-01T10:00:00Z");
            (row, archived)
        })
        .collect();
    wanted.sort_by_key(|(row, _)| std::cmp::Reverse((row.start_time, row.id)));

    for size in 1..=13 {
        assert_eq!(walk(&*store, keys, size).await, wanted, "pages of {size}");
    }
    assert!(store.sessions(user(keys, 3), None, 5).await.unwrap().is_none(), "an unknown learner");
}

async fn places_of_the_other_type_of_key_have_nothing_after_them(dialect: Dialect, keys: KeyType) {
    let fresh = Fresh::migrated(dialect, keys).await;
    let store = fresh.store().await;
    store.write_users(vec![learner(keys, 1, None), learner(keys, 900, None)]).await.unwrap();
    store.write_sessions(vec![session(keys, 1, 1, "2025-06-01T08:00:00Z", 5)]).await.unwrap();
    let other = if keys == KeyType::Int { KeyType::Uuid } else { KeyType::Int };

    let place = SessionPlace { start_time: at("2026-01-01T00:00:00Z"), id: SessionId::new(key(other, 1)) };

    assert_eq!(store.users(Some(user(other, 1)), 5).await.unwrap(), []);
    assert_eq!(store.sessions(user(keys, 1), Some(place), 5).await.unwrap(), Some(Vec::new()));
    assert_eq!(store.sessions(user(other, 1), None, 5).await.unwrap(), None);
}

async fn sessions_past_the_ends_of_time_are_left_out_and_stop_nothing(dialect: Dialect, keys: KeyType) {
    let fresh = Fresh::migrated(dialect, keys).await;
    let (store, outside) = (fresh.store().await, fresh.outside().await);
    store.write_users(vec![learner(keys, 1, None)]).await.unwrap();
    let known: Vec<SessionRow> = (1..=3).map(|n| session(keys, n, 1, "2025-06-01T08:00:00Z", 5)).collect();
    let strange: Vec<SessionRow> = (11..=16).map(|n| session(keys, n, 1, "2025-06-01T08:00:00Z", 5)).collect();
    store.write_sessions(known.iter().chain(&strange).cloned().collect()).await.unwrap();
    let starts = match dialect {
        Dialect::Postgres => {
            ["'infinity'", "'-infinity'", "'infinity'", "'-infinity'", "'20000-01-01'", "'4713-01-01 BC'"]
        }
        Dialect::Sqlite => [
            "9223372036854775807",
            "-9223372036854775808",
            "9223372036854775807",
            "-9223372036854775808",
            "568971820800000000",
            "-210866803200000000",
        ],
    };
    for (row, start) in strange.iter().zip(starts) {
        let id = super::rows::key_literal(row.id.key());
        outside.run(&format!("update study_sessions set start_time = {start} where id = {id}")).await;
    }

    let mut wanted: Vec<_> = known.into_iter().map(|row| (row, false)).collect();
    wanted.reverse();
    for size in 1..=5 {
        assert_eq!(walk(&*store, keys, size).await, wanted, "pages of {size}");
    }
}
