//! Invalidation by tag: its time does not depend on how many carry the tag, and it leaves nothing behind.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tierkeep_cache::redis::{Redis, RedisConfig};
use tierkeep_cache::{Cache, Policy, Postcard, Tag};
use tierkeep_testkit::RedisServer;

use crate::median;

const ENTRIES: u64 = 1_000_000;
const BATCH: u64 = 1_000;
const CYCLES: u64 = 1_000_000;

pub(crate) async fn report() -> anyhow::Result<()> {
    let server = RedisServer::launch().await?;
    let redis = Redis::connect(RedisConfig::new(&server.url())?).await?;
    let cache = Cache::builder("bench").memory(1 << 30).remote(Arc::new(redis.tier())).build()?;
    let policy = Policy::ttl(Duration::from_secs(3600));
    let view = cache.view::<u64, u64>("pages").policy(policy).codec(Postcard::shape(1));
    let view = view.tags(|key| vec![Tag::of("shelf", key % 2)]).build()?;
    for first in (0..ENTRIES).step_by(BATCH as usize) {
        let keys: Vec<u64> = (first..first + BATCH).collect();
        view.warm(&keys, async |keys: Vec<u64>| {
            Ok::<_, String>(keys.into_iter().map(|key| (key, key)).collect::<Vec<_>>())
        })
        .await?;
    }
    let mut took = Vec::new();
    for _ in 0..200 {
        let began = Instant::now();
        cache.invalidate_tag(&Tag::of("shelf", 0u64)).await.complete()?;
        took.push(began.elapsed());
    }
    anyhow::ensure!(view.get(&0).await.is_none() && view.get(&1).await.is_some(), "one shelf of two is forgotten");
    println!("tag carried by {} of {ENTRIES} entries: {:?} to invalidate", ENTRIES / 2, median(&mut took));

    let plain = redis::Client::open(server.url())?;
    let mut plain = plain.get_multiplexed_async_connection().await?;
    let before = used(&mut plain).await?;
    for first in (0..CYCLES).step_by(BATCH as usize) {
        let tags: Vec<Tag> = (first..first + BATCH).map(|n| Tag::of("cycle", n)).collect();
        cache.invalidate_tags(&tags).await.complete()?;
    }
    println!("{CYCLES} tags invalidated: Redis grew by {} bytes", used(&mut plain).await? - before);
    Ok(())
}

async fn used(redis: &mut redis::aio::MultiplexedConnection) -> anyhow::Result<i64> {
    let info: String = redis::cmd("INFO").arg("memory").query_async(redis).await?;
    let line = info.lines().find_map(|line| line.strip_prefix("used_memory_dataset:"));
    Ok(line.ok_or_else(|| anyhow::anyhow!("no used_memory_dataset"))?.trim().parse()?)
}
