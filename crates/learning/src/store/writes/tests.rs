//! Writing to a platform's own tables: through its names, types, rules and missing columns.

use std::sync::Arc;

use serde_json::json;
use tierkeep_db::{Dialect, PoolConfig, migrate_postgres};
use tierkeep_testkit::{PostgresServer, TestDatabase};
use uuid::Uuid;

use super::{CourseWrite, Expected, NewId, Order, Outcome, Refusal, Reply, WriteRequest};
use crate::calendar::{DayStart, Zone};
use crate::efficiency::{Focus, Rating};
use crate::key::{ContentId, Key, KeyType, SessionId, UserId};
use crate::mapping::{Mapping, Preset, Source};
use crate::rows::SessionRow;
use crate::session_change::{Completion, NewSession, SessionChange};
use crate::store::feed::feed;
use crate::store::open::migrations;
use crate::store::{OpenMode, OpenOptions, Store, open};

const PLATFORM: &str = include_str!("../../../tests/stores/schemas/platform.sql");
const DJANGO: &str = include_str!("../../../tests/stores/schemas/django_default.sql");

const UUID: &str = "0191f9a0-0000-7000-8000-000000000001";
const OTHER: &str = "0191f9a0-0000-7000-8000-0000000000f1";

/// A platform's database with Tierkeep's own tables beside its.
async fn platform(schema: &str, keys: KeyType, mapping: Mapping) -> (TestDatabase, Arc<dyn Store>) {
    let database = PostgresServer::shared().await.unwrap().database().await.unwrap();
    let mut client = database.client().await.unwrap();
    client.batch_execute(schema).await.unwrap();
    migrate_postgres(&mut client, &migrations(Dialect::Postgres, keys, false)).await.unwrap();
    let has_zones = schema.contains("time_zone");
    let sessions = mapping.table(Source::StudySessions).quoted();
    let archive =
        format!("create table study_sessions_archive (like {sessions}, archived_at timestamptz default now())");
    client.batch_execute(&archive).await.unwrap();
    let tx = client.transaction().await.unwrap();
    feed(keys, &mapping, has_zones).unwrap().install_postgres(&tx).await.unwrap();
    let text = "update tierkeep_state set mapping = $1, time_zone = 'UTC', day_start = 0";
    tx.execute(text, &[&mapping.to_string()]).await.unwrap();
    tx.commit().await.unwrap();
    let options = OpenOptions {
        mode: OpenMode::Existing,
        pool: PoolConfig::default(),
        default_zone: Zone::utc(),
        day_start: DayStart::default(),
        mapping,
    };
    let store = open(&database.url().parse().unwrap(), &options).await.unwrap();
    (database, store)
}

async fn guide() -> (TestDatabase, Arc<dyn Store>) {
    let (database, store) =
        platform(PLATFORM, KeyType::Uuid, Mapping { preset: Preset::Platform, ..Mapping::default() }).await;
    let learner = "insert into users (uuid, email, username, password, created_at, is_active, is_staff, is_superuser)
                   values ('0191f9a0-0000-7000-8000-000000000001', 'a@example.org', 'a', '', now(), true, false, false)";
    database.client().await.unwrap().batch_execute(learner).await.unwrap();
    (database, store)
}

async fn django() -> (TestDatabase, Arc<dyn Store>) {
    let mapping = serde_json::from_value(json!({
        "preset": "none",
        "users": { "table": "auth_user", "created_at": "date_joined" },
        "study_sessions": {
            "table": "study_studysession", "user_id": "student_id", "start_time": "started_at", "end_time": "ended_at",
            "duration_minutes": "minutes", "effectiveness_rating": "rating", "is_active": "not finished",
            "learning_environment": "place", "subject_category": "subject", "notes": "comment", "updated_at": "modified",
        },
        "course_progress": {
            "table": "courses_enrollment", "user_id": "student_id", "content_id": "course_id", "subject_name": "subject",
            "proficiency_level": "percent", "learning_hour_total": "hours", "est_finish_hour": "hours_expected",
            "updated_at": "modified",
        },
    }))
    .unwrap();
    let (database, store) = platform(DJANGO, KeyType::Int, mapping).await;
    let learner =
        "insert into auth_user (id, username, email, is_active, date_joined) values (1, 'a', '', true, now())";
    database.client().await.unwrap().batch_execute(learner).await.unwrap();
    (database, store)
}

async fn all(store: &dyn Store, orders: Vec<Order>) -> Vec<Outcome> {
    let now = "2025-06-28T12:00:00Z".parse().unwrap();
    let request = WriteRequest { orders, now, idempotency: None, respond: Arc::new(|_| Vec::new()) };
    match store.write(request).await.unwrap() {
        Reply::Done(outcomes, _) => outcomes,
        other => panic!("{other:?}"),
    }
}

async fn one(store: &dyn Store, order: Order) -> Outcome {
    all(store, vec![order]).await.remove(0)
}

fn row(outcome: Outcome) -> SessionRow {
    match outcome {
        Outcome::Created(written) | Outcome::Replayed(written) | Outcome::Changed(written) => written.session.row,
        other => panic!("{other:?}"),
    }
}

fn create(of: &str, id: Option<&str>, content: SessionChange) -> Order {
    let id = id.map_or(NewId::Made(Uuid::from_u64_pair(0x0191_f9a0_0000_7000, 0x8000_0000_0000_00ff)), |id| {
        NewId::Chosen(id.parse().unwrap())
    });
    Order::Create { id, session: NewSession { user_id: of.parse().unwrap(), content } }
}

fn said() -> SessionChange {
    SessionChange { start_time: "2025-06-28T11:00:00Z".parse().ok(), ..SessionChange::default() }
}

fn change(id: SessionId, change: SessionChange) -> Order {
    Order::Change { id, change, expected: Expected::Any }
}

fn fields(outcome: Outcome) -> Vec<String> {
    match outcome {
        Outcome::Refused(Refusal::Fields(faults)) => faults.into_iter().map(|fault| fault.field).collect(),
        other => panic!("{other:?}"),
    }
}

fn course(user_id: UserId, content: Key, difficulty: i32) -> CourseWrite {
    CourseWrite {
        user_id,
        content_id: ContentId::new(content),
        made: Uuid::from_u64_pair(0x0191_f9a0_0000_7000, 0x8000_0000_0000_00aa),
        subject_name: "algebra".into(),
        proficiency_level: 40,
        learning_hour_week: 0,
        learning_hour_total: 7,
        est_finish_hour: None,
        difficulty,
    }
}

#[tokio::test]
async fn sessions_of_the_guides_platform_are_written_under_its_rules() {
    let (database, store) = guide().await;
    let focused = SessionChange { focus_score: Some(Focus::from_hundredths(29).ok()), ..said() };
    let user: UserId = UUID.parse().unwrap();

    let made = row(one(&*store, create(UUID, None, focused)).await);
    let done = Order::Complete { id: made.id, completion: Completion::default(), expected: Expected::Any };
    let done = row(one(&*store, done).await);

    assert_eq!((done.duration_minutes, done.is_active, done.focus_hundredths), (60, false, Some(29)));
    assert_eq!(store.session(made.id).await.unwrap().unwrap().row, done);
    let days = store.learner_days(&[user], crate::local_day::LocalDay::MIN..=crate::local_day::LocalDay::MAX).await;
    let minutes: u64 = days.unwrap().remove(0).unwrap().days.values().map(|day| day.minutes).sum();
    assert_eq!(minutes, 60, "the triggers have seen it");

    // the platform forbids what tierkeep accepts: an end equal to the start, a long subject, references to nothing
    let at_once = SessionChange { end_time: Some(said().start_time), ..said() };
    let long = SessionChange { subject_category: Some("x".repeat(51)), ..said() };
    let no_course = SessionChange { course_progress_id: Some(Some(UUID.parse().unwrap())), ..said() };
    let other = "0191f9a0-0000-7000-8000-000000000002";
    let outcomes = all(
        &*store,
        vec![
            create(UUID, Some(UUID), at_once),
            create(UUID, Some(UUID), long),
            create(UUID, Some(UUID), no_course),
            create(other, Some(UUID), said()),
            create(UUID, Some(UUID), said()),
        ],
    )
    .await;
    let rule = |outcome: &Outcome| match outcome {
        Outcome::Refused(Refusal::Rule { name, is_conflict, .. }) => (name.clone(), *is_conflict),
        other => panic!("{other:?}"),
    };
    assert_eq!(rule(&outcomes[0]), ("study_sessions_end_time_after_start".to_owned(), false));
    assert!(!rule(&outcomes[1]).1);
    assert_eq!(rule(&outcomes[2]), ("study_sessions_course_progress_id_fkey".to_owned(), true));
    assert_eq!(fields(outcomes[3].clone()), ["user_id"]);
    assert!(matches!(outcomes[4], Outcome::Created(_)), "{:?}", outcomes[4]);

    let client = database.client().await.unwrap();
    client.batch_execute("alter table study_sessions add column mood text not null default ''").await.unwrap();
    client.batch_execute("alter table study_sessions alter column mood drop default").await.unwrap();
    let unknown = one(&*store, create(UUID, None, said())).await;
    assert_eq!(rule(&unknown), ("mood".to_owned(), false), "a column that nobody mapped");
}

#[tokio::test]
async fn course_progress_of_the_guides_platform_keeps_its_references() {
    let (database, store) = guide().await;
    let user: UserId = UUID.parse().unwrap();
    let content: Key = UUID.parse().unwrap();
    let client = database.client().await.unwrap();
    let put = |difficulty| Order::PutCourse(course(user, content, difficulty));

    let without_content = one(&*store, put(2)).await;

    // two columns of its own that have no default
    assert!(
        matches!(&without_content, Outcome::Refused(Refusal::Rule { name, .. }) if name == "user_experience"),
        "{without_content:?}"
    );
    client
        .batch_execute(
            "alter table course_progress alter column user_experience set default '', alter column feedback set default '{}';
             insert into course_contents values ('0191f9a0-0000-7000-8000-000000000001', '{\"a\": 1}', '[]', now(), now())",
        )
        .await
        .unwrap();
    let made = one(&*store, put(2)).await;
    let Outcome::CourseCreated(made) = made else { panic!("{made:?}") };
    assert!(
        matches!(one(&*store, put(3)).await, Outcome::CourseReplaced(row) if row.id == made.id && row.difficulty == 3)
    );
    let of_course = SessionChange { course_progress_id: Some(Some(made.id)), ..said() };
    row(one(&*store, create(UUID, None, of_course)).await);

    let refused = one(&*store, Order::DeleteCourse { user_id: user, content_id: ContentId::new(content) }).await;
    assert!(
        matches!(refused, Outcome::Refused(Refusal::Rule { is_conflict: true, .. })),
        "a session belongs to it: {refused:?}"
    );
}

#[tokio::test]
async fn sessions_of_another_platform_are_written_under_its_names_and_what_it_lacks_is_refused() {
    let (database, store) = django().await;
    let content = SessionChange {
        effectiveness_rating: Some(Rating::new(4).ok()),
        learning_environment: Some("home".into()),
        notes: Some("n".into()),
        ..said()
    };

    let made = row(one(&*store, create("1", None, content.clone())).await);
    let chosen = row(one(&*store, create("1", Some("70"), content.clone())).await);
    let replayed = one(&*store, create("1", Some("70"), content.clone())).await;

    assert!(matches!(made.id.key(), Key::Int(id) if id > 0 && id < 70), "the table's own sequence: {}", made.id);
    assert!(matches!(replayed, Outcome::Replayed(_)), "{replayed:?}");
    assert!(made.is_active && chosen.is_active);
    let client = database.client().await.unwrap();
    let finished = "select finished, place, comment from study_studysession where id = 70";
    let stored = client.query_one(finished, &[]).await.unwrap();
    assert_eq!((stored.get::<_, bool>(0), stored.get::<_, &str>(1), stored.get::<_, &str>(2)), (false, "home", "n"));
    let done = Order::Complete { id: chosen.id, completion: Completion::default(), expected: Expected::Any };
    row(one(&*store, done).await);
    assert!(client.query_one(finished, &[]).await.unwrap().get::<_, bool>(0));

    let focused = SessionChange {
        focus_score: Some(Focus::from_hundredths(50).ok()),
        device_type: Some("laptop".into()),
        break_count: Some(1),
        goal_id: Some(Some(Key::Int(4))),
        ..content
    };
    let lacking = ["goal_id", "focus_score", "break_count", "device_type"];
    assert_eq!(fields(one(&*store, create("1", None, focused.clone())).await), lacking);
    assert_eq!(fields(one(&*store, change(chosen.id, focused)).await), lacking);
    let user: UserId = "1".parse().unwrap();
    assert_eq!(fields(one(&*store, Order::PutCourse(course(user, Key::Int(5), 3))).await), ["difficulty"]);
    let put = one(&*store, Order::PutCourse(course(user, Key::Int(5), 1))).await;
    assert!(matches!(put, Outcome::CourseCreated(_)), "{put:?}");
    let gone = Order::DeleteCourse { user_id: user, content_id: ContentId::new(Key::Int(5)) };
    assert_eq!(one(&*store, gone).await, Outcome::CourseDeleted(user));
    let delete = Order::Delete { id: chosen.id, expected: Expected::Any };
    assert_eq!(one(&*store, delete).await, Outcome::Deleted(user));
    assert_eq!(one(&*store, change(chosen.id, said())).await, Outcome::Refused(Refusal::Deleted(chosen.id)));
}

async fn until_waiting(watch: &tokio_postgres::Client, wanted: i64) {
    let waiting =
        "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    while watch.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) < wanted {
        tokio::task::yield_now().await;
    }
}

/// A platform keeps the learner's row, so nothing but the lock and the tombstone stands between a write and an erasure.
#[tokio::test]
async fn a_write_that_meets_an_erasure_waits_for_it_and_is_refused() {
    for asks in [true, false] {
        let (database, store) = guide().await;
        let open = row(one(&*store, create(UUID, None, said())).await);
        let (holder, other, watch) =
            (database.client().await.unwrap(), database.client().await.unwrap(), database.client().await.unwrap());
        holder.batch_execute("begin; select from study_sessions for update").await.unwrap();
        let erasing = tokio::spawn({
            let store = Arc::clone(&store);
            async move { store.erase(UUID.parse().unwrap()).await }
        });
        until_waiting(&watch, 1).await;

        let outcome = if asks {
            let writing = tokio::spawn({
                let store = Arc::clone(&store);
                async move { one(&*store, create(UUID, Some(OTHER), said())).await }
            });
            until_waiting(&watch, 2).await;
            holder.batch_execute("commit").await.unwrap();
            Some(writing.await.unwrap())
        } else {
            // the control: another program asks nobody, is not kept waiting, and is not found either
            let copy = "insert into study_sessions
                        select (jsonb_populate_record(s, jsonb_build_object('id', $1::text))).* from study_sessions s";
            other.execute(copy, &[&OTHER]).await.unwrap();
            holder.batch_execute("commit").await.unwrap();
            None
        };

        let erased = erasing.await.unwrap().unwrap().unwrap();
        assert_eq!(erased.user_id, open.user_id);
        assert!(!erased.removed.contains_key("users"), "{erased:?}");
        let left: i64 = watch.query_one("select count(*) from study_sessions", &[]).await.unwrap().get(0);
        if asks {
            assert_eq!(outcome, Some(Outcome::Refused(Refusal::ErasedLearner(open.user_id))));
            assert_eq!((left, erased.is_complete()), (0, true), "{erased:?}");
        } else {
            assert_eq!((left, erased.is_complete()), (1, false), "{erased:?}");
        }
        let users: i64 = watch.query_one("select count(*) from users", &[]).await.unwrap().get(0);
        assert_eq!(users, 1, "the learner's row is the platform's");
    }
}

/// The other way round: an erasure waits for a request under way, and removes what it wrote.
#[tokio::test]
async fn an_erasure_that_meets_a_write_waits_for_it() {
    let (database, store) = guide().await;
    let first = row(one(&*store, create(UUID, None, said())).await);
    let (holder, watch) = (database.client().await.unwrap(), database.client().await.unwrap());
    holder.batch_execute("begin; select from study_sessions for update").await.unwrap();
    let notes = SessionChange { notes: Some("x".to_owned()), ..SessionChange::default() };
    let orders =
        vec![create(UUID, Some(OTHER), said()), Order::Change { id: first.id, change: notes, expected: Expected::Any }];
    let writing = tokio::spawn({
        let store = Arc::clone(&store);
        async move { all(&*store, orders).await }
    });
    until_waiting(&watch, 1).await;
    let erasing = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.erase(UUID.parse().unwrap()).await }
    });
    until_waiting(&watch, 2).await;

    holder.batch_execute("commit").await.unwrap();

    assert!(writing.await.unwrap().iter().all(|outcome| !outcome.is_refused()));
    let erased = erasing.await.unwrap().unwrap().unwrap();
    assert_eq!((erased.removed["study_sessions"], erased.is_complete()), (2, true), "{erased:?}");
    assert_eq!(store.erase(first.user_id).await.unwrap(), None, "the platform's row is no trace");
}
