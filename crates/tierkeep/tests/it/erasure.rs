//! A learner's data: handed out, erased everywhere, and what is stored beside what the rows give. Over HTTP and by the
//! command line.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use jiff::SignedDuration;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use tempfile::TempDir;
use tierkeep::audit::Auditor;
use tierkeep::erasure::follow_departures;
use tierkeep_db::Dialect;
use tierkeep_learning::store::erasure::Grace;
use tierkeep_testkit::RedisServer;

use crate::fixture::{ADA, Answer, BOB, NOBODY, NOW, ask, fill, run};
use crate::node::{Installation, Node, on_both};
use crate::serve::{signal, start};

on_both!(
    erasing_leaves_nothing_in_any_tier,
    export_is_the_same_over_http_and_by_the_command_line,
    the_auditor_finds_and_mends_what_somebody_spoilt,
    departed_learners_are_erased_in_all_tiers,
);

async fn delete(node: &Node, address: &str) -> Answer {
    node.send(Request::delete(address).body(Body::empty()).unwrap()).await
}

/// Names of all keys of a server, one after the other.
fn names_in(redis: &RedisServer) -> String {
    let mut server = UnixStream::connect(redis.socket()).unwrap();
    server.write_all(b"KEYS *\r\nQUIT\r\n").unwrap();
    let mut names = Vec::new();
    server.read_to_end(&mut names).unwrap();
    String::from_utf8_lossy(&names).into_owned()
}

fn daily() -> String {
    format!("/v1/users/{ADA}/stats/daily?date=2026-01-30")
}

async fn erasing_leaves_nothing_in_any_tier(dialect: Dialect) {
    let installation = Installation::new(dialect).await;
    let redis = RedisServer::launch().await.unwrap();
    let node = installation.node(Some(&redis.url())).await;
    let other = installation.node(Some(&redis.url())).await;
    node.until_tier(&daily(), "l1").await;
    other.until_tier(&daily(), "l1").await;
    node.until_tier("/v1/stats/global", "l1").await;
    node.until_tier(&format!("/v1/users/{BOB}/streaks"), "l1").await;
    assert!(names_in(&redis).contains(&format!("daily/{ADA}/2026-01-30")));

    let answer = delete(&node, &format!("/v1/users/{ADA}")).await;

    assert_eq!(answer.status, StatusCode::OK, "{}", answer.shown());
    let receipt = answer.json();
    assert_eq!((&receipt["user_id"], &receipt["complete"]), (&json!(ADA), &json!(true)), "{receipt}");
    assert_eq!(receipt["caches"], json!({ "complete": true, "l2": "given", "nodes": "given" }));
    assert_eq!(
        (&receipt["removed"]["study_sessions"], &receipt["removed"]["course_progress"], &receipt["removed"]["users"]),
        (&json!(7), &json!(2), &json!(1))
    );
    assert!(receipt["remaining"].as_object().unwrap().values().all(|rows| rows == 0), "{receipt}");
    let names = names_in(&redis);
    assert!(!names.contains(ADA), "no value of theirs is left, outdated or not: {names}");
    assert!(names.contains(&format!("streaks/{BOB}")), "those of others are: {names}");
    for node in [&node, &other] {
        node.until(&daily(), |answer| answer.status == StatusCode::NOT_FOUND).await;
        let global = node.until("/v1/stats/global", |answer| answer.json()["total_sessions"] == 0).await.json();
        assert_eq!((&global["total_users"], &global["most_popular_device"]), (&json!(0), &Value::Null));
    }
    for address in ["stats/weekly", "streaks", "sessions", "courses/summary", "export"] {
        assert_eq!(node.get(&format!("/v1/users/{ADA}/{address}")).await.status, StatusCode::NOT_FOUND, "{address}");
    }
    assert_eq!(node.get("/v1/users").await.json()["items"].as_array().unwrap().len(), 1);
    assert_eq!(delete(&node, &format!("/v1/users/{ADA}")).await.status, StatusCode::NOT_FOUND, "twice");
    assert_eq!(delete(&node, &format!("/v1/users/{NOBODY}")).await.status, StatusCode::NOT_FOUND);
    assert_eq!(delete(&node, "/v1/users/7").await.status, StatusCode::NOT_FOUND, "a key of the other type");
    assert_eq!(delete(&node, "/v1/users/ada").await.status, StatusCode::BAD_REQUEST);
    assert_eq!(delete(&node, &format!("/v1/users/{BOB}?force=1")).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(node.get(&format!("/v1/users/{BOB}/streaks")).await.status, StatusCode::OK);
}

async fn export_is_the_same_over_http_and_by_the_command_line(dialect: Dialect) {
    let installation = Installation::new(dialect).await;
    let node = installation.node(None).await;
    let directory = tempfile::tempdir().unwrap();
    let url = installation.url();
    let at = ["--database", url.as_str(), "--now", NOW];

    let answer = node.get(&format!("/v1/users/{ADA}/export")).await;
    let (code, stdout, stderr) = run(&directory, &[&["export", ADA], &at[..]].concat());
    assert_eq!(run(&directory, &[&["export", ADA, "--output", "ada.json"], &at[..]].concat()).0, 0);

    assert_eq!(code, 0, "{stderr}");
    assert_eq!((answer.status, answer.header("cache-control")), (StatusCode::OK, "no-store"));
    assert_eq!(String::from_utf8(answer.body.clone()).unwrap(), stdout);
    assert_eq!(std::fs::read_to_string(directory.path().join("ada.json")).unwrap(), stdout);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "nothing unfinished is left");
    let export = answer.json();
    assert_eq!((&export["user_id"], &export["learner"]["email"]), (&json!(ADA), &json!("ada@secret.example")));
    assert_eq!(export["course_progress"].as_array().unwrap().len(), 2);
    let sessions = export["sessions"].as_array().unwrap();
    assert_eq!(sessions.len(), 7, "the invalid one is theirs, too");
    assert_eq!((&sessions[2]["focus_score"], &sessions[2]["archived"]), (&json!(0.9), &json!(false)));

    assert_eq!((&export["quarantine"], &export["base"]), (&json!([]), &json!([])));
    assert_eq!(export["learning_analytics"], json!([]));

    let empty = node.get(&format!("/v1/users/{BOB}/export")).await.json();
    assert_eq!((&empty["sessions"], &empty["course_progress"]), (&json!([]), &json!([])));
    let quarantined = "insert into tierkeep_quarantine (run_id, kind, source, row_key, owner, content) \
                       values (7, 'bad_focus', 'study_sessions', 'x'";
    installation
        .run(&format!("{quarantined}, '{BOB}', '{{\"notes\": \"mine\"}}'), (8, 'orphan', 'users', 'y', 'z', '{{}}')"))
        .await;
    let bob = node.get(&format!("/v1/users/{BOB}/export")).await.json();
    assert_eq!(
        bob["quarantine"],
        json!([{"kind": "bad_focus", "run_id": 7, "source": "study_sessions", "content": {"notes": "mine"}}])
    );
    assert_eq!(run(&directory, &[&["export", NOBODY], &at[..]].concat()).0, 1);
    // a learner without a row of their own
    installation.run(&format!("delete from users where id = '{ADA}'")).await;
    let orphaned = node.get(&format!("/v1/users/{ADA}/export")).await.json();
    assert_eq!((&orphaned["learner"], orphaned["sessions"].as_array().unwrap().len()), (&Value::Null, 7));
}

async fn the_auditor_finds_and_mends_what_somebody_spoilt(dialect: Dialect) {
    let installation = Installation::new(dialect).await;
    let node = installation.node(None).await;
    let tiers = &node.app().tiers;
    let mut auditor = Auditor::new(tiers.statistics().store().clone(), tiers.audit().clone());
    let right = node.get(&format!("/v1/users/{ADA}/streaks")).await.json();
    for _ in 0..3 {
        assert_eq!(auditor.step(1).await.unwrap().differences, [], "one learner after the other, and the sums");
    }
    assert_eq!((tiers.audit().read().differences, tiers.audit().read().repairs), (0, 0));
    installation.run(&format!("delete from tierkeep_month where user_id = '{ADA}'")).await;
    installation.run(&format!("update tierkeep_learner set sessions = 0 where user_id = '{ADA}'")).await;

    // wherever the round is: this learner is next, or the round ends and the sums tell
    let mut found = 0;
    for _ in 0..2 {
        found += auditor.step(1).await.unwrap().differences.len();
    }

    let audited = tiers.audit().read();
    assert!(found > 0);
    assert_eq!((audited.differences, audited.repairs), (found as u64, 1), "mended at once");
    assert!(audited.learners >= 4);
    let mended = node.until(&format!("/v1/users/{ADA}/streaks"), |answer| answer.status == StatusCode::OK).await.json();
    assert_eq!(mended["longest_streak"], right["longest_streak"]);
    let global = node.get("/v1/stats/global").await;
    assert_eq!(global.json()["total_sessions"], 6);
    assert_eq!(tiers.statistics().store().verify_totals().await.unwrap(), []);
}

async fn departed_learners_are_erased_in_all_tiers(dialect: Dialect) {
    let installation = Installation::new(dialect).await;
    let node = installation.node(None).await;
    installation.run(&format!("delete from users where id = '{ADA}'")).await;
    let week = SignedDuration::from_hours(7 * 24);

    assert_eq!(follow_departures(&node.app().tiers, Some(Grace { length: week, now: None })).await.unwrap(), 0);
    let later = "2200-01-01T00:00:00Z".parse().unwrap();
    assert_eq!(follow_departures(&node.app().tiers, None).await.unwrap(), 0, "unless asked, nobody is erased");
    assert_eq!(follow_departures(&node.app().tiers, Some(Grace { length: week, now: Some(later) })).await.unwrap(), 1);

    assert_eq!(node.get(&format!("/v1/users/{ADA}/export")).await.status, StatusCode::NOT_FOUND);
    assert_eq!(follow_departures(&node.app().tiers, Some(Grace { length: week, now: Some(later) })).await.unwrap(), 0);
}

#[tokio::test]
async fn a_server_that_only_reads_erases_nothing() {
    let installation = Installation::new(Dialect::Sqlite).await;
    let node = Node::start(&installation.url(), None, NOW, tierkeep_learning::store::OpenMode::ReadOnly).await;

    let answer = delete(&node, &format!("/v1/users/{ADA}")).await;

    insta::assert_snapshot!("erase_read_only", answer.shown());
    assert_eq!(node.get(&format!("/v1/users/{ADA}/export")).await.status, StatusCode::OK);
}

fn told(directory: &TempDir, arguments: &[&str]) -> (i32, Value) {
    let (code, stdout, stderr) = run(directory, &[&["--json"], arguments].concat());
    (code, serde_json::from_str(&stdout).unwrap_or_else(|_| Value::String(stderr)))
}

/// A directory whose configuration names a server that is not there.
fn alone() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("tierkeep.toml"), "[http]\nlisten = \"127.0.0.1:1\"\n").unwrap();
    directory
}

#[tokio::test]
async fn the_command_line_erases_and_says_what() {
    let installation = Installation::new(Dialect::Sqlite).await;
    let directory = alone();
    let url = installation.url();
    let erase = |more: &[&str]| told(&directory, &[&["erase", "--database", &url], more].concat());

    let (code, plan) = erase(&[ADA, "--dry-run"]);
    assert_eq!((code, &plan["would_remove"]["study_sessions"]), (0, &json!(7)), "{plan}");
    let (code, receipt) = erase(&[ADA]);
    assert_eq!((code, &receipt["complete"]), (0, &json!(true)), "{receipt}");
    assert_eq!(receipt["removed"]["study_sessions"], 7);
    for again in [&[ADA][..], &[ADA, "--dry-run"], &[NOBODY]] {
        assert_eq!(erase(again).0, 1, "{again:?}");
    }
    assert_eq!(erase(&[BOB, "--read-only"]).0, 2);
    assert_eq!(erase(&["bob"]).0, 2);

    std::fs::write(
        directory.path().join("users.csv"),
        format!("id,email,username,is_active,created_at\n{ADA},a@x,a,t,2025-01-01T00:00:00Z\n"),
    )
    .unwrap();
    let (code, import) = told(&directory, &["import", "--database", &url, "--users", "users.csv"]);
    assert_eq!((code, &import["rejected"], &import["rejects"][0]["line"]), (0, &json!(1), &json!(2)), "{import}");
    assert_eq!(told(&directory, &["stats", "streaks", ADA, "--database", &url]).0, 1);
}

#[tokio::test]
async fn the_command_line_tells_the_running_node() {
    let installation = Installation::new(Dialect::Sqlite).await;
    let directory = alone();
    let url = installation.url();
    let (mut child, started) = start(crate::fixture::tierkeep(&directory).args([
        "serve",
        "--json",
        "--listen",
        "127.0.0.1:0",
        "--now",
        NOW,
        "--database",
        &url,
    ]));
    let server = started["address"].as_str().unwrap();

    let (code, receipt) = told(&directory, &["erase", ADA, "--database", &url, "--server", server]);

    assert_eq!((code, &receipt["caches"]["complete"]), (0, &json!(true)), "{receipt}");
    signal(&child, "TERM");
    assert!(child.wait().unwrap().success());
    // a server that was named and does not answer: nothing is removed
    let (code, refusal) = told(&directory, &["erase", BOB, "--database", &url, "--server", server]);
    assert_eq!(code, 1, "{refusal}");
    assert_eq!(told(&directory, &["stats", "streaks", BOB, "--database", &url]).0, 0);
}

#[tokio::test]
async fn verify_ends_with_1_if_anything_differs() {
    let installation = Installation::new(Dialect::Sqlite).await;
    let directory = alone();
    let url = installation.url();
    let verify = |more: &[&str]| told(&directory, &[&["verify", "--database", &url], more].concat());

    for arguments in [&[][..], &["--all"], &["--sample", "1"], &["--all", "--read-only"]] {
        let (code, report) = verify(arguments);
        assert_eq!((code, &report["differences"]), (0, &json!([])), "{arguments:?}: {report}");
    }
    assert_eq!(verify(&["--all"]).1["global"], true);
    assert_eq!(verify(&["--sample", "0"]).0, 2);
    assert_eq!(verify(&["--sample", "5", "--all"]).0, 2);

    installation.run(&format!("update tierkeep_learner set sessions = 9 where user_id = '{ADA}'")).await;
    installation.run("update tierkeep_global set minutes = minutes + 1 where kind = 0 and day = 20481").await;
    let (code, report) = verify(&["--all"]);
    assert_eq!(code, 1);
    assert_eq!(
        report["differences"][0],
        json!({ "user_id": ADA, "day": null, "field": "sessions", "stored": 9, "recomputed": 6 })
    );
    let (code, stdout, stderr) = run(&directory, &["verify", "--database", &url]);
    assert_eq!(code, 1);
    assert!(stdout.contains("sessions is stored as 9, the rows give 6"), "{stdout}");
    assert!(stderr.contains("not what the rows give"), "{stderr}");
}

#[tokio::test]
async fn an_export_of_many_rows_is_one_document() {
    let fixture = crate::fixture::Fixture::new().await;
    fill(&*fixture.store).await;
    let row = fixture.store.sessions(ADA.parse().unwrap(), None, 1).await.unwrap().unwrap().remove(0).row;
    let rows = (0..1200_u128).map(|n| {
        let id = tierkeep_learning::key::SessionId::new(tierkeep_learning::key::Key::Uuid(uuid::Uuid::from_u128(n)));
        tierkeep_learning::rows::SessionRow { id, notes: "x".repeat(2000), ..row.clone() }
    });
    fixture.store.write_sessions(rows.collect()).await.unwrap();

    let request = Request::get(format!("/v1/users/{ADA}/export")).body(Body::empty()).unwrap();
    let export = ask(fixture.app(), request).await.json();

    assert_eq!(export["sessions"].as_array().unwrap().len(), 1207);
}
