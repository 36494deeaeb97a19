//! What the schedule costs while nothing is due: a node with it against one without, at the same time.

use std::time::Duration;

use anyhow::{Context, Result};
use tierkeep_testkit::{PostgresServer, SqliteFile};
use tokio::time::{Instant, sleep};

use crate::installation::migrated;
use crate::node::Node;
use crate::process::cpu_of_backends;

/// Until what belongs to the start is over.
const SETTLING: Duration = Duration::from_secs(10);
const ROUND: Duration = Duration::from_secs(90);
const WITHOUT: &[&str] = &["--no-scheduler"];

pub(crate) async fn report() -> Result<()> {
    println!("\nidle: CPU of a node that nobody asks, with and without its schedule, in percent of a core, {ROUND:?}");
    let server = PostgresServer::launch().await?;
    let pid = server.pid().context("the server runs")?;
    let (databases, files) =
        ([server.database().await?, server.database().await?], [SqliteFile::new()?, SqliteFile::new()?]);
    let mut nodes = Vec::new();
    for (database, more) in databases.iter().zip([&[][..], WITHOUT]) {
        migrated(database.url()).await?;
        nodes.push((Node::start(database.url(), None, more)?, Some(database.name())));
    }
    for (file, more) in files.iter().zip([&[][..], WITHOUT]) {
        migrated(&file.url()).await?;
        nodes.push((Node::start(&file.url(), None, more)?, None));
    }
    sleep(SETTLING).await;
    let used = || -> Result<Vec<(Duration, Duration)>> {
        let of = |name: &Option<&str>| name.map_or(Ok(Duration::ZERO), |name| cpu_of_backends(pid, name));
        nodes.iter().map(|(node, name)| Ok((node.cpu()?, of(name)?))).collect()
    };
    let (began, before) = (Instant::now(), used()?);
    sleep(ROUND).await;
    let (after, took) = (used()?, began.elapsed().as_secs_f64());
    let share = |after: Duration, before: Duration| after.saturating_sub(before).as_secs_f64() / took * 100.0;
    let shares: Vec<(f64, f64)> =
        after.iter().zip(&before).map(|(after, before)| (share(after.0, before.0), share(after.1, before.1))).collect();
    for (name, pair) in ["PostgreSQL", "SQLite"].iter().zip(shares.chunks(2)) {
        let [(node, backends), (node_without, backends_without)] = pair else { continue };
        println!(
            "  {name:<10} with: node {node:.2} %, backends {backends:.2} %; without: node {node_without:.2} %, backends \
             {backends_without:.2} %; the schedule: {:.2} %",
            node + backends - node_without - backends_without,
        );
    }
    println!("  (wanted: the schedule less than 0.5 %)");
    Ok(())
}
