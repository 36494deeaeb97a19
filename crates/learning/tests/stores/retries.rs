//! Writing for the API when several write at once, or one writes again: what is written once, and what nobody may lose.

use std::sync::Arc;

use tierkeep_db::Dialect;
use tierkeep_learning::key::KeyType;
use tierkeep_learning::store::writes::{Expected, Order, Outcome, Refusal, Reply, SessionVersion};
use tokio::sync::Barrier;

use super::rows::{at, instant_literal, key, key_literal, learner, user};
use super::writes::{change, course, create, ended, noted, one, ready, request, said, session_id, written};

on_both_with_both_keys!(
    equal_keys_at_once_write_once,
    a_key_of_another_request_is_refused_and_one_without_effect_stays_free,
    keys_are_forgotten_by_age_in_bounded_batches,
    changes_that_race_lose_nothing,
    courses_put_at_once_are_one_row,
);

async fn equal_keys_at_once_write_once(dialect: Dialect, keys: KeyType) {
    const CLIENTS: usize = 8;
    let (fresh, store) = ready(dialect, keys).await;
    let outside = fresh.outside().await;
    for (key, rows) in [(Some(("k", 1)), 1), (None, 1 + CLIENTS as i64)] {
        let together = Arc::new(Barrier::new(CLIENTS));
        let mut clients = tokio::task::JoinSet::new();
        for _ in 0..CLIENTS {
            let (store, together) = (Arc::clone(&store), Arc::clone(&together));
            let order = create(keys, None, 1, ended("2025-06-27T08:00:00Z", 30));
            clients.spawn(async move {
                together.wait().await;
                store.write(request(vec![order], key)).await.unwrap()
            });
        }

        let replies = clients.join_all().await;

        assert_eq!(outside.count("study_sessions").await, rows, "without a key each retry is a session of its own");
        if key.is_some() {
            let done: Vec<_> = replies
                .iter()
                .filter_map(|reply| match reply {
                    Reply::Done(_, answer) => Some(answer),
                    _ => None,
                })
                .collect();
            assert_eq!(done.len(), 1);
            let repeated = replies.iter().filter(|reply| matches!(reply, Reply::Repeated(answer) if answer == done[0]));
            assert_eq!(repeated.count(), CLIENTS - 1);
        }
    }
    // the control: without what is kept the same retry writes again
    outside.run("delete from tierkeep_idempotency").await;
    store.write(request(vec![create(keys, None, 1, said("2025-06-27T08:00:00Z"))], Some(("k", 1)))).await.unwrap();
    assert_eq!(outside.count("study_sessions").await, 2 + CLIENTS as i64);
}

async fn a_key_of_another_request_is_refused_and_one_without_effect_stays_free(dialect: Dialect, keys: KeyType) {
    let (fresh, store) = ready(dialect, keys).await;
    let order = |of| create(keys, None, of, said("2025-06-27T08:00:00Z"));

    let refused = store.write(request(vec![order(3)], Some(("k", 1)))).await.unwrap();
    store.write_users(vec![learner(keys, 3, None)]).await.unwrap();
    let done = store.write(request(vec![order(3)], Some(("k", 1)))).await.unwrap();
    let other = store.write(request(vec![order(3)], Some(("k", 2)))).await.unwrap();

    assert!(matches!(&refused, Reply::Done(outcomes, _) if matches!(outcomes[0], Outcome::Refused(_))), "{refused:?}");
    assert!(matches!(&done, Reply::Done(outcomes, _) if matches!(outcomes[0], Outcome::Created(_))), "{done:?}");
    assert_eq!(other, Reply::KeyTaken);
    assert_eq!((done.touched(), other.touched()), (vec![user(keys, 3)], Vec::new()));
    assert_eq!(fresh.outside().await.count("study_sessions").await, 1);
}

async fn keys_are_forgotten_by_age_in_bounded_batches(dialect: Dialect, keys: KeyType) {
    let (fresh, store) = ready(dialect, keys).await;
    let outside = fresh.outside().await;
    let (blob, bytes) = match dialect {
        Dialect::Sqlite => ("x'00'", "integer"),
        Dialect::Postgres => ("'\\x00'::bytea", "timestamptz"),
    };
    let old = instant_literal(dialect, at("2025-06-27T11:59:59Z"));
    outside
        .run(&format!(
            "with recursive n (n) as (select 1 union all select n + 1 from n where n < 1500)
             insert into tierkeep_idempotency (key, request, answer, created_at)
             select 'old' || n, {blob}, {blob}, cast({old} as {bytes}) from n"
        ))
        .await;
    let order = || create(keys, None, 1, said("2025-06-27T08:00:00Z"));
    store.write(request(vec![order()], Some(("new", 1)))).await.unwrap();
    let before = at("2025-06-27T12:00:00Z");

    let batches = [
        store.forget_idempotency_keys(before).await.unwrap(),
        store.forget_idempotency_keys(before).await.unwrap(),
        store.forget_idempotency_keys(before).await.unwrap(),
    ];

    assert_eq!(batches, [1000, 500, 0]);
    let kept = store.write(request(vec![order()], Some(("new", 1)))).await.unwrap();
    assert!(matches!(kept, Reply::Repeated(_)));
}

/// Clients that each add a letter to the notes: read, then write what was read and one letter more.
async fn changes_that_race_lose_nothing(dialect: Dialect, keys: KeyType) {
    const CLIENTS: usize = 6;
    let (_fresh, store) = ready(dialect, keys).await;
    for with_version in [true, false] {
        let id = written(one(&*store, create(keys, None, 1, said("2025-06-28T11:00:00Z"))).await).session.row.id;
        let together = Arc::new(Barrier::new(CLIENTS));
        let mut clients = tokio::task::JoinSet::new();
        for _ in 0..CLIENTS {
            let (store, together) = (Arc::clone(&store), Arc::clone(&together));
            clients.spawn(async move {
                let mut is_first = true;
                loop {
                    let found = store.session(id).await.unwrap().unwrap();
                    if std::mem::take(&mut is_first) {
                        together.wait().await;
                    }
                    let version = SessionVersion::of(&found);
                    let expected = if with_version { Expected::OneOf(vec![version]) } else { Expected::Any };
                    let change = noted(&format!("{}x", found.row.notes));
                    match one(&*store, Order::Change { id, change, expected }).await {
                        Outcome::Refused(Refusal::OtherVersion { .. }) => {}
                        outcome => {
                            written(outcome);
                            return;
                        }
                    }
                }
            });
        }
        clients.join_all().await;

        let letters = store.session(id).await.unwrap().unwrap().row.notes.len();
        if with_version {
            assert_eq!(letters, CLIENTS);
        } else {
            assert_eq!(letters, 1, "the control: without versions all but one are lost");
        }
    }
}

async fn courses_put_at_once_are_one_row(dialect: Dialect, keys: KeyType) {
    const CLIENTS: usize = 6;
    let (fresh, store) = ready(dialect, keys).await;
    let together = Arc::new(Barrier::new(CLIENTS));
    let mut clients = tokio::task::JoinSet::new();
    for n in 0..CLIENTS {
        let (store, together) = (Arc::clone(&store), Arc::clone(&together));
        let put = Order::PutCourse(course(keys, 1, 5, i32::try_from(n).unwrap()));
        clients.spawn(async move {
            together.wait().await;
            one(&*store, put).await
        });
    }

    let outcomes = clients.join_all().await;

    assert_eq!(outcomes.iter().filter(|outcome| matches!(outcome, Outcome::CourseCreated(_))).count(), 1);
    assert_eq!(fresh.outside().await.count("course_progress").await, 1);
}

/// A connection that a request left in the middle of its transaction keeps nothing of it.
#[tokio::test]
async fn a_request_that_is_given_up_writes_nothing() {
    let keys = KeyType::Uuid;
    let (fresh, store) = ready(Dialect::Postgres, keys).await;
    let outside = fresh.outside().await;
    written(one(&*store, create(keys, Some(1), 1, said("2025-06-28T11:00:00Z"))).await);
    outside
        .run(&format!("begin; select from study_sessions where id = {} for update", key_literal(key(keys, 1))))
        .await;
    let orders = vec![create(keys, Some(2), 1, said("2025-06-28T11:00:00Z")), change(session_id(keys, 1), noted("x"))];

    let mut writing = Box::pin(store.write(request(orders, Some(("k", 1)))));
    let watch = fresh.outside().await;
    let waiting =
        "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    while watch.number(waiting).await == 0 {
        let _ = futures_util::poll!(&mut writing);
        tokio::task::yield_now().await;
    }
    drop(writing);
    outside.run("rollback").await;

    let again =
        store.write(request(vec![create(keys, Some(3), 1, said("2025-06-28T11:00:00Z"))], Some(("k", 1)))).await;
    assert!(matches!(again.unwrap(), Reply::Done(..)), "the key is free");
    assert_eq!(watch.count("study_sessions").await, 2);
}
