//! The memory of a node that holds daily, weekly and analytics of all learners, each of which was asked for over HTTP.

use std::time::Duration;

use anyhow::{Result, ensure};
use tierkeep_testkit::{PostgresServer, RedisServer, SqliteFile};

use crate::installation::{self, LEARNERS, SESSIONS};
use crate::node::Node;
use crate::precompute::computed;

/// How long a node is left alone before it is looked at again.
const REST: Duration = Duration::from_secs(45);

pub(crate) async fn report() -> Result<()> {
    println!("\nmemory: of a node with daily, weekly and analytics of {LEARNERS} learners hot");
    let server = PostgresServer::launch().await?;
    let redis = RedisServer::launch().await?;
    let database = installation::on_postgres(&server).await?;
    let file = SqliteFile::new()?;
    installation::on_sqlite(&file, LEARNERS, SESSIONS).await?;
    let redis = redis.url();
    let installations = [
        ("PostgreSQL", database.url(), None),
        ("PostgreSQL and Redis", database.url(), Some(redis.as_str())),
        ("SQLite", &file.url(), None),
    ];
    for (name, url, redis) in installations {
        let node = Node::start(url, redis, &["--no-scheduler"])?;
        let begun = node.memory_mib("VmRSS:")?;
        computed(&node).await?;
        let filled = node.memory_mib("VmRSS:")?;
        let share = hits(&node).await?;
        let asked = node.memory_mib("VmRSS:")?;
        // what only computing needed is given back, and asking goes on
        tokio::time::sleep(REST).await;
        ensure!(hits(&node).await? > 0.99, "they were hot no more");
        println!(
            "  {name:<21} {begun:.0} MiB at first, {filled:.0} once computed, {asked:.0} after {} answers ({:.1} % from memory), \
             {:.0} three quarters of a minute later; {:.0} at most",
            3 * LEARNERS,
            share * 100.0,
            node.memory_mib("VmRSS:")?,
            node.memory_mib("VmHWM:")?,
        );
        ensure!(share > 0.99, "they were not hot");
    }
    println!("  (wanted: less than 100 MiB)");
    Ok(())
}

/// Asks for every answer, and returns the share that came from memory.
async fn hits(node: &Node) -> Result<f64> {
    let mut reader = node.reader().await?;
    let mut hits = 0_u64;
    for learner in 1..=LEARNERS {
        for statistic in ["stats/daily", "stats/weekly", "analytics"] {
            let asked = format!("GET /v1/users/{learner}/{statistic} HTTP/1.1\r\nhost: {}\r\n\r\n", node.host());
            let (head, _) = reader.send(&asked).await?;
            ensure!(head.starts_with("HTTP/1.1 200"), "{head}");
            hits += u64::from(head.contains("x-cache: l1"));
        }
    }
    Ok(hits as f64 / (3 * LEARNERS) as f64)
}
