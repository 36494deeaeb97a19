//! From an acknowledged commit of another program to the first answer of a node that has it.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, Result};
use tierkeep_testkit::{DatabaseClient, PostgresServer, RedisServer};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};

use crate::installation::{INSERT, LEARNERS, on_postgres};
use crate::measure::Samples;
use crate::node::{Node, Reader, number};

const WRITES_PER_SECOND: u32 = 200;
/// Enough that nobody writes late because an earlier write is not seen yet.
const WRITERS: u32 = 40;
const ROUND: Duration = Duration::from_secs(20);
/// Between two questions for the same write.
const PAUSE: Duration = Duration::from_millis(2);

pub(crate) async fn report() -> Result<()> {
    println!("\nlatency: two nodes, {WRITES_PER_SECOND} writes/s for {ROUND:?}, commit to first answer over HTTP");
    let server = PostgresServer::launch().await?;
    let redis = RedisServer::launch().await?;
    for (name, redis) in [("without Redis", None), ("with Redis", Some(redis.url()))] {
        let database = on_postgres(&server).await?;
        let nodes =
            [Node::start(database.url(), redis.as_deref(), &[])?, Node::start(database.url(), redis.as_deref(), &[])?];
        let begin = Instant::now();
        let mut writers = JoinSet::new();
        for writer in 0..WRITERS {
            let client = database.client().await?;
            let readers = [nodes[0].reader().await?, nodes[1].reader().await?];
            writers.spawn(write(writer, begin, client, readers));
        }
        let mut seen = Samples::default();
        while let Some(samples) = writers.join_next().await {
            seen.extend(samples??);
        }
        println!(
            "  {name:<14} {} writes in {:.1} s: p50 {:.0} ms, p99 {:.0} ms, max {:.0} ms",
            seen.len(),
            begin.elapsed().as_secs_f64(),
            seen.quantile_ms(500),
            seen.quantile_ms(990),
            seen.quantile_ms(1000),
        );
    }
    Ok(())
}

/// One of the writers, with learners of its own.
async fn write(writer: u32, begin: Instant, client: DatabaseClient, mut readers: [Reader; 2]) -> Result<Samples> {
    let insert = client.prepare(INSERT).await?;
    let mut written: HashMap<i64, u64> = HashMap::new();
    let mut seen = Samples::default();
    let period = Duration::from_secs(1) * WRITERS / WRITES_PER_SECOND;
    let mut ticks = interval_at(begin + period * writer / WRITERS, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for number_of_write in 0_u32.. {
        ticks.tick().await;
        if begin.elapsed() >= ROUND {
            break;
        }
        // of this writer's learners one that has nothing to do with the one before
        let learner =
            i64::from(number_of_write.wrapping_mul(2_654_435_761) % (LEARNERS / WRITERS) * WRITERS + writer + 1);
        let path = format!("/v1/users/{learner}/stats/daily");
        let reader = &mut readers[(number_of_write % 2) as usize];
        // so that there is something kept that could be old
        reader.get(&path).await?;
        let id = i64::from(1_000_000 + number_of_write * WRITERS + writer);
        client.execute(&insert, &[&id, &learner]).await?;
        let committed = Instant::now();
        let expected = written.entry(learner).or_default();
        *expected += 1;
        loop {
            let (_, body) = reader.get(&path).await?;
            if number(body, "total_sessions").with_context(|| body.to_owned())? >= *expected {
                break;
            }
            sleep(PAUSE).await;
        }
        seen.add(committed.elapsed());
    }
    Ok(seen)
}
