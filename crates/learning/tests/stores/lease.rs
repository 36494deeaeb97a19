//! What one node at a time does, it does alone.

use std::sync::Arc;
use std::time::Duration;

use tierkeep_db::Dialect;
use tierkeep_learning::key::KeyType;
use tierkeep_learning::store::Store;

use super::fresh::{Fresh, Outside};

on_both!(
    of_many_who_ask_at_once_one_gets_the_lease,
    the_fence_rises_when_the_lease_changes_hands_and_only_then,
    a_lease_ends_by_the_clock_of_the_database,
    a_lease_that_is_given_up_is_free_at_once,
    leases_of_different_names_do_not_meet,
    a_reader_gets_none,
);

const KEYS: KeyType = KeyType::Int;
const LONG: Duration = Duration::from_secs(600);

async fn take(store: &dyn Store, holder: &str) -> Option<u64> {
    store.take_lease("work", holder, LONG).await.unwrap()
}

/// Sets the end of all leases to so many seconds from now, by the clock of the database.
async fn end_in(outside: &Outside, dialect: Dialect, seconds: i32) {
    let sql = match dialect {
        Dialect::Sqlite => {
            format!(
                "update tierkeep_lease set until = cast(unixepoch('subsec') * 1000000 as integer) + {seconds} * 1000000"
            )
        }
        Dialect::Postgres => {
            format!("update tierkeep_lease set until = clock_timestamp() + {seconds} * interval '1 second'")
        }
    };
    outside.run(&sql).await;
}

async fn of_many_who_ask_at_once_one_gets_the_lease(dialect: Dialect) {
    let fresh = Fresh::migrated(dialect, KEYS).await;
    let outside = fresh.outside().await;
    let stores: Vec<Arc<dyn Store>> = vec![fresh.store().await, fresh.store().await, fresh.store().await];
    let mut fence = 0;

    for round in 0..10 {
        let asking: Vec<_> = (0..12)
            .map(|n| {
                let store = Arc::clone(&stores[n % stores.len()]);
                tokio::spawn(async move { take(&*store, &format!("{round}-{n}")).await })
            })
            .collect();
        let mut fences = Vec::new();
        for asked in asking {
            fences.extend(asked.await.unwrap());
        }

        assert_eq!(fences.len(), 1, "{fences:?}");
        assert!(fences[0] > fence, "{fences:?} after {fence}");
        fence = fences[0];
        end_in(&outside, dialect, -1).await;
    }

    // without the condition they would all have got it
    assert_eq!(outside.number("select count(*) from tierkeep_lease").await, 1);
}

async fn the_fence_rises_when_the_lease_changes_hands_and_only_then(dialect: Dialect) {
    let fresh = Fresh::migrated(dialect, KEYS).await;
    let (store, outside) = (fresh.store().await, fresh.outside().await);

    let first = take(&*store, "a").await.unwrap();
    let kept = take(&*store, "a").await.unwrap();
    end_in(&outside, dialect, -1).await;
    let taken_back = take(&*store, "a").await.unwrap();
    end_in(&outside, dialect, -1).await;
    let taken_over = take(&*store, "b").await.unwrap();

    assert_eq!([kept, taken_back, taken_over], [first, first, first + 1]);
}

async fn a_lease_ends_by_the_clock_of_the_database(dialect: Dialect) {
    let fresh = Fresh::migrated(dialect, KEYS).await;
    let (store, outside) = (fresh.store().await, fresh.outside().await);
    take(&*store, "a").await.unwrap();

    assert_eq!(take(&*store, "b").await, None);
    end_in(&outside, dialect, 60).await;
    assert_eq!(take(&*store, "b").await, None);
    end_in(&outside, dialect, -1).await;
    assert!(take(&*store, "b").await.is_some());
    assert_eq!(take(&*store, "a").await, None, "who lost it waits like the others");

    // ten minutes from now, and a day at most, whatever was asked for
    let left = match dialect {
        Dialect::Sqlite => "select until / 1000000 - unixepoch() from tierkeep_lease",
        Dialect::Postgres => "select extract(epoch from until - now())::bigint from tierkeep_lease",
    };
    let seconds = outside.number(left).await;
    assert!((500..=600).contains(&seconds), "{seconds}");
    store.take_lease("work", "b", Duration::MAX).await.unwrap().unwrap();
    let seconds = outside.number(left).await;
    assert!((86_000..=86_400).contains(&seconds), "{seconds}");
}

async fn a_lease_that_is_given_up_is_free_at_once(dialect: Dialect) {
    let fresh = Fresh::migrated(dialect, KEYS).await;
    let store = fresh.store().await;
    take(&*store, "a").await.unwrap();

    store.release_lease("work", "b").await.unwrap();
    assert_eq!(take(&*store, "b").await, None, "it was not theirs to give up");
    store.release_lease("work", "a").await.unwrap();
    assert!(take(&*store, "b").await.is_some());
    store.release_lease("nothing", "a").await.unwrap();
}

async fn leases_of_different_names_do_not_meet(dialect: Dialect) {
    let fresh = Fresh::migrated(dialect, KEYS).await;
    let store = fresh.store().await;

    assert!(take(&*store, "a").await.is_some());
    assert!(store.take_lease("other work", "b", LONG).await.unwrap().is_some());
}

async fn a_reader_gets_none(dialect: Dialect) {
    let fresh = Fresh::migrated(dialect, KEYS).await;

    assert_eq!(take(&*fresh.reader().await, "a").await, None);
    assert_eq!(fresh.outside().await.count("tierkeep_lease").await, 0);
}
