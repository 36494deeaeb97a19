//! Clean-ups that are asked for over HTTP.

use std::io::{Read, Write};
use std::net::TcpStream;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};
use tierkeep_db::Dialect;
use tierkeep_learning::store::OpenMode;

use crate::cleanup::{add_sessions, all_phases, lease, worn};
use crate::fixture::{ADA, Answer, NOW, run, tierkeep};
use crate::node::{Installation, Node, on_both};
use crate::serve::{signal, start};

on_both!(a_clean_up_is_planned_begun_and_listed, what_a_guard_refuses_is_a_conflict);

async fn clean_up(node: &Node, body: Value) -> Answer {
    let request = Request::post("/v1/admin/cleanup").header("content-type", "application/json");
    node.send(request.body(Body::from(body.to_string())).unwrap()).await
}

async fn a_clean_up_is_planned_begun_and_listed(dialect: Dialect) {
    let installation = worn(dialect).await;
    let node = installation.node(None).await;

    let plan = clean_up(&node, json!({ "dry_run": true, "phases": ["invalid", "archive"] })).await;
    assert_eq!(plan.status, StatusCode::OK, "{}", plan.shown());
    let plan = plan.json();
    assert_eq!((&plan["run_id"], &plan["dry_run"], &plan["objections"]), (&Value::Null, &json!(true), &json!([])));
    assert_eq!(plan["phases"]["archive"], all_phases()["archive"]);
    assert_eq!(node.get("/v1/admin/runs").await.json(), json!({ "items": [], "next": null }));

    let begun = clean_up(&node, json!({ "phases": ["invalid", "archive"] })).await;
    assert_eq!((begun.status, begun.header("location")), (StatusCode::ACCEPTED, "/v1/admin/runs/1"));
    assert_eq!(begun.json(), json!({ "run_id": 1 }));
    let ended = node.until("/v1/admin/runs/1", |answer| answer.json()["ended"] != "running").await.json();
    assert_eq!((&ended["ended"], &ended["command"], &ended["rows"]), (&json!("done"), &json!("cleanup"), &json!(16)));
    assert_eq!(ended["report"]["rules"], json!({ "archive": 15, "negative_duration": 1 }));

    let undo = |body: &'static str| Request::post("/v1/admin/runs/1/restore").body(Body::from(body)).unwrap();
    let told = node.send(undo(r#"{"dry_run":true}"#)).await.json();
    assert_eq!((&told["dry_run"], &told["rows"]["study_sessions"]), (&json!(true), &json!(16)));
    for unread in [r#"{"dry":true}"#, "garbage"] {
        assert!(node.send(undo(unread)).await.status.is_client_error(), "{unread}");
    }
    let nothing = clean_up(&node, json!({ "phases": [] })).await;
    assert!(nothing.status.is_client_error(), "{}", nothing.shown());
    let restored = node.send(undo("")).await;
    assert_eq!(restored.status, StatusCode::OK, "{}", restored.shown());
    assert_eq!((&restored.json()["rows"]["study_sessions"], &restored.json()["ended"]), (&json!(16), &json!("done")));
    let unknown = node.send(Request::post("/v1/admin/runs/77/restore").body(Body::empty()).unwrap()).await;
    assert_eq!(
        (unknown.status, &unknown.json()["type"]),
        (StatusCode::NOT_FOUND, &json!("urn:tierkeep:problem:unknown-run"))
    );
    assert_eq!(node.get("/v1/admin/runs/2").await.status, StatusCode::NOT_FOUND, "a restore is not listed");

    let begun = clean_up(&node, json!({ "phases": ["delete"], "force": true, "export": false })).await;
    assert_eq!(begun.status, StatusCode::ACCEPTED, "{}", begun.shown());
    node.until("/v1/admin/runs/3", |answer| answer.json()["ended"] == "done").await;
    let page = node.get("/v1/admin/runs?limit=1").await.json();
    assert_eq!((&page["items"][0]["run_id"], &page["next"]), (&json!(3), &json!(3)));
    let rest = node.get("/v1/admin/runs?limit=5&before=3").await.json();
    assert_eq!((rest["items"].as_array().unwrap().len(), &rest["items"][0]["run_id"]), (1, &json!(1)));
    assert_eq!(rest["next"], Value::Null);

    for (address, status) in [
        ("/v1/admin/runs/4", 404),
        ("/v1/admin/runs/9223372036854775807", 404),
        ("/v1/admin/runs/0", 400),
        ("/v1/admin/runs/one", 400),
        ("/v1/admin/runs?before=x", 400),
        ("/v1/admin/runs?limit=1001", 422),
        ("/v1/admin/runs?after=1", 400),
    ] {
        let answer = node.get(address).await;
        assert_eq!(answer.status.as_u16(), status, "{address}: {}", answer.shown());
    }
    for body in [
        json!({ "archive_older_than": 0 }),
        json!({ "delete_older_than": 36501 }),
        json!({ "delete_older_than": 100 }),
        json!({ "batch_size": 50_001 }),
        json!({ "max_seconds": 0 }),
        json!({ "phases": ["vacuum"] }),
        json!({ "export": "/etc" }),
        json!({ "export_dir": "/etc" }),
    ] {
        let answer = clean_up(&node, body.clone()).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{body}: {}", answer.shown());
    }
    let days = clean_up(&node, json!({ "delete_older_than": 100 })).await.json();
    assert!(days["accepted"].as_str().unwrap().contains("365 days"), "{days}");

    // counted a moment after its end is listed
    node.until_metric("tierkeep_retention_runs_total{ended=\"done\"}", |runs| runs >= 2.0).await;
    assert_eq!(node.metric("tierkeep_retention_runs_total{ended=\"done\"}").await, 2.0);
    assert_eq!(node.metric("tierkeep_retention_runs_total{ended=\"failed\"}").await, 0.0);
    assert_eq!(node.metric("tierkeep_retention_rows_total{rule=\"archive\"}").await, 15.0);
    // what came back waits again when its grace is over
    assert!(node.metric("tierkeep_retention_backlog_seconds").await > 0.0);
}

async fn what_a_guard_refuses_is_a_conflict(dialect: Dialect) {
    let installation = worn(dialect).await;
    let node = installation.node(None).await;
    let oldest = jiff::SignedDuration::from_hours(24 * (365 + 366)).as_secs_f64();

    let refused = clean_up(&node, json!({})).await;
    let hold = lease(&installation.url()).await;
    let busy = clean_up(&node, json!({})).await;
    hold.release().await.unwrap();
    let reader = Node::start(&installation.url(), None, NOW, OpenMode::ReadOnly).await;
    let read_only = clean_up(&reader, json!({})).await;

    assert_eq!((refused.status, refused.header("retry-after")), (StatusCode::CONFLICT, ""), "{}", refused.shown());
    assert_eq!(refused.json()["type"], "urn:tierkeep:problem:retention-refused");
    assert!(refused.json()["detail"].as_str().unwrap().contains("max_fraction"), "{}", refused.shown());
    assert_eq!((busy.status, busy.header("retry-after")), (StatusCode::CONFLICT, "60"), "{}", busy.shown());
    assert_eq!(busy.json()["type"], "urn:tierkeep:problem:run-under-way");
    assert!(busy.json()["detail"].as_str().unwrap().contains("another retention run works"));
    assert_eq!(read_only.status, StatusCode::FORBIDDEN);
    assert_eq!(clean_up(&reader, json!({ "dry_run": true })).await.status, StatusCode::OK);
    assert_eq!(node.metric("tierkeep_retention_runs_total{ended=\"refused\"}").await, 1.0);
    // sessions of May 2022 wait, and the cutoff is the end of January 2025
    assert!(node.metric("tierkeep_retention_backlog_seconds").await > oldest);
}

fn post(address: &str, path: &str, body: &str) -> String {
    let host = address.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    let length = body.len();
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_ends_ends_its_run_between_two_batches() {
    let installation = Installation::new(Dialect::Sqlite).await;
    add_sessions(&installation, 1, ADA, "2024-05-01T08:00:00Z", 2000, "").await;
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("tierkeep.toml"), "[retention]\nshare = 1\n").unwrap();
    let url = installation.url();
    let (child, started) = start(tierkeep(&directory).args([
        "serve",
        "--json",
        "--listen",
        "127.0.0.1:0",
        "--database",
        &url,
        "--now",
        NOW,
    ]));

    let begun = post(started["address"].as_str().unwrap(), "/v1/admin/cleanup", r#"{"batch_size":1}"#);
    signal(&child, "TERM");
    let output = child.wait_with_output().unwrap();

    assert!(begun.starts_with("HTTP/1.1 202"), "{begun}");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let (code, stdout, _) = run(&directory, &["runs", "--json", "--database", &url]);
    let runs: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, &runs[0]["ended"], &runs[0]["command"]), (0, &json!("signal"), &json!("cleanup")), "{runs}");
    let archived = installation.number("select count(*) from study_sessions_archive").await;
    assert_eq!(runs[0]["report"]["rules"]["archive"].as_i64().unwrap_or(0), archived);
    assert!(archived < 2000);
}
