//! Where the write API meets an erasure: what it keeps of a learner goes with them, and nothing is written about them again.

use std::sync::Arc;

use tierkeep_db::Dialect;
use tierkeep_learning::key::KeyType;
use tierkeep_learning::session_change::{Completion, SessionChange};
use tierkeep_learning::store::Store;
use tierkeep_learning::store::writes::{Expected, Order, Outcome, Refusal, Reply};

use super::fresh::{Fresh, Outside};
use super::outside;
use super::rows::{at, learner, session, user};
use super::writes::{all, change, course, create, noted, one, ready, request, said, session_id, written};

on_both_with_both_keys!(
    kept_answers_are_erased_with_those_of_whom_they_speak,
    nothing_is_written_about_an_erased_learner_who_has_a_row,
);

on_both!(an_answer_about_a_refused_learner_is_erased_too);

const START: &str = "2025-06-27T08:00:00Z";

fn secret(keys: KeyType, of: u32) -> Order {
    create(keys, None, of, SessionChange { notes: Some("a secret".to_owned()), ..said(START) })
}

/// How many kept answers hold what a learner said.
async fn told(dialect: Dialect, outside: &Outside) -> i64 {
    let answer = match dialect {
        Dialect::Sqlite => "cast(answer as text)",
        Dialect::Postgres => "convert_from(answer, 'UTF8')",
    };
    outside.count(&format!("tierkeep_idempotency where {answer} like '%secret%'")).await
}

/// Two learners and four answers: one about each, one about both, and one about a deletion.
async fn answered(dialect: Dialect, keys: KeyType) -> (Fresh, Arc<dyn Store>, Outside) {
    let (fresh, store) = ready(dialect, keys).await;
    let outside = fresh.outside().await;
    let id = written(one(&*store, secret(keys, 2)).await).session.row.id;
    let gone = Order::Delete { id, expected: Expected::Any };
    for (name, orders) in [
        ("one", vec![secret(keys, 1)]),
        ("two", vec![secret(keys, 2)]),
        ("both", vec![secret(keys, 1), secret(keys, 2)]),
        ("gone", vec![gone]),
    ] {
        let done = store.write(request(orders, Some((name, 1)))).await.unwrap();
        assert!(matches!(done, Reply::Done(..)), "{done:?}");
    }
    (fresh, store, outside)
}

async fn kept_answers_are_erased_with_those_of_whom_they_speak(dialect: Dialect, keys: KeyType) {
    let (_fresh, store, outside) = answered(dialect, keys).await;
    assert_eq!(told(dialect, &outside).await, 3);

    let erased = store.erase(user(keys, 2)).await.unwrap().unwrap();

    assert!(erased.is_complete(), "{erased:?}");
    let removed = ["tierkeep_idempotency", "tierkeep_idempotency_learner"].map(|table| erased.removed[table]);
    assert_eq!(removed, [3, 3]);
    assert_eq!(told(dialect, &outside).await, 1, "the other learner's own answer stays");
    let before = outside.count("study_sessions").await;
    for (name, orders) in [
        ("two", vec![secret(keys, 2)]),
        ("both", vec![secret(keys, 1), secret(keys, 2)]),
        ("gone", vec![secret(keys, 2)]),
    ] {
        assert_eq!(store.write(request(orders, Some((name, 1)))).await.unwrap(), Reply::AnswerErased, "{name}");
    }
    let repeated = store.write(request(vec![secret(keys, 1)], Some(("one", 1)))).await.unwrap();
    assert!(matches!(repeated, Reply::Repeated(_)), "{repeated:?}");
    assert_eq!(outside.count("study_sessions").await, before, "a retry does not write the other's rows again");
    assert_eq!(store.erase(user(keys, 2)).await.unwrap(), None);

    assert_eq!(store.forget_idempotency_keys(at("2025-06-29T00:00:00Z")).await.unwrap(), 4);
    assert_eq!(outside.count("tierkeep_idempotency_learner").await, 0, "it goes with the key");

    // the control: who is not noted is not found
    let (_fresh, store, outside) = answered(dialect, keys).await;
    outside.run("delete from tierkeep_idempotency_learner").await;
    store.erase(user(keys, 2)).await.unwrap().unwrap();
    assert_eq!(told(dialect, &outside).await, 3);
}

async fn an_answer_about_a_refused_learner_is_erased_too(dialect: Dialect) {
    let keys = KeyType::Uuid;
    let (fresh, store) = ready(dialect, keys).await;
    let taken = || create(keys, Some(7), 1, said(START));
    let refused = create(keys, Some(7), 2, SessionChange { notes: Some("a secret".to_owned()), ..said(START) });
    store.write(request(vec![taken(), refused], Some(("k", 1)))).await.unwrap();

    let erased = store.erase(user(keys, 2)).await.unwrap().unwrap();

    assert_eq!((erased.removed["tierkeep_idempotency"], erased.is_complete()), (1, true));
    assert_eq!(fresh.outside().await.count("study_sessions").await, 1);
}

/// As on a platform that keeps the row of a learner, and another program's rows of them.
async fn nothing_is_written_about_an_erased_learner_who_has_a_row(dialect: Dialect, keys: KeyType) {
    let (fresh, store) = ready(dialect, keys).await;
    let outside = fresh.outside().await;
    store.erase(user(keys, 2)).await.unwrap().unwrap();
    outside.run(&outside::replace_user(dialect, &learner(keys, 2, None))).await;
    for n in [50, 51] {
        outside.run(&outside::insert(dialect, "study_sessions", &session(keys, n, 2, START, 5))).await;
    }
    let completion =
        Completion { end_time: Some(at("2025-06-27T09:00:00Z")), effectiveness_rating: None, focus_score: None };
    let orders = || {
        vec![
            secret(keys, 2),
            create(keys, Some(60), 2, said(START)),
            Order::PutCourse(course(keys, 2, 5, 1)),
            change(session_id(keys, 50), noted("x")),
            Order::Complete { id: session_id(keys, 50), completion, expected: Expected::Any },
        ]
    };

    let outcomes = all(&*store, [orders(), vec![secret(keys, 1)]].concat()).await;

    let (others, refused) = outcomes.split_last().unwrap();
    for outcome in refused {
        assert_eq!(*outcome, Outcome::Refused(Refusal::ErasedLearner(user(keys, 2))));
    }
    assert!(matches!(others, Outcome::Created(_)), "{others:?}");
    assert_eq!(outside.count("study_sessions").await, 3);
    assert_eq!(outside.count("course_progress").await, 0);
    let gone = one(&*store, Order::Delete { id: session_id(keys, 51), expected: Expected::Any }).await;
    assert_eq!(gone, Outcome::Deleted(user(keys, 2)), "what is there may go");

    // the control: without the tombstone all of it is written
    outside.run("delete from tierkeep_erased").await;
    assert!(
        !all(&*store, orders())
            .await
            .iter()
            .any(|outcome| matches!(outcome, Outcome::Refused(Refusal::ErasedLearner(_))))
    );
    assert_eq!(outside.count("course_progress").await, 1);
}
