//! What is hot is computed before anybody asks again, and never from what is not committed.

use std::time::Duration;

use tierkeep::config::Warmup;
use tierkeep_db::Dialect;
use tierkeep_testkit::RedisServer;

use crate::fixture::{ADA, BOB};
use crate::node::{Installation, Node, on_both};

on_both!(
    the_first_read_after_a_write_is_a_hit,
    without_a_warm_up_the_first_read_after_a_write_is_none,
    what_one_node_has_warmed_another_reads_from_redis,
    only_the_learner_who_changed_is_computed,
);

const SOON: Warmup = Warmup {
    delay: Duration::from_millis(50),
    concurrency: 4,
    rate: 1000,
    learned: false,
    deadline: Duration::ZERO,
    keys: 1,
};
const DONE: &str = "tierkeep_warmup_done_total";
const POSITION: &str = "tierkeep_feed_position";
const LOADS: &str = "tierkeep_cache_loads_total{statistic=\"daily\"}";
const LONGER: &str = "update study_sessions set duration_minutes = duration_minutes + 1 where duration_minutes > 0";

fn daily(user: &str) -> String {
    format!("/v1/users/{user}/stats/daily?date=2026-01-30")
}

fn today(user: &str) -> String {
    format!("/v1/users/{user}/stats/daily")
}

/// What a node that has kept nothing answers.
async fn exact(installation: &Installation, address: &str) -> String {
    installation.node(None).await.get(address).await.header("etag").to_owned()
}

async fn the_first_read_after_a_write_is_a_hit(dialect: Dialect) {
    let installation = Installation::new(dialect).await;
    let node = installation.warming_node(None, SOON).await;
    let addresses = [daily(ADA), today(ADA), format!("/v1/users/{ADA}/analytics?lang=zh")];
    for address in &addresses {
        node.until_tier(address, "l1").await;
    }

    installation.run(LONGER).await;
    node.until_metric(DONE, |done| done >= 3.0).await;

    for address in &addresses {
        let answer = node.get(address).await;
        assert_eq!((answer.header("x-cache"), answer.header("etag")), ("l1", &*exact(&installation, address).await));
    }
    assert_eq!(node.metric("tierkeep_warmup_queued_learners_total").await, 1.0);
}

async fn without_a_warm_up_the_first_read_after_a_write_is_none(dialect: Dialect) {
    let installation = Installation::new(dialect).await;
    let node = installation.node(None).await;
    node.until_tier(&daily(ADA), "l1").await;
    let before = node.metric(POSITION).await;

    installation.run(LONGER).await;
    node.until_metric(POSITION, |position| position > before).await;

    assert_eq!(node.tier(&daily(ADA)).await, "l3");
}

async fn what_one_node_has_warmed_another_reads_from_redis(dialect: Dialect) {
    let installation = Installation::new(dialect).await;
    let redis = RedisServer::launch().await.unwrap();
    let one = installation.warming_node(Some(&redis.url()), SOON).await;
    // its own turn does not come in this test
    let later = Warmup { delay: Duration::from_secs(3600), ..SOON };
    let other = installation.warming_node(Some(&redis.url()), later).await;
    for node in [&one, &other] {
        node.until_tier(&daily(ADA), "l1").await;
    }
    let loads = async || one.metric(LOADS).await + other.metric(LOADS).await;
    let (before, position) = (loads().await, other.metric(POSITION).await);

    installation.run(LONGER).await;
    one.until_metric(DONE, |done| done >= 1.0).await;
    other.until_metric(POSITION, |told| told > position).await;

    let exact = exact(&installation, &daily(ADA)).await;
    for (node, tier) in [(&one, "l1"), (&other, "l2")] {
        let answer = node.get(&daily(ADA)).await;
        assert_eq!((answer.header("x-cache"), answer.header("etag")), (tier, &*exact));
    }
    assert_eq!(loads().await - before, 1.0);
}

async fn only_the_learner_who_changed_is_computed(dialect: Dialect) {
    let installation = Installation::new(dialect).await;
    let node = installation.warming_node(None, SOON).await;
    for user in [ADA, BOB] {
        node.until_tier(&daily(user), "l1").await;
    }
    let before = node.metric(LOADS).await;

    // Ada alone has sessions
    installation.run(LONGER).await;
    node.until_metric(DONE, |done| done >= 1.0).await;

    assert_eq!((node.metric(LOADS).await - before, node.tier(&daily(BOB)).await.as_str()), (1.0, "l1"));
}

/// Starts to hold a change of Ada's that is not committed, and has another one of hers committed and warmed meanwhile.
#[tokio::test]
async fn what_is_computed_while_a_writer_is_under_way_is_not_served_after_their_commit() {
    let installation = Installation::new(Dialect::Postgres).await;
    let node: Node = installation.warming_node(None, SOON).await;
    node.until_tier(&daily(ADA), "l1").await;

    let writer = installation
        .hold("update study_sessions set duration_minutes = duration_minutes + 100 where duration_minutes = 50")
        .await;
    installation
        .run("update study_sessions set duration_minutes = duration_minutes + 7 where duration_minutes = 45")
        .await;
    node.until_metric(DONE, |done| done >= 1.0).await;
    let warmed = node.get(&daily(ADA)).await;
    assert_eq!((warmed.header("x-cache"), warmed.header("etag")), ("l1", &*exact(&installation, &daily(ADA)).await));
    let before = node.metric(POSITION).await;
    writer.batch_execute("commit").await.unwrap();
    node.until_metric(POSITION, |position| position > before).await;
    let after = node.get(&daily(ADA)).await;

    // what was kept does not hold the commit, so serving it would show
    assert_eq!(after.json()["total_duration"].as_u64(), warmed.json()["total_duration"].as_u64().map(|sum| sum + 100));
    assert_eq!(after.header("etag"), exact(&installation, &daily(ADA)).await);
    node.until_metric(DONE, |done| done >= 2.0).await;
    let again = node.get(&daily(ADA)).await;
    assert_eq!((again.header("x-cache"), again.header("etag")), ("l1", after.header("etag")));
}
