//! The cache as operators meet it: over HTTP, and by the command line with and without a server.

use std::process::Child;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tierkeep_db::Dialect;
use tierkeep_testkit::RedisServer;

use crate::fixture::{ADA, NOW, run, tierkeep};
use crate::node::{Installation, Node};
use crate::serve::{signal, start};

async fn invalidate(node: &Node, body: Value) -> (StatusCode, Value) {
    let request = Request::post("/v1/admin/cache/invalidate").header("content-type", "application/json");
    let answer = node.send(request.body(Body::from(body.to_string())).unwrap()).await;
    (answer.status, answer.json())
}

fn daily() -> String {
    format!("/v1/users/{ADA}/stats/daily?date=2026-01-30")
}

#[tokio::test]
async fn what_is_invalidated_is_computed_anew_and_nothing_else() {
    let installation = Installation::new(Dialect::Sqlite).await;
    let redis = RedisServer::launch().await.unwrap();
    let (node, other) = (installation.node(Some(&redis.url())).await, installation.node(Some(&redis.url())).await);
    let streaks = format!("/v1/users/{ADA}/streaks");
    let orders = [
        (json!({ "keys": [format!("daily/{ADA}/2026-01-30")] }), ["l3", "l1", "l1"]),
        (json!({ "users": [ADA] }), ["l3", "l3", "l1"]),
        (json!({ "tags": [format!("user:{ADA}")] }), ["l3", "l3", "l1"]),
        (json!({ "tags": ["global"] }), ["l1", "l1", "l3"]),
        (json!({ "all": true }), ["l3", "l3", "l3"]),
    ];

    for (order, expected) in orders {
        let addresses = [daily(), streaks.clone(), "/v1/stats/global".to_owned()];
        for address in &addresses {
            node.until_tier(address, "l1").await;
        }
        assert_eq!(
            invalidate(&node, order.clone()).await,
            (StatusCode::OK, json!({ "complete": true, "l2": "given", "nodes": "given" }))
        );
        for (address, expected) in addresses.iter().zip(expected) {
            assert_eq!(node.tier(address).await, expected, "{order} {address}");
            other.get(address).await;
        }
    }
}

#[tokio::test]
async fn a_request_that_names_nothing_is_refused() {
    let installation = Installation::new(Dialect::Sqlite).await;
    let node = installation.node(None).await;

    for (body, parameter) in [
        (json!({}), "keys"),
        (json!({ "keys": ["dayly/1/today"] }), "keys"),
        (json!({ "tags": ["learner:1"] }), "tags"),
        (json!({ "users": vec![ADA; 1001] }), "users"),
    ] {
        let (status, problem) = invalidate(&node, body).await;
        assert!(status.is_client_error(), "{status}");
        assert_eq!(problem["parameter"], parameter);
    }
    assert_eq!(node.get("/v1/admin/cache?key=x").await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn the_standing_counts_what_each_tier_answered() {
    let installation = Installation::new(Dialect::Sqlite).await;
    let node = installation.node(None).await;
    node.get(&daily()).await;
    node.get(&daily()).await;

    let standing = node.get(&format!("/v1/admin/cache?key=daily/{ADA}/2026-01-30")).await.json();

    assert_eq!(
        (&standing["status"], &standing["l2"], &standing["l1"]["entries"]),
        (&json!("on"), &json!("none"), &json!(1))
    );
    let daily = &standing["statistics"][0];
    assert_eq!((&daily["statistic"], &daily["l1"], &daily["misses"]), (&json!("daily"), &json!(1), &json!(1)));
    assert!(standing["explanation"].as_str().unwrap().contains("daily"), "{standing}");
}

/// `serve` as a process, ended with the test.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(directory: &TempDir, url: &str, redis: Option<&str>) -> Self {
        let mut command = tierkeep(directory);
        command.args(["serve", "--json", "--listen", "127.0.0.1:0", "--now", NOW, "--database", url]);
        command.args(redis.iter().flat_map(|redis| ["--redis", redis]));
        let (child, started) = start(&mut command);
        Self { child, address: started["address"].as_str().unwrap().to_owned() }
    }

    fn end(mut self) {
        signal(&self.child, "TERM");
        assert!(self.child.wait().unwrap().success());
    }
}

fn json_of(directory: &TempDir, arguments: &[&str]) -> Value {
    let (code, stdout, stderr) = run(directory, &[&["--json"], arguments].concat());
    assert_eq!(code, 0, "{stderr}");
    serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}"))
}

#[tokio::test]
async fn commands_speak_to_the_running_node() {
    let installation = Installation::new(Dialect::Sqlite).await;
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(&directory, &installation.url(), None);
    let at = ["--server", server.address.as_str()];
    let cache = |arguments: &[&str]| json_of(&directory, &[&["cache"], arguments, &at].concat());

    assert_eq!(cache(&["stats"])["status"], "on");
    assert!(cache(&["explain", &format!("streaks/{ADA}")])["explanation"].is_string());
    assert_eq!(cache(&["invalidate", "--user", ADA, "--tag", "global"])["complete"], true);
    assert_eq!(cache(&["clear"])["complete"], true);
    let (code, stdout, _) = run(&directory, &["cache", "stats", "--server", &server.address]);
    assert_eq!(code, 0);
    assert!(stdout.contains("analytics") && stdout.contains("hits 24h"), "{stdout}");
    server.end();
}

#[tokio::test]
async fn without_a_server_they_act_on_redis_and_say_so() {
    let installation = Installation::new(Dialect::Sqlite).await;
    let redis = RedisServer::launch().await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("tierkeep.toml"), "[http]\nlisten = \"127.0.0.1:1\"\n").unwrap();
    let node = installation.node(Some(&redis.url())).await;
    node.get(&daily()).await;
    let (redis_url, database) = (redis.url(), installation.url());
    let elsewhere = ["--redis", redis_url.as_str(), "--database", database.as_str()];

    let (code, _, stderr) = run(&directory, &[&["cache", "clear"], &elsewhere[..]].concat());

    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("no server answers") && stderr.contains("L2"), "{stderr}");
    let later = installation.node(Some(&redis.url())).await;
    assert_eq!(later.tier(&daily()).await, "l3", "Redis has forgotten it");
    node.until_tier(&daily(), "l2").await;
}

#[test]
fn without_server_and_redis_there_is_nothing_to_act_on() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("tierkeep.toml"), "[http]\nlisten = \"127.0.0.1:1\"\n").unwrap();
    assert_eq!(run(&directory, &["migrate"]).0, 0);

    let (code, stdout, stderr) = run(&directory, &["cache", "clear"]);

    assert_eq!((code, stdout.as_str()), (1, ""));
    assert!(stderr.contains("no server answers"), "{stderr}");
    for wrong in [&["cache", "invalidate"][..], &["cache", "invalidate", "--key", "x"], &["cache", "explain", "x"]] {
        assert_eq!(run(&directory, wrong).0, 2, "{wrong:?}");
    }
}
