//! Batches are read through the tiers, and say the same as single answers.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};
use tierkeep_db::Dialect;
use tierkeep_learning::store::OpenMode;
use tierkeep_testkit::{Mode, PostgresServer, RedisServer};

use crate::fixture::{ADA, Answer, BOB, NOBODY, NOW};
use crate::node::{Installation, Node, on_both};

on_both!(
    a_batch_has_the_bytes_of_single_answers_from_every_tier,
    a_batch_says_the_farthest_tier_and_computes_only_what_is_missing,
    a_batch_sees_a_write_as_a_single_answer_does,
    a_batch_comes_from_rows_where_changes_are_not_told,
);

const LOADS: &str = "tierkeep_cache_loads_total{statistic=\"daily\"}";

async fn batch(node: &Node, request: &Value) -> Answer {
    let post = Request::post("/v1/stats/batch").header("content-type", "application/json");
    node.send(post.body(Body::from(request.to_string())).unwrap()).await
}

fn daily_of(users: &[&str]) -> Value {
    json!({ "users": users, "statistic": "daily", "date": "2026-01-30" })
}

fn daily(user: &str) -> String {
    format!("/v1/users/{user}/stats/daily?date=2026-01-30")
}

/// Each statistic as a batch, and the address of a single answer behind `/v1/users/{id}/`.
fn questions() -> Vec<(Value, &'static str)> {
    let of = |statistic: &str, date: Option<&str>| json!({ "users": [ADA, NOBODY, BOB, ADA], "statistic": statistic, "date": date });
    let date = Some("2026-01-30");
    vec![
        (of("daily", date), "stats/daily?date=2026-01-30"),
        (of("daily", None), "stats/daily"),
        (of("weekly", date), "stats/weekly?week_start=2026-01-28"),
        (of("monthly", date), "stats/monthly?month=2026-01"),
        (of("analytics", date), "analytics?to=2026-01-30"),
        (of("heatmap", date), "heatmap?year=2026"),
        (of("streaks", None), "streaks"),
        (of("courses", None), "courses/summary"),
    ]
}

async fn a_batch_has_the_bytes_of_single_answers_from_every_tier(dialect: Dialect) {
    let installation = Installation::new(dialect).await;
    let redis = RedisServer::launch().await.unwrap();
    for url in [None, Some(redis.url())] {
        let (one, other) = (installation.node(url.as_deref()).await, installation.node(url.as_deref()).await);
        for (request, address) in questions() {
            let computed = batch(&one, &request).await;
            let from_memory = batch(&one, &request).await;
            let elsewhere = batch(&other, &request).await;

            assert_eq!(computed.status, StatusCode::OK);
            let first = if address.starts_with("courses") { "miss" } else { "l3" };
            let shared = if url.is_some() { "l2" } else { first };
            let tiers = [&computed, &from_memory, &elsewhere].map(|answer| answer.header("x-cache").to_owned());
            assert_eq!(tiers, [first, "l1", shared], "{address}");
            let problem = batch(&one, &json!({ "users": [NOBODY], "statistic": "streaks" })).await;
            assert_eq!((problem.header("x-cache"), problem.json().as_array().unwrap().len()), ("", 1));
            let problem = problem.body[1..problem.body.len() - 1].to_vec();
            let (ada, bob) = (one.get(&at(ADA, address)).await, one.get(&at(BOB, address)).await);
            assert_eq!([ada.header("x-cache"), bob.header("x-cache")], ["l1", "l1"], "{address}");
            let expected =
                [b"[".to_vec(), [ada.body.clone(), problem, bob.body, ada.body].join(&b","[..]), b"]".to_vec()];
            assert_eq!(String::from_utf8(from_memory.body.clone()), String::from_utf8(expected.concat()), "{address}");
            assert_eq!(computed.body, from_memory.body, "{address}");
            if url.is_some() {
                assert_eq!(elsewhere.body, computed.body, "{address}");
            }
        }
    }
}

fn at(user: &str, address: &str) -> String {
    format!("/v1/users/{user}/{address}")
}

async fn a_batch_says_the_farthest_tier_and_computes_only_what_is_missing(dialect: Dialect) {
    let installation = Installation::new(dialect).await;
    let redis = RedisServer::launch().await.unwrap();
    let (one, other) = (installation.node(Some(&redis.url())).await, installation.node(Some(&redis.url())).await);
    let everybody = daily_of(&[ADA, BOB]);

    let of_ada = one.get(&daily(ADA)).await;
    let mixed = batch(&one, &everybody).await;
    // Bob is in Redis, Ada in memory
    other.get(&daily(ADA)).await;
    let near = batch(&other, &everybody).await;

    assert_eq!((mixed.header("x-cache"), near.header("x-cache")), ("l3", "l2"));
    assert!(mixed.body[1..].starts_with(&of_ada.body), "Ada was not computed again");
    assert_eq!((one.metric(LOADS).await, other.metric(LOADS).await), (2.0, 0.0));
    assert_eq!(batch(&other, &everybody).await.header("x-cache"), "l1");
}

async fn a_batch_sees_a_write_as_a_single_answer_does(dialect: Dialect) {
    let installation = Installation::new(dialect).await;
    let node = installation.node(None).await;
    let before = batch(&node, &daily_of(&[ADA, BOB])).await.json();
    let position = node.metric("tierkeep_feed_position").await;

    installation.run("update study_sessions set duration_minutes = duration_minutes + 1").await;
    node.until_metric("tierkeep_feed_position", |now| now > position).await;
    let after = batch(&node, &daily_of(&[ADA, BOB])).await;

    assert_eq!(after.header("x-cache"), "l3");
    assert_ne!(after.json()[0]["total_duration"], before[0]["total_duration"]);
    assert_eq!(after.json()[1], before[1], "Bob did not change");
}

async fn a_batch_comes_from_rows_where_changes_are_not_told(dialect: Dialect) {
    let installation = Installation::new(dialect).await;
    let node = installation.node(None).await;
    batch(&node, &daily_of(&[ADA])).await;

    installation.run("alter table tierkeep_feed rename to elsewhere").await;
    node.until_tier(&daily(ADA), "miss").await;

    assert_eq!(batch(&node, &daily_of(&[ADA, BOB])).await.header("x-cache"), "miss");
}

#[tokio::test]
async fn a_batch_is_stale_or_refused_while_the_database_is_down() {
    let installation = Installation::new(Dialect::Postgres).await;
    let Installation::Postgres(database) = &installation else { panic!("PostgreSQL was asked for") };
    let proxy = PostgresServer::shared().await.unwrap().proxy().await.unwrap();
    let node = Node::start(&database.url_through(&proxy), None, NOW, OpenMode::Existing).await;
    let kept = batch(&node, &daily_of(&[ADA])).await;

    proxy.set(Mode::Cut);
    node.until_tier(&daily(ADA), "stale").await;
    let stale = batch(&node, &daily_of(&[ADA])).await;
    let never_asked = batch(&node, &daily_of(&[ADA, BOB])).await;

    assert_eq!((stale.status, stale.header("x-cache"), &stale.body), (StatusCode::OK, "stale", &kept.body));
    assert_eq!(never_asked.status, StatusCode::SERVICE_UNAVAILABLE);
    proxy.set(Mode::Pass);
    node.until_tier(&daily(ADA), "l1").await;
}
