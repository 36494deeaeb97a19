//! What a read of the Redis tier costs beside the plain commands it consists of.
//!
//! `cargo bench -p tierkeep-cache --features redis --bench remote` prints medians in microseconds, and how many times
//! the plain command that is. Both sides use the same kind of connection to one private server, and take turns.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a measurement is printed, and fails by panicking")]

use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Value};
use tierkeep_cache::redis::{Redis, RedisConfig, RedisTier};
use tierkeep_cache::remote::{
    Claim, Fill, Filled, LeaseRequest, LeaseToken, Refused, RemoteKey, RemoteTier as _, StampRequest,
};
use tierkeep_cache::{Stamps, TagId};
use tierkeep_testkit::RedisServer;

/// Turns of each side. The medians of two runs differ by under 3 %.
const ROUNDS: usize = 300;
/// Requests in one turn.
const TURN: usize = 20;
/// As a day summary's envelope.
const VALUE_BYTES: usize = 300;
const KEYS: usize = 100;
const LONG: Duration = Duration::from_secs(10_000);

fn main() {
    for (name, mut builder) in [
        ("current thread", tokio::runtime::Builder::new_current_thread()),
        ("two workers", tokio::runtime::Builder::new_multi_thread()),
    ] {
        let runtime = builder.worker_threads(2).enable_all().build().unwrap();
        println!("{name}");
        runtime.block_on(async { tokio::spawn(measure()).await.unwrap() });
    }
}

async fn measure() {
    let server = RedisServer::launch().await.unwrap();
    let tier = Redis::connect(RedisConfig::new(&server.url()).unwrap()).await.unwrap().tier();
    let patient = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
    let plain = Client::open(server.url()).unwrap();
    let plain = plain.get_multiplexed_async_connection_with_config(&patient).await.unwrap();
    let keys: Vec<RemoteKey> = (0..KEYS as u64).map(|n| RemoteKey::new("daily", &n.to_be_bytes())).collect();
    let tags: Vec<TagId> = (1..=3u8).map(|n| TagId::from_bytes([n; 16])).collect();
    store(&tier, &plain, &keys, &tags).await;

    for (name, keys, tags) in [
        ("1 key", &keys[..1], &tags[..0]),
        ("1 key, 3 tags", &keys[..1], &tags[..]),
        ("100 keys", &keys[..], &tags[..0]),
        ("100 keys, 3 tags", &keys[..], &tags[..]),
    ] {
        compare(name, &tier, &plain, keys, tags).await;
    }
}

async fn store(tier: &RedisTier, plain: &MultiplexedConnection, keys: &[RemoteKey], tags: &[TagId]) {
    let stamps = tags.iter().map(|tag| StampRequest { tag: *tag, proposed: Stamps { hard: 1, soft: 1 }, keep: LONG });
    tier.acquire(&[], &stamps.collect::<Vec<_>>()).await.unwrap();
    for key in keys {
        let token = LeaseToken(1);
        let lease = LeaseRequest { key: key.clone(), token, lease: LONG, claim: Claim::Write };
        tier.acquire(&[lease], &[]).await.unwrap();
        let fill = Fill {
            key: key.clone(),
            token,
            envelope: vec![b'x'; VALUE_BYTES],
            ttl: LONG,
            version: None,
            tags: Vec::new(),
            keep: LONG,
            refused: Refused::LeaveAlone,
        };
        assert_eq!(tier.fill(&[fill]).await.unwrap(), [Filled::Stored]);
        let mut set = redis::cmd("SET");
        set.arg(plain_name(key)).arg(vec![b'x'; VALUE_BYTES]);
        set.query_async::<()>(&mut plain.clone()).await.unwrap();
    }
}

fn plain_name(key: &RemoteKey) -> Vec<u8> {
    [b"plain:", key.as_bytes()].concat()
}

async fn compare(name: &str, tier: &RedisTier, plain: &MultiplexedConnection, keys: &[RemoteKey], tags: &[TagId]) {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS * 2 {
        let start = Instant::now();
        for _ in 0..TURN {
            if round % 2 == 0 {
                let read = tier.read(keys, tags).await.unwrap();
                assert!(read.values.iter().all(Option::is_some) && read.stamps.iter().all(Option::is_some));
            } else {
                let mut get = redis::cmd(if keys.len() == 1 { "GET" } else { "MGET" });
                keys.iter().for_each(|key| _ = get.arg(plain_name(key)));
                let found: Value = get.query_async(&mut plain.clone()).await.unwrap();
                assert_ne!(found, Value::Nil);
            }
        }
        let each = start.elapsed().as_secs_f64() * 1e6 / TURN as f64;
        if round % 2 == 0 { &mut ours } else { &mut theirs }.push(each);
    }
    let (ours, theirs) = (median(ours), median(theirs));
    println!("  {name:18} read {ours:7.1} us   plain {theirs:7.1} us   {:.2} times", ours / theirs);
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
