//! Writing through the API: what is accepted, what is told of what is not, and that what was written is read.

use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::{Value, json};
use tierkeep_db::Dialect;
use tierkeep_learning::store::OpenMode;
use tierkeep_testkit::RedisServer;

use crate::fixture::{ADA, Answer, BOB, Fixture, NOBODY, NOW, ask};
use crate::node::{Installation, Node, on_both};

on_both!(
    what_was_written_is_read_at_once_on_the_same_node,
    what_was_written_is_read_on_another_node_with_its_position,
    what_was_written_is_read_on_another_node_with_its_position_and_redis,
    a_repeated_request_is_answered_as_before,
    versions_keep_changes_from_being_lost,
    courses_are_put_and_deleted,
    nothing_is_written_about_an_erased_learner,
);

/// A session of the fixture, and one that does not exist.
const OPEN: &str = "00000003-0000-4000-8000-000000000006";
const UNKNOWN: &str = "00000003-0000-4000-8000-0000000000ff";
/// An id of the client's choice.
const CHOSEN: &str = "0199f9a0-0000-7000-8000-000000000001";

fn request(method: Method, address: &str, body: &Value) -> Request<Body> {
    with(method, address, &[], body)
}

fn with(method: Method, address: &str, headers: &[(&str, &str)], body: &Value) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(address).header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(if body.is_null() { Body::empty() } else { Body::from(body.to_string()) }).unwrap()
}

fn new_session(minutes: u32) -> Value {
    json!({ "user_id": ADA, "start_time": "2026-01-31T09:00:00+01:00", "end_time": format!("2026-01-31T08:{minutes:02}:00Z") })
}

fn daily(user: &str) -> String {
    format!("/v1/users/{user}/stats/daily?date=2026-01-31")
}

async fn read(node: &Node, position: Option<&str>) -> Answer {
    let headers: Vec<_> = position.map(|position| ("x-tierkeep-position", position)).into_iter().collect();
    node.send(with(Method::GET, &daily(ADA), &headers, &Value::Null)).await
}

fn sessions_of(answer: &Answer) -> u64 {
    assert_eq!(answer.status, 200, "{}", answer.shown());
    answer.json()["total_sessions"].as_u64().unwrap()
}

async fn what_was_written_is_read_at_once_on_the_same_node(dialect: Dialect) {
    let installation = Installation::new(dialect).await;
    let node = installation.node(None).await;
    let mut wanted = sessions_of(&node.until_tier(&daily(ADA), "l1").await);
    let created = node.send(request(Method::POST, "/v1/sessions", &new_session(30))).await;
    assert_eq!(created.status, 201, "{}", created.shown());
    let id = created.json()["id"].as_str().unwrap().to_owned();
    let address = format!("/v1/sessions/{id}");
    assert_eq!(created.header("location"), address);
    assert_eq!(created.json()["duration_minutes"], 30);
    wanted += 1;
    assert_eq!(sessions_of(&node.get(&daily(ADA)).await), wanted, "memory was warm");

    // each with memory warm again
    for (method, address, body, change) in [
        (Method::PATCH, address.clone(), json!({ "end_time": "2026-01-31T08:45:00Z" }), 0),
        (Method::POST, format!("/v1/sessions/{OPEN}/complete"), json!({ "effectiveness_rating": 4 }), 0),
        (Method::POST, "/v1/sessions/batch".into(), json!({ "sessions": [new_session(5), new_session(6)] }), 2),
        (Method::DELETE, address, Value::Null, -1),
    ] {
        let before = node.until_tier(&daily(ADA), "l1").await;
        let answer = node.send(request(method, &address, &body)).await;
        assert!(answer.status.is_success(), "{address}");
        assert!(answer.header("x-tierkeep-position").parse::<u64>().is_ok(), "{address}");
        let after = node.get(&daily(ADA)).await;
        wanted = wanted.checked_add_signed(change).unwrap();
        assert_eq!(sessions_of(&after), wanted, "{address}");
        assert_ne!(before.header("etag"), after.header("etag"), "{address}");
    }
}

async fn on_another_node(dialect: Dialect, redis: Option<&str>) {
    let installation = Installation::new(dialect).await;
    let (one, other) = (installation.node(redis).await, installation.node(redis).await);
    let mut was_old = false;
    for minutes in 1..=20 {
        let before = sessions_of(&other.until_tier(&daily(ADA), "l1").await);

        let created = one.send(request(Method::POST, "/v1/sessions", &new_session(minutes))).await;
        let position = created.header("x-tierkeep-position").to_owned();
        // the control: without the position the other node may answer with what it knows, until it asks the database
        was_old |= sessions_of(&read(&other, None).await) == before;
        let with_position = read(&other, Some(&position)).await;

        assert_eq!(sessions_of(&with_position), before + 1, "write {minutes}");
        assert_eq!(sessions_of(&read(&other, None).await), before + 1, "the node has learnt of it");
    }
    assert!(was_old, "reads without the position were never old: the test shows nothing");
}

async fn what_was_written_is_read_on_another_node_with_its_position(dialect: Dialect) {
    on_another_node(dialect, None).await;
}

async fn what_was_written_is_read_on_another_node_with_its_position_and_redis(dialect: Dialect) {
    let redis = RedisServer::launch().await.unwrap();
    on_another_node(dialect, Some(&redis.url())).await;
}

async fn a_repeated_request_is_answered_as_before(dialect: Dialect) {
    let installation = Installation::new(dialect).await;
    let (one, other) = (installation.node(None).await, installation.node(None).await);
    let send = async |node: &Node, key: &str, body: &Value| {
        node.send(with(Method::POST, "/v1/sessions", &[("idempotency-key", key)], body)).await
    };

    let first = send(&one, "k-1", &new_session(30)).await;
    let again = send(&other, "k-1", &new_session(30)).await;
    let taken = send(&one, "k-1", &new_session(31)).await;
    let new = send(&one, "k-2", &new_session(30)).await;

    assert_eq!((first.status.as_u16(), again.status.as_u16(), new.status.as_u16()), (201, 201, 201));
    assert_eq!((&first.body, first.header("location")), (&again.body, again.header("location")));
    assert_eq!(first.header("etag"), again.header("etag"));
    assert_eq!((first.header("idempotency-replayed"), again.header("idempotency-replayed")), ("", "true"));
    assert!(!again.header("x-tierkeep-position").is_empty());
    assert_eq!(
        (taken.status.as_u16(), taken.json()["type"].as_str()),
        (422, Some("urn:tierkeep:problem:idempotency-conflict"))
    );
    assert_ne!(first.json()["id"], new.json()["id"]);

    let chosen = json!({ "id": CHOSEN, "user_id": BOB, "start_time": "2026-01-31T08:00:00Z" });
    let mut other_content = chosen.clone();
    other_content["notes"] = "x".into();
    let statuses = [
        one.send(request(Method::POST, "/v1/sessions", &chosen)).await.status.as_u16(),
        other.send(request(Method::POST, "/v1/sessions", &chosen)).await.status.as_u16(),
        one.send(request(Method::POST, "/v1/sessions", &other_content)).await.status.as_u16(),
    ];
    assert_eq!(statuses, [201, 200, 409]);
}

async fn versions_keep_changes_from_being_lost(dialect: Dialect) {
    let installation = Installation::new(dialect).await;
    let node = installation.node(None).await;
    let address = format!("/v1/sessions/{OPEN}");
    let patch = async |tag: &str, notes: &str| {
        node.send(with(Method::PATCH, &address, &[("if-match", tag)], &json!({ "notes": notes }))).await
    };
    let get = with(Method::GET, &address, &[("accept-encoding", "gzip")], &Value::Null);
    let tag = node.send(get).await.header("etag").to_owned();

    let changed = patch(&tag, "one").await;
    let stale = patch(&tag, "two").await;
    let weak = patch(&format!("W/{}", changed.header("etag")), "three").await;
    let any = patch("*", "four").await;
    let listed = patch(&format!("\"x\", {}", any.header("etag")), "five").await;

    assert!(tag.starts_with('"'), "{tag}");
    let statuses = [&changed, &stale, &weak, &any, &listed].map(|answer| answer.status.as_u16());
    assert_eq!(statuses, [200, 412, 412, 200, 200]);
    assert_eq!(stale.json()["accepted"], changed.header("etag"));
    let read = node.get(&address).await;
    assert_eq!((read.json()["notes"].as_str(), read.header("etag")), (Some("five"), listed.header("etag")));
    let deleted = node.send(with(Method::DELETE, &address, &[("if-match", &tag)], &Value::Null)).await;
    assert_eq!(deleted.status, 412);
    assert_eq!(patch("tag", "six").await.status, 400);
}

async fn courses_are_put_and_deleted(dialect: Dialect) {
    let installation = Installation::new(dialect).await;
    let node = installation.node(None).await;
    let summary = format!("/v1/users/{ADA}/courses/summary");
    let address = format!("/v1/users/{ADA}/courses/{CHOSEN}");
    let total = async || node.until_tier(&summary, "l1").await.json()["total_courses"].clone();
    let before = total().await;
    let body = json!({ "subject_name": "Chemistry", "proficiency_level": 10, "difficulty": 2 });

    let made = node.send(request(Method::PUT, &address, &body)).await;
    let with_it = node.get(&summary).await.json()["total_courses"].clone();
    let replaced = node.send(request(Method::PUT, &address, &json!({ "proficiency_level": 11 }))).await;
    let gone = node.send(request(Method::DELETE, &address, &Value::Null)).await;
    let without_it = node.get(&summary).await.json()["total_courses"].clone();
    let again = node.send(request(Method::DELETE, &address, &Value::Null)).await;
    let nobody = format!("/v1/users/{NOBODY}/courses/{CHOSEN}");

    assert_eq!((made.status.as_u16(), replaced.status.as_u16(), gone.status.as_u16()), (201, 200, 204));
    assert_eq!(with_it, before.as_u64().unwrap() + 1);
    assert_eq!((without_it, again.status.as_u16()), (before, 404));
    assert_eq!(
        (made.json()["id"].clone(), replaced.json()["subject_name"].as_str()),
        (replaced.json()["id"].clone(), Some(""))
    );
    assert_eq!(node.send(request(Method::PUT, &nobody, &body)).await.status, 404);
    assert_eq!(node.send(request(Method::DELETE, &nobody, &Value::Null)).await.status, 404);
    let bad = json!({ "proficiency_level": 101, "difficulty": 0, "est_finish_hour": 0, "learning_hour_week": -1, "level": 1 });
    insta::assert_snapshot!("course_fields", node.send(request(Method::PUT, &address, &bad)).await.shown());
}

#[tokio::test]
async fn every_bad_session_has_its_problem() {
    let fixture = Fixture::new().await;
    let start = "2026-01-31T08:00:00Z";
    let session = |more: Value| {
        let mut session = json!({ "user_id": ADA, "start_time": start });
        session.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        session.to_string()
    };
    let table = [
        ("session_no_json", "{\"user_id\": ".to_owned()),
        ("session_empty", String::new()),
        ("session_no_object", "[]".to_owned()),
        ("session_nan", format!("{{\"user_id\":\"{ADA}\",\"focus_score\":NaN}}")),
        ("session_without_anything", "{}".to_owned()),
        ("session_unknown_fields", session(json!({ "rating": 4, "subject": "x", "archived": true }))),
        (
            "session_twice_a_field",
            format!("{{\"user_id\":\"{ADA}\",\"start_time\":\"{start}\",\"notes\":\"a\",\"notes\":\"b\"}}"),
        ),
        (
            "session_wrong_types",
            session(json!({
                "start_time": 1_769_846_400, "end_time": "soon", "duration_minutes": "30", "effectiveness_rating": 4.5,
                "focus_score": "high", "break_count": null, "is_active": 1, "notes": ["x"], "goal_id": {}, "id": "a",
            })),
        ),
        (
            "session_out_of_range",
            session(json!({
                "duration_minutes": -1, "effectiveness_rating": 6, "focus_score": 1.5, "break_count": 40_000,
                "learning_environment": "moon", "device_type": "abacus", "subject_category": "x".repeat(101),
                "notes": "a\u{0}b",
            })),
        ),
        ("session_focus_of_three_decimals", session(json!({ "focus_score": 0.855 }))),
        (
            "session_huge_numbers",
            session(json!({ "duration_minutes": 1e300, "break_count": 9_223_372_036_854_775_807_i64 })),
        ),
        ("session_without_zone", session(json!({ "start_time": "2026-01-31T08:00:00", "end_time": "2026-01-31" }))),
        (
            "session_outside_time",
            session(json!({ "start_time": "0001-01-01T00:00:00Z", "end_time": "9999-06-01T00:00:00Z" })),
        ),
        ("session_end_before_start", session(json!({ "end_time": "2026-01-31T07:59:59Z" }))),
        (
            "session_contradicts_itself",
            session(
                json!({ "end_time": "2026-01-31T08:30:00Z", "duration_minutes": 31, "is_active": true, "focus_score": 2 }),
            ),
        ),
        ("session_unknown_learner", json!({ "user_id": NOBODY, "start_time": start }).to_string()),
        ("session_learner_of_the_other_type", json!({ "user_id": 42, "start_time": start, "id": 7 }).to_string()),
        ("session_unknown_course", session(json!({ "course_progress_id": UNKNOWN }))),
        ("session_key_of_the_other_type", session(json!({ "goal_id": 9 }))),
        ("session_too_long", session(json!({ "notes": "x".repeat(70_000) }))),
    ];
    for (name, body) in table {
        let request = Request::post("/v1/sessions").header("content-type", "application/json");
        let answer = ask(fixture.app(), request.body(Body::from(body)).unwrap()).await;
        insta::assert_snapshot!(name, answer.shown());
    }
    let listed = fixture.store.sessions(ADA.parse().unwrap(), None, 100).await.unwrap().unwrap();
    assert_eq!(listed.len(), 7, "nothing was written");
}

#[tokio::test]
async fn every_bad_write_has_its_problem() {
    let fixture = Fixture::new().await;
    let open = format!("/v1/sessions/{OPEN}");
    let unknown = format!("/v1/sessions/{UNKNOWN}");
    let table = [
        ("patch_unknown", Method::PATCH, unknown.clone(), json!({ "notes": "x" })),
        ("patch_of_the_other_type", Method::PATCH, "/v1/sessions/7".into(), json!({ "notes": "x" })),
        ("patch_unreadable_id", Method::PATCH, "/v1/sessions/x".into(), json!({ "notes": "x" })),
        (
            "patch_fixed_fields",
            Method::PATCH,
            open.clone(),
            json!({ "id": UNKNOWN, "user_id": BOB, "start_time": null }),
        ),
        ("patch_end_before_start", Method::PATCH, open.clone(), json!({ "end_time": "2026-01-31T13:00:00Z" })),
        ("complete_unknown", Method::POST, format!("{unknown}/complete"), Value::Null),
        (
            "complete_bad_fields",
            Method::POST,
            format!("{open}/complete"),
            json!({ "rating": 3, "effectiveness_rating": 0 }),
        ),
        (
            "complete_otherwise",
            Method::POST,
            "/v1/sessions/00000003-0000-4000-8000-000000000001/complete".into(),
            json!({ "effectiveness_rating": 5 }),
        ),
        ("delete_unknown", Method::DELETE, unknown.clone(), Value::Null),
        ("read_unknown", Method::GET, unknown, Value::Null),
        ("batch_of_sessions_too_many", Method::POST, "/v1/sessions/batch".into(), json!({ "sessions": vec![0; 1001] })),
        ("batch_of_sessions_bare", Method::POST, "/v1/sessions/batch".into(), json!([])),
        ("put_without_method", Method::PUT, open, json!({})),
    ];
    for (name, method, address, body) in table {
        insta::assert_snapshot!(name, ask(fixture.app(), request(method, &address, &body)).await.shown());
    }
    let long = "k".repeat(256);
    for key in ["", "two words", "schlüssel", long.as_str()] {
        let request = with(Method::POST, "/v1/sessions", &[("idempotency-key", key)], &new_session(1));
        assert_eq!(ask(fixture.app(), request).await.status, 400, "{key}");
    }
    for position in ["", "-1", "1.5", "x", "18446744073709551616"] {
        for address in [daily(ADA), "/v1/stats/global".into(), format!("/v1/users/{ADA}/sessions")] {
            let request = with(Method::GET, &address, &[("x-tierkeep-position", position)], &Value::Null);
            assert_eq!(ask(fixture.app(), request).await.status, 400, "{position} {address}");
        }
    }
}

#[tokio::test]
async fn a_batch_tells_what_became_of_each() {
    let fixture = Fixture::new().await;
    let chosen = json!({ "id": CHOSEN, "user_id": BOB, "start_time": "2026-01-31T08:00:00Z", "duration_minutes": 5 });
    let mut other = chosen.clone();
    other["notes"] = "x".into();
    let bad = json!({ "user_id": ADA, "start_time": "2026-01-31T08:00:00" });
    let nobody = json!({ "user_id": NOBODY, "start_time": "2026-01-31T08:00:00Z" });
    let body = json!({ "sessions": [chosen, bad, chosen, other, 7, nobody] });

    let answer = ask(fixture.app(), request(Method::POST, "/v1/sessions/batch", &body)).await;

    insta::assert_snapshot!("session_batch", answer.shown());
    let listed = fixture.store.sessions(BOB.parse().unwrap(), None, 100).await.unwrap().unwrap();
    assert_eq!(listed.len(), 1);
    let nothing = ask(fixture.app(), request(Method::POST, "/v1/sessions/batch", &json!({ "sessions": [] }))).await;
    assert_eq!(nothing.json(), json!({ "results": [] }));
}

#[tokio::test]
async fn a_written_session_looks_like_a_listed_one() {
    let fixture = Fixture::new().await;
    let body = json!({
        "id": CHOSEN, "user_id": ADA, "start_time": "2026-01-30T10:00:00.123456789Z", "end_time": "2026-01-31T10:00:00Z",
        "course_progress_id": "00000001-0000-4000-8000-000000000001", "effectiveness_rating": 5, "focus_score": 0.29,
        "break_count": 2, "learning_environment": "home", "device_type": null, "subject_category": "语文", "notes": "\"'",
    });

    let created = ask(fixture.app(), request(Method::POST, "/v1/sessions", &body)).await;
    let listed = ask(fixture.app(), request(Method::GET, &format!("/v1/users/{ADA}/sessions"), &Value::Null)).await;

    insta::assert_snapshot!("created_session", created.shown());
    let mut session = created.json();
    session.as_object_mut().unwrap().remove("flags");
    assert!(listed.json()["items"].as_array().unwrap().contains(&session));
    assert_eq!(
        ask(fixture.app(), request(Method::GET, &format!("/v1/sessions/{CHOSEN}"), &Value::Null)).await.json(),
        session
    );
}

#[tokio::test]
async fn a_server_that_only_reads_writes_nothing() {
    let installation = Installation::new(Dialect::Sqlite).await;
    let node = Node::start(&installation.url(), None, NOW, OpenMode::ReadOnly).await;

    let answer = node.send(request(Method::POST, "/v1/sessions", &new_session(1))).await;

    insta::assert_snapshot!("write_read_only", answer.shown());
}

async fn nothing_is_written_about_an_erased_learner(dialect: Dialect) {
    let installation = Installation::new(dialect).await;
    let node = installation.node(None).await;
    let keyed = || with(Method::POST, "/v1/sessions", &[("idempotency-key", "k")], &new_session(30));
    assert_eq!(node.send(keyed()).await.status, 201);
    let receipt = node.send(request(Method::DELETE, &format!("/v1/users/{ADA}"), &Value::Null)).await;
    assert_eq!(receipt.json()["removed"]["tierkeep_idempotency"], 1, "{}", receipt.shown());
    let told = |answer: &Answer| (answer.status.as_u16(), answer.json()["type"].as_str().unwrap().to_owned());
    let erased = (409, "urn:tierkeep:problem:erased-learner".to_owned());

    let again = node.send(keyed()).await;
    assert_eq!(told(&again), (409, "urn:tierkeep:problem:answer-erased".to_owned()), "{}", again.shown());
    let course = json!({ "subject_name": "x", "proficiency_level": 4 });
    let course_address = format!("/v1/users/{ADA}/courses/{BOB}");
    // with the row in `users` that a platform keeps, and without
    for keeps_row in [false, true] {
        if keeps_row {
            let row = "insert into users (id, email, username) values ('ADA', 'a', 'a')";
            installation.run(&row.replace("ADA", ADA)).await;
        }
        let create = node.send(request(Method::POST, "/v1/sessions", &new_session(30))).await;
        assert_eq!(told(&create), erased, "{}", create.shown());
        let put = node.send(request(Method::PUT, &course_address, &course)).await;
        assert_eq!(told(&put), erased, "{}", put.shown());
        let batch = json!({ "sessions": [new_session(5)] });
        let rejected = node.send(request(Method::POST, "/v1/sessions/batch", &batch)).await.json();
        assert_eq!(rejected["results"][0]["error"]["type"], erased.1, "{rejected}");
    }

    // the control
    installation.run("delete from tierkeep_erased").await;
    assert_eq!(node.send(request(Method::POST, "/v1/sessions", &new_session(30))).await.status, 201);
}
