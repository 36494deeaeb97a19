//! A value that only Redis has, through the whole API, beside a bare `redis` GET and its decoding.

use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::AsyncCommands as _;
use tierkeep_cache::redis::{Redis, RedisConfig};
use tierkeep_cache::{Cache, Policy, Postcard};
use tierkeep_testkit::RedisServer;

use crate::median;

const ROUNDS: usize = 400;
const TURN: usize = 20;
const KEYS: u64 = 100;

pub(crate) async fn report() -> anyhow::Result<()> {
    let server = RedisServer::launch().await?;
    let redis = Redis::connect(RedisConfig::new(&server.url())?).await?;
    let cache = Cache::builder("bench").remote(Arc::new(redis.tier())).build()?;
    // Memory forgets at once: every read goes to Redis.
    let policy = Policy::ttl(Duration::from_secs(3600)).memory_ttl(Duration::ZERO);
    let view = cache.view::<u64, String>("pages").policy(policy).codec(Postcard::shape(1)).build()?;
    let plain = redis::Client::open(server.url())?;
    let mut plain = plain.get_multiplexed_async_connection().await?;
    let keys: Vec<u64> = (0..KEYS).collect();
    let names: Vec<String> = keys.iter().map(|key| format!("plain:{key}")).collect();
    let value = "x".repeat(300);
    for (key, name) in keys.iter().zip(&names) {
        let value = value.clone();
        let _: () = plain.set(name, value.as_bytes()).await?;
        view.get_or_load(key, move |_| async move { Ok::<_, String>(value) }).await?;
    }

    let (mut bare_one, mut one, mut bare_many, mut many) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let began = Instant::now();
        for n in 0..TURN {
            let found: Vec<u8> = plain.get(&names[n % names.len()]).await?;
            anyhow::ensure!(String::from_utf8(found)?.len() == 300, "a value is lost");
        }
        bare_one.push(began.elapsed());
        let began = Instant::now();
        for n in 0..TURN {
            anyhow::ensure!(view.get(&keys[n % keys.len()]).await.is_some(), "a value is lost");
        }
        one.push(began.elapsed());
        let began = Instant::now();
        let found: Vec<Vec<u8>> = plain.mget(&names).await?;
        let decoded: Result<Vec<String>, _> = found.into_iter().map(String::from_utf8).collect();
        anyhow::ensure!(decoded?.len() == names.len(), "a value is lost");
        bare_many.push(began.elapsed());
        let began = Instant::now();
        anyhow::ensure!(view.get_many(&keys).await.len() == keys.len(), "a value is lost");
        many.push(began.elapsed());
    }
    anyhow::ensure!(view.counts().memory_hits == 0, "memory answered");
    println!("L2 hit, 300 bytes, one connection, us");
    let turn = TURN as f64;
    line("GET and decode", median(&mut bare_one), turn, None);
    line("view.get", median(&mut one), turn, Some(median(&mut bare_one)));
    line("MGET of 100 and decode", median(&mut bare_many), 1.0, None);
    line("view.get_many of 100", median(&mut many), 1.0, Some(median(&mut bare_many)));
    Ok(())
}

fn line(name: &str, took: Duration, of: f64, beside: Option<Duration>) {
    let ratio = beside.map_or_else(String::new, |beside| format!("{:.2}", took.as_secs_f64() / beside.as_secs_f64()));
    println!("  {name:<24} {:>8.1} {ratio:>6}", took.as_secs_f64() * 1e6 / of);
}
