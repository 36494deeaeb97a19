//! A server that is down, hangs, is full, was demoted or forgot: every call answers in time, and all is well after.

use std::time::Duration;

use tierkeep_cache::bus::{
    Announcement, Bus as _, BusError, BusMessage, Epoch, Heartbeat, NodeId, Notice, SUBSCRIPTION_CAPACITY,
};
use tierkeep_cache::redis::{Redis, RedisConfig, RedisTier};
use tierkeep_cache::remote::{
    Bump, Claim, Fill, Filled, KeyInvalidation, LeaseRequest, LeaseToken, Refused, RemoteError, RemoteKey,
    RemoteTier as _, StampRequest,
};
use tierkeep_cache::{Severity, Stamps, TagId};
use tierkeep_testkit::{ChaosProxy, Mode, RedisServer};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::{MARGIN, World, entry_name, raw, run};

/// Short, so that a server that hangs costs a test little.
const COMMAND: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_secs(10_000);

async fn impatient(url: &str) -> Redis {
    let config = RedisConfig::new(url).unwrap().prefix("p").command_timeout(COMMAND).ping_interval(COMMAND);
    Redis::connect(config.connect_timeout(COMMAND * 10)).await.unwrap()
}

fn key() -> RemoteKey {
    RemoteKey::from_bytes(b"key")
}

fn tag() -> TagId {
    TagId::from_bytes([1; 16])
}

fn lease(claim: Claim) -> LeaseRequest {
    LeaseRequest { key: key(), token: LeaseToken(1), lease: LONG, claim }
}

fn stamps() -> StampRequest {
    StampRequest { tag: tag(), proposed: Stamps { hard: 1, soft: 2 }, keep: LONG }
}

fn fill(envelope: &[u8]) -> Fill {
    Fill {
        key: key(),
        token: LeaseToken(1),
        envelope: envelope.to_vec(),
        ttl: LONG,
        version: None,
        tags: vec![tag()],
        keep: LONG,
        refused: Refused::LeaveAlone,
    }
}

fn bump(severity: Severity) -> Bump {
    Bump { tag: tag(), severity, soft: 9 }
}

fn invalidation(severity: Severity) -> KeyInvalidation {
    KeyInvalidation { key: key(), severity, hold: None }
}

fn strict() -> Announcement {
    let notice = Notice { sender: NodeId(1), severity: Severity::Hard, targets: Vec::new() };
    Announcement { notice, strict: true }
}

fn heartbeat(epoch: Option<Epoch>, applied: u64) -> Heartbeat {
    Heartbeat { node: NodeId(1), nonce: 1, epoch, applied, lease: LONG }
}

async fn store(tier: &RedisTier, envelope: &[u8]) {
    tier.acquire(&[lease(Claim::Write)], &[stamps()]).await.unwrap();
    assert_eq!(tier.fill(&[fill(envelope)]).await.unwrap(), [Filled::Stored]);
}

/// Each call of the tier, one after the other.
async fn every_tier_call(tier: &RedisTier) -> Vec<RemoteError> {
    vec![
        tier.read(&[key()], &[tag()]).await.unwrap_err(),
        tier.acquire(&[lease(Claim::IfAbsent)], &[stamps()]).await.unwrap_err(),
        tier.fill(&[fill(b"late")]).await.unwrap_err(),
        tier.release(&[(key(), LeaseToken(1))]).await.unwrap_err(),
        tier.invalidate(&[invalidation(Severity::Hard)]).await.unwrap_err(),
        tier.bump(&[bump(Severity::Hard)]).await.unwrap_err(),
        tier.add_rule(bump(Severity::Hard), &[]).await.unwrap_err(),
    ]
}

async fn every_bus_call(redis: &Redis) -> Vec<BusError> {
    let bus = redis.bus();
    vec![
        bus.announce(&strict()).await.unwrap_err(),
        bus.heartbeat(&heartbeat(None, 0)).await.unwrap_err(),
        bus.confirm(NodeId(1), Epoch(7), 1).await.unwrap_err(),
        bus.leave(NodeId(1)).await.unwrap_err(),
        bus.subscribe().await.unwrap_err(),
    ]
}

/// Returns when the tier answers again.
async fn recovered(redis: &Redis) {
    let again = async {
        loop {
            redis.connected().await;
            if redis.tier().read(&[key()], &[tag()]).await.is_ok() {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(MARGIN, again).await.unwrap();
}

async fn closed(mut messages: mpsc::Receiver<BusMessage>) {
    timeout(MARGIN, async { while messages.recv().await.is_some() {} }).await.unwrap();
}

#[tokio::test]
async fn server_that_is_down_at_the_start_is_found_when_it_comes() {
    let server = RedisServer::launch().await.unwrap();
    server.stop().await.unwrap();

    let redis = impatient(&server.url()).await;

    assert!(!redis.is_connected());
    assert!(matches!(redis.tier().read(&[key()], &[]).await, Err(RemoteError::Unreachable(_))));
    assert!(matches!(redis.bus().announce(&strict()).await, Err(BusError::Unreachable(_))));
    assert!(matches!(redis.bus().subscribe().await, Err(BusError::Unreachable(_))));
    server.start().await.unwrap();
    recovered(&redis).await;
    redis.bus().announce(&strict()).await.unwrap();
}

#[tokio::test]
async fn killed_server_closes_subscriptions_and_comes_back_as_another_epoch() {
    let server = RedisServer::launch().await.unwrap();
    let redis = impatient(&server.url()).await;
    store(&redis.tier(), b"value").await;
    let before = redis.bus().announce(&strict()).await.unwrap();
    let messages = redis.bus().subscribe().await.unwrap();

    server.kill9().await.unwrap();
    closed(messages).await;
    let errors = every_tier_call(&redis.tier()).await;
    server.start().await.unwrap();
    recovered(&redis).await;

    let is_typed = |error: &RemoteError| matches!(error, RemoteError::Unreachable(_) | RemoteError::Suspended);
    assert!(errors.iter().all(is_typed), "{errors:?}");
    assert_eq!(redis.tier().read(&[key()], &[]).await.unwrap().values, [None]);
    assert_ne!(redis.bus().announce(&strict()).await.unwrap().epoch, before.epoch);
}

#[tokio::test]
async fn hanging_server_costs_a_time_limit_a_few_times_and_then_nothing() {
    let server = RedisServer::launch().await.unwrap();
    let redis = impatient(&server.url()).await;
    let messages = redis.bus().subscribe().await.unwrap();

    server.pause().await.unwrap();
    let started = Instant::now();
    let errors = every_tier_call(&redis.tier()).await;
    let bus_errors = every_bus_call(&redis).await;
    let took = started.elapsed();
    closed(messages).await;
    server.resume().await.unwrap();
    recovered(&redis).await;

    assert!(errors[..5].iter().all(|error| matches!(error, RemoteError::TimedOut(COMMAND))), "{errors:?}");
    assert!(errors[5..].iter().all(|error| matches!(error, RemoteError::Suspended)), "{errors:?}");
    assert!(
        bus_errors.iter().all(|error| matches!(error, BusError::TimedOut(_) | BusError::Unreachable(_))),
        "{bus_errors:?}"
    );
    // Five calls of the tier and five of the bus, one of which makes a connection.
    assert!(took < COMMAND * 20 + MARGIN, "{took:?}");
    redis.bus().announce(&strict()).await.unwrap();
}

#[tokio::test]
async fn black_hole_is_left_by_a_new_connection() {
    let server = RedisServer::launch().await.unwrap();
    let proxy = server.proxy().await.unwrap();
    let redis = impatient(&server.url_through(&proxy)).await;
    let messages = redis.bus().subscribe().await.unwrap();

    proxy.set(Mode::Stall);
    let errors = every_tier_call(&redis.tier()).await;
    closed(messages).await;
    proxy.set(Mode::Pass);
    recovered(&redis).await;

    assert!(
        errors.iter().all(|error| matches!(error, RemoteError::TimedOut(_) | RemoteError::Suspended)),
        "{errors:?}"
    );
    assert!(proxy.handle().accepted() > 2, "a connection that leads nowhere is replaced");
}

#[tokio::test]
async fn cut_connections_are_made_again() {
    let server = RedisServer::launch().await.unwrap();
    for tcp in [false, true] {
        let proxy = if tcp {
            ChaosProxy::on_tcp(tierkeep_testkit::Endpoint::Unix(server.socket().to_path_buf())).await.unwrap()
        } else {
            server.proxy().await.unwrap()
        };
        let redis = impatient(&server.url_through(&proxy)).await;
        let messages = redis.bus().subscribe().await.unwrap();

        proxy.set(Mode::Reset);
        proxy.set(Mode::Pass);

        closed(messages).await;
        recovered(&redis).await;
        redis.bus().subscribe().await.unwrap();
    }
}

#[tokio::test]
async fn slow_server_is_answered_for_within_the_limit() {
    let server = RedisServer::launch().await.unwrap();
    let proxy = server.proxy().await.unwrap();
    let redis = impatient(&server.url_through(&proxy)).await;

    proxy.set(Mode::Delay(COMMAND * 4));
    let error = redis.tier().read(&[key()], &[]).await.unwrap_err();
    proxy.set(Mode::Pass);
    recovered(&redis).await;

    assert!(matches!(error, RemoteError::TimedOut(COMMAND)), "{error:?}");
}

#[tokio::test]
async fn clients_killed_by_the_server_are_back_at_once() {
    let world = World::new().await;
    let messages = world.redis.bus().subscribe().await.unwrap();

    for kind in [&b"normal"[..], b"pubsub"] {
        world.run(&[b"CLIENT", b"KILL", b"TYPE", kind, b"SKIPME", b"yes"]).await;
    }

    closed(messages).await;
    recovered(&world.redis).await;
    world.redis.bus().announce(&strict()).await.unwrap();
}

#[tokio::test]
async fn flushed_server_has_neither_values_nor_stamps_nor_leases() {
    let world = World::new().await;
    let tier = world.redis.tier();
    store(&tier, b"value").await;
    tier.acquire(&[lease(Claim::Refresh)], &[]).await.unwrap();

    world.run(&[b"FLUSHALL"]).await;

    let read = tier.read(&[key()], &[tag()]).await.unwrap();
    assert_eq!((read.values, read.stamps), (vec![None], vec![None]));
    assert_eq!(tier.fill(&[fill(b"late")]).await.unwrap(), [Filled::Rejected]);
}

#[tokio::test]
async fn full_server_still_reads_and_forgets() {
    let world = World::new().await;
    let tier = world.redis.tier();
    store(&tier, b"value").await;
    let before = tier.acquire(&[lease(Claim::Refresh)], &[]).await.unwrap().bumps.unwrap();

    world.run(&[b"CONFIG", b"SET", b"maxmemory", b"1"]).await;
    let present = tier.read(&[key()], &[tag()]).await.unwrap();
    for _ in 0..10 {
        let refused = tier.acquire(&[lease(Claim::Refresh)], &[]).await;
        assert!(matches!(refused, Err(RemoteError::Refused(_))), "{refused:?}");
    }
    let filled = tier.fill(&[fill(b"later")]).await;
    let refused = world.redis.bus().announce(&strict()).await;
    tier.invalidate(&[invalidation(Severity::Soft)]).await.unwrap();
    tier.bump(&[bump(Severity::Soft)]).await.unwrap();
    let after = tier.read(&[key()], &[tag()]).await.unwrap();
    world.run(&[b"CONFIG", b"SET", b"maxmemory", b"0"]).await;

    assert!(matches!(refused, Err(BusError::Refused(_))), "{refused:?}");
    assert!(present.values[0].is_some() && present.stamps[0].is_some());
    assert!(matches!(filled, Err(RemoteError::Refused(_))), "{filled:?}");
    // What cannot be marked is deleted; which of the two depends on the server's version.
    assert!(after.values[0].as_ref().is_none_or(|value| value.soft), "{after:?}");
    assert!(after.stamps[0].as_ref().is_none_or(|record| record.stamps.soft == 9), "{after:?}");
    let bumps = tier.acquire(&[], &[]).await.unwrap().bumps.unwrap();
    assert!(bumps > before, "a bump that could not be counted is later than any before");
}

#[tokio::test]
async fn evicting_server_loses_values_and_never_mixes_them_up() {
    let world = World::new().await;
    let tier = world.redis.tier();
    world.run(&[b"CONFIG", b"SET", b"maxmemory-policy", b"allkeys-random"]).await;
    world.run(&[b"CONFIG", b"SET", b"maxmemory", b"3mb"]).await;
    let keys: Vec<RemoteKey> = (0..400u32).map(|n| RemoteKey::from_bytes(&n.to_be_bytes())).collect();
    let mut last = 0;

    for key in &keys {
        let lease = LeaseRequest { key: key.clone(), ..lease(Claim::IfAbsent) };
        let acquired = tier.acquire(&[lease], &[stamps()]).await.unwrap();
        let fill = Fill { key: key.clone(), ..fill(&key.as_bytes().repeat(5000)) };
        tier.fill(&[fill]).await.unwrap();
        tier.bump(&[bump(Severity::Hard)]).await.unwrap();
        let bumps = acquired.bumps.unwrap();
        assert!(bumps > last || last == 0, "{bumps} after {last}");
        last = bumps;
    }
    let read = tier.read(&keys, &[]).await.unwrap();

    let kept = keys.iter().zip(&read.values).filter_map(|(key, value)| Some((key, value.as_ref()?)));
    let kept: Vec<_> = kept.collect();
    assert!(!kept.is_empty() && kept.len() < keys.len(), "{}", kept.len());
    assert!(kept.iter().all(|(key, value)| value.envelope == key.as_bytes().repeat(5000)));
}

#[tokio::test]
async fn server_that_was_demoted_refuses_and_is_another_epoch_when_promoted() {
    let world = World::new().await;
    let (tier, bus) = (world.redis.tier(), world.redis.bus());
    let first = bus.announce(&strict()).await.unwrap();
    bus.heartbeat(&heartbeat(Some(first.epoch), first.number)).await.unwrap();

    world.run(&[b"REPLICAOF", b"127.0.0.1", b"1"]).await;
    let refused = tier.bump(&[bump(Severity::Hard)]).await;
    world.run(&[b"REPLICAOF", b"NO", b"ONE"]).await;
    recovered(&world.redis).await;
    let second = bus.announce(&strict()).await.unwrap();

    assert!(matches!(refused, Err(RemoteError::Refused(_))), "{refused:?}");
    assert_ne!(second.epoch, first.epoch);
    assert!(second.number > first.number);
    // The lease that is known, and those that a master that is gone may have granted.
    let mut nodes: Vec<_> = second.holders.iter().map(|holder| (holder.node, holder.remaining > LONG / 2)).collect();
    nodes.sort_unstable();
    assert_eq!(nodes, [(NodeId(0), true), (NodeId(1), true)]);
}

#[tokio::test]
async fn subscription_that_is_not_read_ends_instead_of_losing_a_message() {
    let world = World::new().await;
    let bus = world.redis.bus();
    let mut messages = bus.subscribe().await.unwrap();

    for number in 0..=SUBSCRIPTION_CAPACITY as u64 {
        bus.confirm(NodeId(1), Epoch(7), number).await.unwrap();
    }
    // What is published is pushed in its own time: a reader that began before the last message came would make room.
    let lost = async {
        while !messages.is_closed() {
            tokio::task::yield_now().await;
        }
    };
    timeout(MARGIN, lost).await.unwrap();
    let mut count = 0;
    while let Some(message) = messages.recv().await {
        assert_eq!(message, BusMessage::Confirmed { node: NodeId(1), epoch: Epoch(7), number: count });
        count += 1;
    }

    assert_eq!(count, SUBSCRIPTION_CAPACITY as u64);
}

#[tokio::test]
async fn connections_end_with_those_who_use_them() {
    let server = RedisServer::launch().await.unwrap();
    let proxy = server.proxy().await.unwrap();
    let redis = impatient(&server.url_through(&proxy)).await;
    let open = async |count: u64| {
        let reached = async {
            while proxy.handle().open() != count {
                tokio::task::yield_now().await;
            }
        };
        timeout(MARGIN, reached).await.unwrap_or_else(|_| panic!("{} open, not {count}", proxy.handle().open()));
    };
    let first = redis.bus().subscribe().await.unwrap();
    let second = redis.bus().subscribe().await.unwrap();
    open(3).await;

    drop(first);
    open(2).await;
    drop(redis);

    open(0).await;
    closed(second).await;
}

#[tokio::test]
async fn stored_value_has_the_documented_form() {
    let server = RedisServer::launch().await.unwrap();
    let redis = impatient(&server.url()).await;
    store(&redis.tier(), b"value").await;

    let found = run(&raw(&server).await, &[b"GET", &entry_name("v", &key())]).await;

    let redis::Value::BulkString(bytes) = found else { panic!("{found:?}") };
    assert_eq!((&bytes[8..10], &bytes[18..]), (&b"T\0"[..], &b"value"[..]));
}
