//! Computing daily, weekly and analytics of all learners before anybody asks, in a node that has just started.

use anyhow::{Context, Result, ensure};
use tierkeep_testkit::{PostgresServer, RedisServer, SqliteFile};

use crate::installation::{self, LEARNERS, SESSIONS};
use crate::node::{Node, number};

const ROUNDS: usize = 5;

pub(crate) async fn report() -> Result<()> {
    println!(
        "\nprecompute: daily, weekly and analytics of {LEARNERS} learners with {SESSIONS} sessions, {ROUNDS} nodes each"
    );
    let server = PostgresServer::launch().await?;
    let database = installation::on_postgres(&server).await?;
    let file = SqliteFile::new()?;
    installation::on_sqlite(&file, LEARNERS, SESSIONS).await?;
    for (name, url) in [("PostgreSQL", database.url()), ("SQLite", &file.url())] {
        for with_redis in [false, true] {
            let (mut seconds, mut peak, mut cpu) = (Vec::new(), 0.0_f64, Vec::new());
            for _ in 0..ROUNDS {
                // an empty one, so that everything is computed
                let redis = if with_redis { Some(RedisServer::launch().await?) } else { None };
                let node = Node::start(url, redis.as_ref().map(RedisServer::url).as_deref(), &["--no-scheduler"])?;
                let before = node.cpu()?;
                seconds.push(computed(&node).await?);
                cpu.push((node.cpu()? - before).as_secs_f64());
                peak = peak.max(node.memory_mib("VmHWM:")?);
            }
            seconds.sort_unstable_by(f64::total_cmp);
            cpu.sort_unstable_by(f64::total_cmp);
            let rate = |seconds: f64| LEARNERS as f64 / seconds;
            println!(
                "  {name:<10} {:<11} {:.0} learners/s ({:.0} to {:.0}), {:.2} s of CPU in the node, {peak:.0} MiB at most",
                if with_redis { "and Redis" } else { "" },
                rate(seconds[ROUNDS / 2]),
                rate(seconds[ROUNDS - 1]),
                rate(seconds[0]),
                cpu[ROUNDS / 2],
            );
        }
    }
    println!("  (wanted: at least 20000 learners/s, less than 128 MiB)");
    Ok(())
}

/// Has a node compute everything, and returns the seconds that took.
pub(crate) async fn computed(node: &Node) -> Result<f64> {
    let body = "{\"active_users_only\":false}";
    let order = format!(
        "POST /v1/admin/precompute HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        node.host(),
        body.len()
    );
    let mut reader = node.reader().await?;
    let (head, report) = reader.send(&order).await?;
    ensure!(number(report, "computed") == Some(3 * LEARNERS), "{head}{report}");
    let seconds = report.split_once("\"seconds\":").context("it says how long it took")?.1;
    Ok(seconds.trim_end_matches('}').parse()?)
}
