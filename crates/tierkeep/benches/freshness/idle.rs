//! What a node costs that nobody asks over a database that nobody writes to.

use std::time::Duration;

use anyhow::{Context, Result};
use tierkeep_testkit::{PostgresServer, RedisServer};
use tokio::time::{Instant, sleep};

use crate::installation::{on_postgres, on_sqlite};
use crate::node::Node;
use crate::process::cpu_of_backends;

/// Until what belongs to the start is over, the first pruning of changes among it.
const SETTLING: Duration = Duration::from_secs(3);
const ROUND: Duration = Duration::from_secs(20);

pub(crate) async fn report() -> Result<()> {
    println!("\nidle: CPU of a node that nobody asks, in percent of a core, {ROUND:?}");
    let server = PostgresServer::launch().await?;
    let pid = server.pid().context("the server runs")?;
    let redis = RedisServer::launch().await?;
    let database = on_postgres(&server).await?;
    for (name, redis) in [("PostgreSQL", None), ("PostgreSQL and Redis", Some(redis.url()))] {
        let node = Node::start(database.url(), redis.as_deref(), &[])?;
        sleep(SETTLING).await;
        let (own, servers) = over_a_round(|| Ok((node.cpu()?, cpu_of_backends(pid, database.name())?))).await?;
        print(name, own, servers);
    }
    let file = on_sqlite().await?;
    let node = Node::start(&file.url(), None, &[])?;
    sleep(SETTLING).await;
    let (own, _) = over_a_round(|| Ok((node.cpu()?, Duration::ZERO))).await?;
    print("SQLite", own, 0.0);
    Ok(())
}

/// What was used during a round, each in seconds a second.
async fn over_a_round(used: impl Fn() -> Result<(Duration, Duration)>) -> Result<(f64, f64)> {
    let (begin, before) = (Instant::now(), used()?);
    sleep(ROUND).await;
    let (after, took) = (used()?, begin.elapsed().as_secs_f64());
    let share = |before: Duration, after: Duration| after.saturating_sub(before).as_secs_f64() / took;
    Ok((share(before.0, after.0), share(before.1, after.1)))
}

fn print(name: &str, own: f64, servers: f64) {
    println!(
        "  {name:<22} node {:.2} %, backends {:.2} %, together {:.2} %",
        own * 100.0,
        servers * 100.0,
        (own + servers) * 100.0,
    );
}
