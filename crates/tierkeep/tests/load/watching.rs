//! The runs, and what is looked at while they last.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, interval};
use tokio_util::sync::CancellationToken;

use crate::generator::{Load, run};
use crate::growth::{Look, growth};
use crate::installation::Installation;
use crate::nodes::Node;
use crate::traffic::Traffic;

/// Longest wait for the last answers.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);
/// What belongs to the beginning: memory, pools and Redis fill up.
const WARM_UP: f64 = 1.0 / 3.0;
/// What a series may grow by, from the end of the warm-up on, without anybody calling it growth.
const MEMORY_MIB: f64 = 6.0;
/// Connections that the pool may come to hold, and some more.
const FILES: f64 = 60.0;
const REDIS_MIB: f64 = 2.0;
/// Changes that wait to be folded, of one look: nodes fold twice a second.
const UNFOLDED: f64 = 400.0;

/// How long the load lasts.
fn length() -> Duration {
    #[expect(clippy::disallowed_methods, reason = "the nightly run says how long")]
    let given = std::env::var("TIERKEEP_LOAD_SECONDS").ok();
    Duration::from_secs(
        given.map_or(60, |seconds| seconds.parse().expect("TIERKEEP_LOAD_SECONDS is a number of seconds")),
    )
}

/// What was seen of one thing.
struct Series {
    what: String,
    looks: Vec<Look>,
    /// By how much it may grow.
    allowed: f64,
}

impl Series {
    /// As a line, and whether it has grown.
    fn judged(&self) -> (String, bool) {
        let warm = &self.looks[((self.looks.len() as f64 * WARM_UP) as usize).min(self.looks.len())..];
        let by = growth(warm);
        let (first, last) = (warm.first().map_or(0.0, |look| look.1), warm.last().map_or(0.0, |look| look.1));
        let line = format!("{}: {first:.1} once warm, {last:.1} at the end, grows by {by:.2}", self.what);
        (line, by > self.allowed)
    }
}

/// Looks at the nodes and what they share until `stop`.
fn watch(installation: Arc<Installation>, nodes: Arc<Vec<Node>>, stop: CancellationToken) -> JoinHandle<Vec<Series>> {
    tokio::spawn(async move {
        let new = |what: String, allowed| Series { what, looks: Vec::new(), allowed };
        let mut series = Vec::new();
        for index in 0..nodes.len() {
            series.push(new(format!("MiB of node {index}"), MEMORY_MIB));
            series.push(new(format!("files of node {index}"), FILES));
        }
        series.push(new("changes that are not folded".to_owned(), UNFOLDED));
        series.push(new("MiB of Redis".to_owned(), REDIS_MIB));
        let (began, mut looks) = (Instant::now(), interval(LOOK));
        while !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = looks.tick() => {}
            }
            let mut seen = Vec::new();
            for node in nodes.iter() {
                seen.extend([node.resident_mib(), node.files() as f64]);
            }
            seen.extend([installation.changes().await.unfolded, installation.redis_mib().await]);
            let at = began.elapsed().as_secs_f64();
            series.iter_mut().zip(seen).for_each(|(series, seen)| series.looks.push((at, seen)));
        }
        series
    })
}

/// Runs the load, and judges it.
async fn judge(name: &str, installation: Installation, nodes: usize, rate: u32, tiers: &[&str]) {
    let (installation, load) = (Arc::new(installation), Load { rate, length: length() });
    let (database, redis) = (installation.database(), installation.redis());
    let mut started = Vec::new();
    for _ in 0..nodes {
        started.push(Node::start(&database, redis.as_deref()).await);
    }
    let nodes = Arc::new(started);
    let traffic = Arc::new(Traffic::new(nodes.iter().map(|node| Arc::clone(&node.client)).collect()));
    let cpu = || nodes.iter().map(Node::cpu).sum::<Duration>();
    let (stop, before) = (CancellationToken::new(), cpu());
    let at_first = installation.changes().await.all;
    let watching = watch(Arc::clone(&installation), Arc::clone(&nodes), stop.clone());

    let outcome = run(load, PATIENCE, |number| {
        let traffic = Arc::clone(&traffic);
        async move { traffic.ask(number).await }
    })
    .await;
    let used = (cpu() - before).as_secs_f64();
    stop.cancel();
    let series = watching.await.unwrap();

    let answers = traffic.answers();
    println!("{name}: {}", outcome.line(load));
    println!("{name}: {:.2} cores of CPU in the nodes; answers {answers:?}", used / outcome.took.as_secs_f64());
    let judged: Vec<(String, bool)> = series.iter().map(Series::judged).collect();
    judged.iter().for_each(|(line, _)| println!("{name}: {line}"));
    let logs = || nodes.iter().map(Node::log).collect::<Vec<_>>().join("\n---\n");
    let failures = &outcome.failures;
    assert!(
        failures.is_empty(),
        "{} failed, first {:?}\n{}",
        failures.len(),
        &failures[..failures.len().min(5)],
        logs()
    );
    assert_eq!(outcome.answered(), load.requests());
    let grown: Vec<&String> = judged.iter().filter(|(_, has_grown)| *has_grown).map(|(line, _)| line).collect();
    assert!(grown.is_empty(), "these grow: {grown:?}");
    // each write is one change, or one for each day that it touched
    let (changes, writes) = (installation.changes().await, answers["written"]);
    let left = changes.all - at_first;
    println!("{name}: {writes} writes left {left} changes, {} of them not folded", changes.unfolded);
    assert!(left <= (2 * writes) as f64, "{changes:?} of {writes} writes, {at_first} before");
    let unpositioned = answers.get("unpositioned").copied().unwrap_or(0);
    assert!(unpositioned * 20 <= writes, "{unpositioned} of {writes} writes have no position");
    assert!(writes >= load.requests() / 10, "{writes} writes prove nothing");
    for tier in tiers {
        let times = answers.get(*tier).copied().unwrap_or(0);
        assert!(times >= 20, "a run with {times} of {tier} proves nothing: {answers:?}");
    }
    if nodes.len() > 1 {
        // without the position the other node may answer from what it has kept: the check would find that
        println!("{name}: {} reads without a position did not see the write before", traffic.old());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_on_postgresql_and_redis_carry_a_steady_load() {
    judge("PostgreSQL", Installation::on_postgres().await, 2, 60, &["l1", "l2", "l3"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_on_sqlite_carries_a_steady_load() {
    judge("SQLite", Installation::on_sqlite().await, 1, 30, &["l1", "l3"]).await;
}
