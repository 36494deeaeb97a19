//! Tiers change how fast an answer comes, and nothing else.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::json;
use tierkeep_db::Dialect;
use tierkeep_learning::store::OpenMode;
use tierkeep_testkit::{Mode, PostgresServer, RedisServer};
use tokio::time::Instant;

use crate::fixture::{ADA, Answer, BOB, NOW};
use crate::node::{BOUND, Installation, Node, on_both};

on_both!(
    every_tier_gives_the_same_bytes,
    answers_are_right_while_redis_comes_and_goes,
    a_node_reads_what_another_one_computed,
    a_write_by_another_program_is_seen_by_all_nodes_in_time,
    without_a_feed_answers_come_from_rows,
    a_node_that_lacks_a_table_of_its_own_is_not_ready,
    a_missing_trigger_turns_keeping_off,
    the_same_answer_is_not_sent_twice,
    another_installation_on_the_same_redis_is_not_read,
    the_next_day_has_another_answer,
    a_store_that_only_reads_keeps_nothing,
);

fn addresses() -> Vec<String> {
    let mut addresses = vec!["/v1/stats/global".to_owned()];
    for user in [ADA, BOB] {
        for of in [
            "stats/daily",
            "stats/daily?date=2026-01-30",
            "stats/weekly?week_start=2026-01-29",
            "stats/monthly",
            "analytics?days=14&lang=zh",
            "analytics?lang=en",
            "streaks",
            "heatmap?year=2026",
            "courses/summary",
        ] {
            addresses.push(format!("/v1/users/{user}/{of}"));
        }
    }
    addresses
}

fn daily() -> String {
    format!("/v1/users/{ADA}/stats/daily?date=2026-01-30")
}

/// The answer of a node that keeps nothing.
async fn exact(installation: &Installation, address: &str) -> Answer {
    Node::start(&installation.url(), None, NOW, OpenMode::ReadOnly).await.get(address).await
}

async fn every_tier_gives_the_same_bytes(dialect: Dialect) {
    let installation = Installation::new(dialect).await;
    let redis = RedisServer::launch().await.unwrap();
    let (one, other) = (installation.node(Some(&redis.url())).await, installation.node(Some(&redis.url())).await);

    for address in addresses() {
        let computed = one.get(&address).await;
        let from_memory = one.get(&address).await;
        let from_redis = other.get(&address).await;

        let first = if address.ends_with("summary") { "miss" } else { "l3" };
        let tiers = [&computed, &from_memory, &from_redis].map(|answer| answer.header("x-cache"));
        assert_eq!(tiers, [first, "l1", "l2"], "{address}");
        for kept in [&from_memory, &from_redis] {
            assert_eq!(kept.body, computed.body, "{address}");
            for name in ["etag", "content-type", "content-language", "vary"] {
                assert_eq!(kept.header(name), computed.header(name), "{address} {name}");
            }
        }
        let exact = exact(&installation, &address).await;
        assert_eq!((exact.shown(), exact.header("etag")), (computed.shown(), computed.header("etag")), "{address}");
        assert!(computed.header("age").parse::<u64>().is_ok_and(|age| age < 60));
    }
}

async fn answers_are_right_while_redis_comes_and_goes(dialect: Dialect) {
    let installation = Installation::new(dialect).await;
    let redis = RedisServer::launch().await.unwrap();
    redis.kill9().await.unwrap();
    let nodes = [installation.node(Some(&redis.url())).await, installation.node(Some(&redis.url())).await];

    for round in 0..4 {
        installation.run("update study_sessions set duration_minutes = duration_minutes + 1").await;
        match round {
            0 => {}
            1 => redis.start().await.unwrap(),
            2 => redis.restart().await.unwrap(),
            _ => redis.kill9().await.unwrap(),
        }
        for address in [daily(), "/v1/stats/global".to_owned(), format!("/v1/users/{ADA}/analytics")] {
            let exact = exact(&installation, &address).await;
            for node in &nodes {
                let answer = node.until(&address, |answer| answer.header("etag") == exact.header("etag")).await;
                assert_eq!((answer.status, answer.shown()), (StatusCode::OK, exact.shown()));
            }
        }
    }
}

async fn a_node_reads_what_another_one_computed(dialect: Dialect) {
    let installation = Installation::new(dialect).await;
    let redis = RedisServer::launch().await.unwrap();
    let first = installation.node(Some(&redis.url())).await;
    let computed = first.get(&daily()).await;

    let later = installation.node(Some(&redis.url())).await;

    let found = later.get(&daily()).await;
    assert_eq!((found.header("x-cache"), &found.body), ("l2", &computed.body));
    assert_eq!(later.tier(&daily()).await, "l1");
}

async fn a_write_by_another_program_is_seen_by_all_nodes_in_time(dialect: Dialect) {
    let installation = Installation::new(dialect).await;
    let redis = RedisServer::launch().await.unwrap();
    let courses = format!("/v1/users/{ADA}/courses/summary");
    for redis in [None, Some(redis.url())] {
        let nodes = [installation.node(redis.as_deref()).await, installation.node(redis.as_deref()).await];
        for (address, change) in [
            (daily(), "update study_sessions set duration_minutes = duration_minutes + 1"),
            ("/v1/stats/global".to_owned(), "update study_sessions set duration_minutes = duration_minutes + 1"),
            (courses.clone(), "update course_progress set learning_hour_total = learning_hour_total + 1"),
        ] {
            let mut before = String::new();
            for node in &nodes {
                before = node.until_tier(&address, "l1").await.header("etag").to_owned();
            }

            installation.run(change).await;
            let written = Instant::now();

            for node in &nodes {
                node.until(&address, |answer| answer.header("etag") != before).await;
            }
            // what the machine does besides is not the nodes' fault
            assert!(written.elapsed() < BOUND * 3, "{address}: {:?}", written.elapsed());
        }
    }
}

async fn without_a_feed_answers_come_from_rows(dialect: Dialect) {
    let installation = Installation::new(dialect).await;
    let node = installation.node(None).await;
    node.until_tier(&daily(), "l1").await;

    installation.run("alter table tierkeep_feed rename to elsewhere").await;
    let bypassed = node.until_tier(&daily(), "miss").await;

    assert_eq!(bypassed.status, StatusCode::OK);
    let ready = node.get("/readyz").await;
    let feed = &ready.json()["checks"]["feed"];
    assert_eq!((ready.status, &feed["status"]), (StatusCode::OK, &json!("ok")));
    assert!(feed["reason"].as_str().unwrap().contains("from rows"), "{feed}");
    installation.run("alter table elsewhere rename to tierkeep_feed").await;
    node.until_tier(&daily(), "l1").await;
}

#[tokio::test]
async fn a_node_that_cannot_learn_of_changes_serves_nothing_it_has_kept() {
    let installation = Installation::new(Dialect::Postgres).await;
    let node = installation.node(None).await;
    node.until_tier(&daily(), "l1").await;
    let ready = node.get("/readyz").await;
    assert_eq!((ready.status, &ready.json()["checks"]["feed"]["reason"]), (StatusCode::OK, &json!(null)));

    let held = installation.hold("lock table tierkeep_feed in access exclusive mode").await;
    let bypassed = node.until_tier(&daily(), "l3").await;

    assert_eq!(bypassed.status, StatusCode::OK);
    let ready = node.get("/readyz").await;
    assert_eq!(
        (ready.status, &ready.json()["checks"]["feed"]["status"]),
        (StatusCode::SERVICE_UNAVAILABLE, &json!("failing"))
    );
    drop(held);
    node.until_tier(&daily(), "l1").await;
}

async fn a_node_that_lacks_a_table_of_its_own_is_not_ready(dialect: Dialect) {
    let installation = Installation::new(dialect).await;
    let node = installation.node(None).await;
    for table in ["tierkeep_outbox", "tierkeep_month"] {
        assert_eq!(node.get("/readyz").await.status, StatusCode::OK);

        installation.run(&format!("alter table {table} rename to elsewhere")).await;
        assert_eq!(node.get("/readyz").await.status, StatusCode::SERVICE_UNAVAILABLE, "{table}");

        installation.run(&format!("alter table elsewhere rename to {table}")).await;
    }
}

async fn a_missing_trigger_turns_keeping_off(dialect: Dialect) {
    let installation = Installation::new(dialect).await;
    let node = installation.node(None).await;
    node.until_tier(&daily(), "l1").await;

    installation
        .run(match dialect {
            Dialect::Sqlite => "drop trigger tierkeep_study_sessions_update",
            Dialect::Postgres => "drop trigger tierkeep_update on study_sessions",
        })
        .await;

    node.until_tier(&daily(), "miss").await;
}

async fn the_same_answer_is_not_sent_twice(dialect: Dialect) {
    let installation = Installation::new(dialect).await;
    let node = installation.node(None).await;
    let etag = node.get(&daily()).await.header("etag").to_owned();
    let with = |tag: &str| Request::get(daily()).header("if-none-match", tag).body(Body::empty()).unwrap();

    let same = node.send(with(&etag)).await;
    let other = node.send(with("\"other\"")).await;

    assert_eq!((same.status, same.body.len(), same.header("etag")), (StatusCode::NOT_MODIFIED, 0, etag.as_str()));
    assert_eq!(same.header("x-cache"), "l1");
    assert_eq!(other.status, StatusCode::OK);
    installation.run("update study_sessions set duration_minutes = duration_minutes + 1").await;
    node.until(&daily(), |answer| answer.header("etag") != etag).await;
    assert_eq!(node.send(with(&etag)).await.status, StatusCode::OK);
}

async fn another_installation_on_the_same_redis_is_not_read(dialect: Dialect) {
    let (ours, theirs) = (Installation::new(dialect).await, Installation::new(dialect).await);
    let redis = RedisServer::launch().await.unwrap();
    theirs.run("update study_sessions set duration_minutes = duration_minutes + 7").await;
    let their_node = theirs.node(Some(&redis.url())).await;
    let their_answer = their_node.get(&daily()).await;

    let answer = ours.node(Some(&redis.url())).await.get(&daily()).await;

    assert_eq!(answer.header("x-cache"), "l3");
    assert_ne!(answer.header("etag"), their_answer.header("etag"));
}

async fn the_next_day_has_another_answer(dialect: Dialect) {
    let installation = Installation::new(dialect).await;
    let redis = RedisServer::launch().await.unwrap();
    let today = format!("/v1/users/{ADA}/stats/daily");
    let before = installation.node(Some(&redis.url())).await;
    assert_eq!(before.get(&today).await.json()["date"], "2026-01-31");

    // 00:00 on the first of February in Paris
    let midnight =
        Node::start(&installation.url(), Some(&redis.url()), "2026-01-31T23:00:00Z", OpenMode::Existing).await;

    for address in [today.clone(), format!("/v1/users/{ADA}/streaks")] {
        before.get(&address).await;
        let answer = midnight.get(&address).await;
        assert_eq!(answer.header("x-cache"), "l3", "{address}");
    }
    assert_eq!(midnight.get(&today).await.json()["date"], "2026-02-01");
}

async fn a_store_that_only_reads_keeps_nothing(dialect: Dialect) {
    let installation = Installation::new(dialect).await;
    let node = Node::start(&installation.url(), None, NOW, OpenMode::ReadOnly).await;

    assert_eq!([node.tier(&daily()).await, node.tier(&daily()).await], ["miss", "miss"]);
    assert_eq!(node.get("/readyz").await.json()["checks"].get("feed"), None);
}

#[tokio::test]
async fn kept_answers_are_served_as_stale_while_the_database_is_down() {
    let installation = Installation::new(Dialect::Postgres).await;
    let Installation::Postgres(database) = &installation else { panic!("PostgreSQL was asked for") };
    let proxy = PostgresServer::shared().await.unwrap().proxy().await.unwrap();
    let node = Node::start(&database.url_through(&proxy), None, NOW, OpenMode::Existing).await;
    let kept = node.until_tier(&daily(), "l1").await;

    proxy.set(Mode::Cut);
    let stale = node.until_tier(&daily(), "stale").await;
    let never_asked = node.get(&format!("/v1/users/{BOB}/streaks")).await;

    assert_eq!((stale.status, &stale.body), (StatusCode::OK, &kept.body));
    assert_eq!(never_asked.status, StatusCode::SERVICE_UNAVAILABLE);
    proxy.set(Mode::Pass);
    node.until_tier(&daily(), "l1").await;
}
