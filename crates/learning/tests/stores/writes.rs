//! Writing for the API: what is decided, what is written once, and what nobody may lose.

use std::sync::Arc;

use jiff::SignedDuration;
use tierkeep_db::Dialect;
use tierkeep_learning::efficiency::{Focus, Rating};
use tierkeep_learning::key::{ContentId, CourseProgressId, Key, KeyType, SessionId};
use tierkeep_learning::rows::SessionRow;
use tierkeep_learning::session_change::{Completion, Flag, NewSession, SessionChange};
use tierkeep_learning::store::Store;
use tierkeep_learning::store::writes::{
    CourseWrite, Expected, IdempotencyKey, NewId, Order, Outcome, Refusal, Reply, SessionVersion, WriteRequest,
    WrittenSession,
};
use uuid::Uuid;

use super::fresh::Fresh;
use super::outside;
use super::rows::{ALL_DAYS, at, day, key, learner, progress, session, user};

on_both_with_both_keys!(
    a_created_session_is_stored_as_told_and_counts_at_once,
    a_retry_under_a_chosen_id_writes_once_and_another_session_conflicts,
    a_change_writes_what_was_said_and_only_that,
    completing_sets_end_and_minutes_and_may_be_repeated,
    a_deleted_session_is_gone_and_stays_gone,
    archived_sessions_are_left_alone,
    what_is_wrong_is_refused_with_every_field,
    a_refused_order_does_not_stop_the_others,
    made_ids_are_never_those_of_others,
    course_progress_is_put_and_deleted_with_its_duplicates,
);

pub(super) const NOW: &str = "2025-06-28T12:00:00Z";

pub(super) fn session_id(keys: KeyType, n: u32) -> SessionId {
    SessionId::new(key(keys, n))
}

pub(super) fn said(start: &str) -> SessionChange {
    SessionChange { start_time: Some(at(start)), ..SessionChange::default() }
}

pub(super) fn ended(start: &str, minutes: i64) -> SessionChange {
    SessionChange { end_time: Some(Some(at(start) + SignedDuration::from_mins(minutes))), ..said(start) }
}

pub(super) fn create(keys: KeyType, id: Option<u32>, of: u32, content: SessionChange) -> Order {
    let made = NewId::Made(Uuid::from_u64_pair(0x0199_0000_0000_7000, rand()));
    let id = id.map_or(made, |n| NewId::Chosen(session_id(keys, n)));
    Order::Create { id, session: NewSession { user_id: user(keys, of), content } }
}

/// A number that was not given before.
fn rand() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0x8000_0000_0000_0001);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

pub(super) fn change(id: SessionId, change: SessionChange) -> Order {
    Order::Change { id, change, expected: Expected::Any }
}

pub(super) fn noted(notes: &str) -> SessionChange {
    SessionChange { notes: Some(notes.to_owned()), ..SessionChange::default() }
}

pub(super) fn request(orders: Vec<Order>, key: Option<(&str, u8)>) -> WriteRequest {
    let idempotency = key.map(|(key, request)| IdempotencyKey { key: key.to_owned(), request: [request; 32] });
    let respond = Arc::new(|outcomes: &[Outcome]| format!("{outcomes:?}").into_bytes());
    WriteRequest { orders, now: at(NOW), idempotency, respond }
}

pub(super) async fn all(store: &dyn Store, orders: Vec<Order>) -> Vec<Outcome> {
    match store.write(request(orders, None)).await.unwrap() {
        Reply::Done(outcomes, _) => outcomes,
        other => panic!("{other:?}"),
    }
}

pub(super) async fn one(store: &dyn Store, order: Order) -> Outcome {
    all(store, vec![order]).await.remove(0)
}

pub(super) fn written(outcome: Outcome) -> WrittenSession {
    match outcome {
        Outcome::Created(written) | Outcome::Replayed(written) | Outcome::Changed(written) => written,
        other => panic!("{other:?}"),
    }
}

fn fields(outcome: Outcome) -> Vec<String> {
    match outcome {
        Outcome::Refused(Refusal::Fields(faults)) => faults.into_iter().map(|fault| fault.field).collect(),
        other => panic!("{other:?}"),
    }
}

pub(super) async fn ready(dialect: Dialect, keys: KeyType) -> (Fresh, Arc<dyn Store>) {
    let fresh = Fresh::migrated(dialect, keys).await;
    let store = fresh.store().await;
    store.write_users(vec![learner(keys, 1, None), learner(keys, 2, None)]).await.unwrap();
    (fresh, store)
}

pub(super) async fn minutes(store: &dyn Store, keys: KeyType, of: u32) -> u64 {
    let days = store.learner_days(&[user(keys, of)], ALL_DAYS).await.unwrap().remove(0).unwrap().days;
    days.values().map(|day| day.minutes).sum()
}

async fn a_created_session_is_stored_as_told_and_counts_at_once(dialect: Dialect, keys: KeyType) {
    let (_fresh, store) = ready(dialect, keys).await;
    store.write_progress(vec![progress(keys, 4, 1, 5)]).await.unwrap();
    let content = SessionChange {
        course_progress_id: Some(Some(CourseProgressId::new(key(keys, 4)))),
        effectiveness_rating: Some(Rating::new(4).ok()),
        focus_score: Some(Focus::from_hundredths(29).ok()),
        break_count: Some(2),
        learning_environment: Some("home".into()),
        device_type: Some("laptop".into()),
        subject_category: Some("o'clock \"x\" \\".into()),
        content_covered: Some("矩阵".into()),
        notes: Some("a\nb".into()),
        goal_id: Some(Some(key(keys, 7))),
        learning_plan_id: Some(Some(key(keys, 8))),
        ..ended("2025-06-27T08:00:00.000001Z", 61)
    };
    assert_eq!(minutes(&*store, keys, 1).await, 0);

    let created = written(one(&*store, create(keys, None, 1, content.clone())).await);
    let chosen = written(one(&*store, create(keys, Some(90), 1, content)).await);

    assert_eq!(minutes(&*store, keys, 1).await, 122);
    assert_eq!((chosen.session.row.id, chosen.flags), (session_id(keys, 90), vec![Flag::Overlap]));
    let row = &created.session.row;
    assert_eq!((row.duration_minutes, row.is_active, row.focus_hundredths), (61, false, Some(29)));
    assert_eq!((row.created_at, row.updated_at), (at(NOW), at(NOW)));
    assert_eq!(created.flags, []);
    let listed = store.sessions(user(keys, 1), None, 10).await.unwrap().unwrap();
    assert!(listed.contains(&created.session) && listed.contains(&chosen.session), "{listed:?}");
    let found = store.session(row.id).await.unwrap().unwrap();
    assert_eq!(SessionVersion::of(&found), SessionVersion::of(&created.session));
}

async fn a_retry_under_a_chosen_id_writes_once_and_another_session_conflicts(dialect: Dialect, keys: KeyType) {
    let (fresh, store) = ready(dialect, keys).await;
    let order = |minutes| create(keys, Some(5), 1, ended("2025-06-27T08:00:00Z", minutes));

    let outcomes = all(&*store, vec![order(30), order(30), order(31)]).await;
    let again = one(&*store, order(30)).await;
    let of_another = one(&*store, create(keys, Some(5), 2, ended("2025-06-27T08:00:00Z", 30))).await;

    assert!(matches!(outcomes[0], Outcome::Created(_)) && matches!(outcomes[1], Outcome::Replayed(_)));
    assert_eq!(outcomes[2], Outcome::Refused(Refusal::OtherContent(session_id(keys, 5))));
    assert!(matches!(again, Outcome::Replayed(_)), "{again:?}");
    assert_eq!(of_another, Outcome::Refused(Refusal::OtherContent(session_id(keys, 5))));
    assert_eq!(fresh.outside().await.count("study_sessions").await, 1);
}

async fn a_change_writes_what_was_said_and_only_that(dialect: Dialect, keys: KeyType) {
    let (fresh, store) = ready(dialect, keys).await;
    let mut stored = session(keys, 1, 1, "2025-06-27T08:00:00Z", 20);
    stored.end_time = Some(at("2025-06-27T08:30:00Z"));
    stored.effectiveness_rating = Some(9);
    store.write_sessions(vec![stored.clone()]).await.unwrap();
    let id = stored.id;

    let noted_only = written(one(&*store, change(id, noted("n"))).await).session.row;
    assert_eq!(noted_only, SessionRow { notes: "n".into(), updated_at: at(NOW), ..stored.clone() });
    assert_eq!(minutes(&*store, keys, 1).await, 0, "its rating is invalid");

    let before = fresh.outside().await.count("tierkeep_outbox").await;
    let same = written(one(&*store, change(id, noted("n"))).await).session.row;
    assert_eq!((same, fresh.outside().await.count("tierkeep_outbox").await), (noted_only, before), "nothing written");

    let moved = SessionChange {
        effectiveness_rating: Some(None),
        start_time: Some(at("2025-06-20T08:00:00Z")),
        ..SessionChange::default()
    };
    written(one(&*store, change(id, moved)).await);
    let days = store.learner_days(&[user(keys, 1)], ALL_DAYS).await.unwrap().remove(0).unwrap().days;
    assert_eq!(days.keys().copied().collect::<Vec<_>>(), [day("2025-06-20")]);
    assert_eq!(minutes(&*store, keys, 1).await, 7 * 24 * 60 + 30);
}

async fn completing_sets_end_and_minutes_and_may_be_repeated(dialect: Dialect, keys: KeyType) {
    let (_fresh, store) = ready(dialect, keys).await;
    let open = written(one(&*store, create(keys, None, 1, said("2025-06-28T11:00:00Z"))).await).session.row;
    let complete = |completion| Order::Complete { id: open.id, completion, expected: Expected::Any };
    let rated = Completion { effectiveness_rating: Rating::new(5).ok(), ..Completion::default() };
    assert!(open.is_active);

    let done = written(one(&*store, complete(rated)).await).session.row;
    let again = written(one(&*store, complete(rated)).await).session.row;
    let otherwise = one(&*store, complete(Completion { effectiveness_rating: Rating::new(1).ok(), ..rated })).await;

    assert_eq!((done.end_time, done.duration_minutes, done.is_active), (Some(at(NOW)), 60, false));
    assert_eq!((done.effectiveness_rating, &again), (Some(5), &done));
    assert_eq!(otherwise, Outcome::Refused(Refusal::EndedOtherwise(open.id)));
    let later = written(one(&*store, create(keys, None, 1, said("2025-06-28T12:00:01Z"))).await).session.row;
    let early = Order::Complete { id: later.id, completion: Completion::default(), expected: Expected::Any };
    assert_eq!(fields(one(&*store, early).await), ["end_time"]);
}

async fn a_deleted_session_is_gone_and_stays_gone(dialect: Dialect, keys: KeyType) {
    let (_fresh, store) = ready(dialect, keys).await;
    let order = || create(keys, Some(5), 1, ended("2025-06-27T08:00:00Z", 30));
    let id = session_id(keys, 5);
    let delete = |expected| Order::Delete { id, expected };
    let version = SessionVersion::of(&written(one(&*store, order()).await).session);
    written(one(&*store, change(id, noted("n"))).await);

    let stale = one(&*store, delete(Expected::OneOf(vec![version]))).await;
    assert!(matches!(stale, Outcome::Refused(Refusal::OtherVersion { .. })), "{stale:?}");
    assert_eq!(one(&*store, delete(Expected::Any)).await, Outcome::Deleted(user(keys, 1)));

    assert_eq!(minutes(&*store, keys, 1).await, 0);
    assert_eq!(one(&*store, delete(Expected::Any)).await, Outcome::AlreadyDeleted);
    assert_eq!(one(&*store, order()).await, Outcome::Refused(Refusal::Deleted(id)));
    assert_eq!(one(&*store, change(id, noted("x"))).await, Outcome::Refused(Refusal::Deleted(id)));
    let unknown = session_id(keys, 6);
    assert_eq!(one(&*store, change(unknown, noted("x"))).await, Outcome::Refused(Refusal::UnknownSession(unknown)));
    assert!(store.session(id).await.unwrap().is_none());
}

async fn archived_sessions_are_left_alone(dialect: Dialect, keys: KeyType) {
    let (fresh, store) = ready(dialect, keys).await;
    let id = session_id(keys, 5);
    let order = |minutes| create(keys, Some(5), 1, ended("2025-06-27T08:00:00Z", minutes));
    let row = written(one(&*store, order(30)).await).session.row;
    let outside = fresh.outside().await;
    outside.run(&outside::archive_copy(dialect, &row)).await;
    outside.run(&outside::delete("study_sessions", id)).await;

    let expected = Expected::Any;
    let complete = Order::Complete { id, completion: Completion::default(), expected: expected.clone() };
    for order in [change(id, noted("x")), complete, Order::Delete { id, expected }] {
        assert_eq!(one(&*store, order).await, Outcome::Refused(Refusal::Archived(id)));
    }
    let replayed = one(&*store, order(30)).await;
    assert!(matches!(&replayed, Outcome::Replayed(written) if written.session.archived), "{replayed:?}");
    assert_eq!(one(&*store, order(31)).await, Outcome::Refused(Refusal::OtherContent(id)));
    assert_eq!((outside.count("study_sessions").await, outside.count("study_sessions_archive").await), (0, 1));
}

async fn what_is_wrong_is_refused_with_every_field(dialect: Dialect, keys: KeyType) {
    let (fresh, store) = ready(dialect, keys).await;
    store.write_progress(vec![progress(keys, 4, 2, 5)]).await.unwrap();
    let other = if keys == KeyType::Int { KeyType::Uuid } else { KeyType::Int };

    let nobody = create(keys, None, 3, said("2025-06-27T08:00:00Z"));
    let stranger =
        create(other, Some(1), 1, SessionChange { goal_id: Some(Some(key(other, 1))), ..said("2025-06-27T08:00:00Z") });
    let course = SessionChange {
        course_progress_id: Some(Some(CourseProgressId::new(key(keys, 4)))),
        ..said("2025-06-27T08:00:00Z")
    };
    let backwards = SessionChange { duration_minutes: Some(7), ..ended("2025-06-27T08:00:00Z", 6) };

    assert_eq!(fields(one(&*store, nobody).await), ["user_id"]);
    assert_eq!(fields(one(&*store, stranger).await), ["goal_id", "id", "user_id"]);
    assert_eq!(fields(one(&*store, create(keys, None, 1, course.clone())).await), ["course_progress_id"]);
    assert_eq!(fields(one(&*store, create(keys, None, 1, backwards)).await), ["duration_minutes", "end_time"]);
    assert_eq!(fields(one(&*store, create(keys, None, 1, SessionChange::default())).await), ["start_time"]);
    let row = written(one(&*store, create(keys, None, 1, said("2025-06-27T08:00:00Z"))).await).session.row;
    let moved = SessionChange { course_progress_id: course.course_progress_id, ..SessionChange::default() };
    assert_eq!(fields(one(&*store, change(row.id, moved)).await), ["course_progress_id"]);
    let strange_id = SessionId::new(key(other, 1));
    assert_eq!(
        one(&*store, change(strange_id, noted("x"))).await,
        Outcome::Refused(Refusal::UnknownSession(strange_id))
    );
    assert!(store.session(strange_id).await.unwrap().is_none());
    assert_eq!(fresh.outside().await.count("study_sessions").await, 1);
    assert!(fresh.reader().await.write(request(Vec::new(), None)).await.is_err(), "reading only");
}

async fn a_refused_order_does_not_stop_the_others(dialect: Dialect, keys: KeyType) {
    let (fresh, store) = ready(dialect, keys).await;
    // a rule that only the database knows
    let outside = fresh.outside().await;
    outside.run("create unique index one_at_a_time on study_sessions (user_id, start_time)").await;
    let orders = vec![
        create(keys, Some(1), 1, ended("2025-06-27T08:00:00Z", 10)),
        create(keys, Some(2), 3, ended("2025-06-27T09:00:00Z", 10)),
        create(keys, Some(3), 1, ended("2025-06-27T08:00:00Z", 10)),
        create(keys, None, 1, ended("2025-06-27T10:00:00Z", 10)),
        create(keys, Some(1), 1, ended("2025-06-27T08:00:00Z", 10)),
    ];

    let outcomes = all(&*store, orders).await;

    assert!(matches!(outcomes[0], Outcome::Created(_)) && matches!(outcomes[3], Outcome::Created(_)));
    assert_eq!(fields(outcomes[1].clone()), ["user_id"]);
    assert!(matches!(&outcomes[2], Outcome::Refused(Refusal::Rule { is_conflict: true, .. })), "{:?}", outcomes[2]);
    assert!(matches!(outcomes[4], Outcome::Replayed(_)));
    assert_eq!(outside.count("study_sessions").await, 2);
    assert_eq!(minutes(&*store, keys, 1).await, 20);
}

async fn made_ids_are_never_those_of_others(dialect: Dialect, keys: KeyType) {
    let (fresh, store) = ready(dialect, keys).await;
    let outside = fresh.outside().await;
    let rows: Vec<_> = (1..=3).map(|n| session(keys, n, 1, "2025-06-27T08:00:00Z", 1)).collect();
    store.write_sessions(rows).await.unwrap();
    outside.run(&outside::archive_copy(dialect, &session(keys, 7, 1, "2025-06-27T08:00:00Z", 1))).await;
    one(&*store, create(keys, Some(9), 1, said("2025-06-27T08:00:00Z"))).await;
    one(&*store, Order::Delete { id: session_id(keys, 9), expected: Expected::Any }).await;
    if keys == KeyType::Int {
        // the largest there is must not be the end of all making
        outside
            .run(&outside::insert(
                dialect,
                "study_sessions",
                &SessionRow {
                    id: SessionId::new(Key::Int(i64::MAX)),
                    ..session(keys, 1, 1, "2025-06-27T08:00:00Z", 1)
                },
            ))
            .await;
    }

    let mut ids = Vec::new();
    for n in 0..4 {
        let order = create(keys, None, 1, ended("2025-06-27T08:00:00Z", n + 1));
        ids.push(written(one(&*store, order).await).session.row.id);
    }
    one(&*store, Order::Delete { id: ids[3], expected: Expected::Any }).await;
    let after = written(one(&*store, create(keys, None, 1, said("2025-06-27T08:00:00Z"))).await).session.row.id;

    assert!(!ids.contains(&after), "no id is used again");
    ids.push(after);
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 5);
    if keys == KeyType::Int {
        assert_eq!(ids, (10..15).map(|n| session_id(keys, n)).collect::<Vec<_>>());
    }
}

pub(super) fn course(keys: KeyType, of: u32, content: u32, level: i32) -> CourseWrite {
    CourseWrite {
        user_id: user(keys, of),
        content_id: ContentId::new(key(keys, content)),
        made: Uuid::from_u64_pair(0x0199_0000_0000_7000, rand()),
        subject_name: "algebra".to_owned(),
        proficiency_level: level,
        learning_hour_week: 1,
        learning_hour_total: 2,
        est_finish_hour: Some(3),
        difficulty: 4,
    }
}

async fn course_progress_is_put_and_deleted_with_its_duplicates(dialect: Dialect, keys: KeyType) {
    let (fresh, store) = ready(dialect, keys).await;
    let mut rows: Vec<_> = (1..=3).map(|n| progress(keys, n, 1, 5)).collect();
    rows[1].updated_at = at("2026-01-01T00:00:00Z");
    store.write_progress(rows).await.unwrap();
    let put = |of, content, level| Order::PutCourse(course(keys, of, content, level));
    let content_id = ContentId::new(key(keys, 5));
    let delete = |of| Order::DeleteCourse { user_id: user(keys, of), content_id };
    let counted = async || {
        let rows = store.learner_courses(&[user(keys, 1)]).await.unwrap().remove(0).unwrap().rows;
        let counted = rows.into_iter().filter(|row| row.content_id == content_id);
        counted.max_by_key(|row| (row.updated_at, row.id)).map(|row| row.proficiency_level)
    };

    let replaced = one(&*store, put(1, 5, 77)).await;
    assert!(
        matches!(&replaced, Outcome::CourseReplaced(row)
        if row.id.key() == key(keys, 2) && row.updated_at == at("2026-01-01T00:00:00Z")),
        "{replaced:?}"
    );
    assert_eq!(counted().await, Some(77));
    assert!(matches!(one(&*store, put(1, 6, 1)).await, Outcome::CourseCreated(_)));
    assert!(matches!(one(&*store, put(1, 6, 2)).await, Outcome::CourseReplaced(_)));
    assert!(matches!(one(&*store, put(3, 6, 2)).await, Outcome::Refused(Refusal::UnknownLearner(_))));

    assert_eq!(one(&*store, delete(1)).await, Outcome::CourseDeleted(user(keys, 1)));
    assert!(matches!(one(&*store, delete(1)).await, Outcome::Refused(Refusal::UnknownCourse { .. })));
    assert!(matches!(one(&*store, delete(3)).await, Outcome::Refused(Refusal::UnknownLearner(_))));
    assert_eq!((counted().await, fresh.outside().await.count("course_progress").await), (None, 1));
}
