//! Reading one learner's statistics at a fixed rate, at rest and while others are written to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use tierkeep_testkit::{DatabaseClient, PostgresServer, TestDatabase};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};

use crate::installation::{INSERT, LEARNERS, on_postgres};
use crate::measure::{Samples, median};
use crate::node::Node;

const HOT: i64 = 1;
const READS_PER_SECOND: u32 = 2000;
const READERS: u32 = 8;
const WRITES_PER_SECOND: u32 = 200;
const ROUND: Duration = Duration::from_secs(8);
const ROUNDS: usize = 5;

/// What one round was like.
struct Round {
    p50: f64,
    p99: f64,
    /// CPU seconds of the node a second.
    cpu: f64,
    reads: f64,
}

pub(crate) async fn report() -> Result<()> {
    println!(
        "\nstorm: {READS_PER_SECOND} reads/s of one learner, at rest and with {WRITES_PER_SECOND} writes/s to others"
    );
    let server = PostgresServer::launch().await?;
    let database = on_postgres(&server).await?;
    let node = Node::start(database.url(), None, &[])?;
    let mut rounds: [Vec<Round>; 4] = Default::default();
    for _ in 0..ROUNDS {
        rounds[0].push(round(&node, READS_PER_SECOND).await?);
        rounds[1].push(round(&node, 0).await?);
        let storm = Storm::start(&database).await?;
        rounds[2].push(round(&node, READS_PER_SECOND).await?);
        rounds[3].push(round(&node, 0).await?);
        storm.end().await?;
        // what was written is folded before the next round at rest
        sleep(Duration::from_secs(2)).await;
    }
    let of = |which: usize, value: fn(&Round) -> f64| median(rounds[which].iter().map(value).collect());
    let cost = |which: usize| {
        (of(which, |round| round.cpu) - of(which + 1, |round| round.cpu)) / of(which, |round| round.reads)
    };
    for (name, which) in [("at rest", 0), ("storm", 2)] {
        println!(
            "  {name:<8} p50 {:.3} ms, p99 {:.3} ms; node {:.1} % of a core, without reads {:.1} %: {:.1} µs a read",
            of(which, |round| round.p50),
            of(which, |round| round.p99),
            of(which, |round| round.cpu) * 100.0,
            of(which + 1, |round| round.cpu) * 100.0,
            cost(which) * 1e6,
        );
    }
    println!(
        "  storm / rest: p99 {:.2}, CPU a read {:.2} (all CPU of the node / reads: {:.2})",
        of(2, |round| round.p99) / of(0, |round| round.p99),
        cost(2) / cost(0),
        of(2, |round| round.cpu) / of(0, |round| round.cpu),
    );
    Ok(())
}

/// Reads at a fixed rate; a read counts from the time it was due if the one before made it wait.
async fn round(node: &Node, reads_per_second: u32) -> Result<Round> {
    let (begin, before) = (Instant::now(), node.cpu()?);
    let mut times = Samples::default();
    if reads_per_second == 0 {
        sleep(ROUND).await;
        times.add(Duration::ZERO);
    } else {
        let mut readers = Vec::new();
        for nth in 0..READERS {
            let mut reader = node.reader().await?;
            readers.push(tokio::spawn(async move {
                let period = Duration::from_secs(1) * READERS / reads_per_second;
                let mut due = begin + period * nth / READERS;
                let mut times = Samples::default();
                let path = format!("/v1/users/{HOT}/stats/weekly");
                while begin.elapsed() < ROUND {
                    let mut from = due;
                    if due > Instant::now() {
                        sleep_until(due).await;
                        // that a timer is late is not the node's fault
                        from = Instant::now();
                    }
                    let (status, _) = reader.get(&path).await?;
                    ensure!(status == 200, "the node answered {status}");
                    times.add(from.elapsed());
                    due += period;
                }
                Ok(times)
            }));
        }
        for reader in readers {
            times.extend(reader.await??);
        }
    }
    let took = begin.elapsed().as_secs_f64();
    let cpu = (node.cpu()? - before).as_secs_f64() / took;
    let reads = f64::from(u32::try_from(times.len())?) / took;
    Ok(Round { p50: times.quantile_ms(500), p99: times.quantile_ms(990), cpu, reads })
}

/// Single-row writes to everybody but the learner who is read.
struct Storm {
    writing: JoinHandle<Result<()>>,
    is_over: Arc<AtomicBool>,
}

impl Storm {
    async fn start(database: &TestDatabase) -> Result<Self> {
        let client = database.client().await?;
        let is_over = Arc::new(AtomicBool::new(false));
        let writing = tokio::spawn(write(client, Arc::clone(&is_over)));
        Ok(Self { writing, is_over })
    }

    async fn end(self) -> Result<()> {
        self.is_over.store(true, Ordering::Relaxed);
        self.writing.await?
    }
}

async fn write(client: DatabaseClient, is_over: Arc<AtomicBool>) -> Result<()> {
    let first: i64 = client.query_one("select max(id) + 1 from study_sessions", &[]).await?.try_get(0)?;
    let insert = client.prepare(INSERT).await?;
    let mut ticks = interval(Duration::from_secs(1) / WRITES_PER_SECOND);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for nth in 0.. {
        ticks.tick().await;
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        let learner = HOT + 1 + nth * 7919 % i64::from(LEARNERS - 1);
        client.execute(&insert, &[&(first + nth), &learner]).await?;
    }
    Ok(())
}
