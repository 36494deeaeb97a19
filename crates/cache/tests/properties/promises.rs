//! S4, S5, S6, S21: what other nodes may rely on, while the bus and the clocks do what they do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tierkeep_cache::bus::BusMessage;
use tierkeep_cache::{BuildError, Cache, Clock, Event, Loaded, Promise, Tag, View};
use tokio::time::Instant;

use crate::fixture::{
    Cluster, LEASE, alone, answering, exactly, giving, millis, numbers, numbers_with, pass, quiet, secs, serving, soon,
};
use crate::line::{Inbound, Line};
use crate::wire::Wire;

/// Two nodes; the way of the second to the bus is the test's.
struct Pair {
    _cluster: Cluster,
    near: View<u64, u64>,
    far: View<u64, u64>,
    line: Arc<Line>,
    wire: Arc<Wire>,
}

impl Pair {
    async fn new(promise: Promise) -> Self {
        let cluster = Cluster::new();
        let (line, wire) = (Line::to(&cluster.bus), Wire::to(&cluster.remote));
        let near = cluster.node(promise).await;
        let far = cluster.node_with(promise, |builder| builder.bus(line.clone()).remote(wire.clone())).await;
        let shape = |cache: &Cache| numbers_with(cache, |view| view.tags(|key| vec![Tag::of("parity", *key % 2)]));
        let pair = Self { near: shape(&near), far: shape(&far), _cluster: cluster, line, wire };
        for key in 0..4 {
            pair.near.get_or_load(&key, giving(1)).await.unwrap();
            pair.far.get_or_load(&key, giving(1)).await.unwrap();
        }
        pair
    }
}

#[tokio::test(start_paused = true)]
async fn with_a_healthy_bus_another_node_forgets_at_once() {
    for promise in [Promise::Bounded(LEASE), Promise::Strict(LEASE)] {
        let pair = Pair::new(promise).await;

        pair.near.invalidate(&1).await.complete().unwrap();
        quiet().await;

        assert_eq!(pair.far.get(&1).await, None, "{promise}");
    }
}

#[tokio::test(start_paused = true)]
async fn s4_a_lost_message_is_noticed_within_the_bound() {
    let pair = Pair::new(Promise::Bounded(LEASE)).await;
    let mut events = pair.far.cache().events();
    pair.line.inbound(Inbound::NoticesLost);
    pair.near.invalidate(&1).await.complete().unwrap();
    let acknowledged = Instant::now();

    while pair.far.get(&1).await.is_some() {
        pass(millis(1)).await;
    }

    assert!(acknowledged.elapsed() <= LEASE, "{:?}", acknowledged.elapsed());
    assert_eq!(soon(events.next()).await, Some(Ok(Event::Gap)));
}

#[tokio::test(start_paused = true)]
async fn s4_a_node_that_is_cut_off_serves_nothing_from_memory_after_the_bound() {
    for promise in [Promise::Bounded(LEASE), Promise::Strict(LEASE)] {
        let pair = Pair::new(promise).await;
        pair.line.cut();

        pass(LEASE).await;

        assert!(!pair.far.cache().state().serves_memory, "{promise}");
        let before = pair.far.counts().bypasses;
        pair.far.get(&1).await;
        assert_eq!(pair.far.counts().bypasses, before + 1, "{promise}");
    }
}

#[tokio::test(start_paused = true)]
async fn s4_a_node_that_comes_back_serves_memory_and_nothing_that_was_invalidated_meanwhile() {
    for promise in [Promise::Bounded(LEASE), Promise::Strict(LEASE)] {
        let pair = Pair::new(promise).await;
        pair.line.cut();
        pair.near.invalidate(&1).await.complete().unwrap();
        pass(millis(50)).await;
        let gaps = pair.far.cache().state().gaps;

        pair.line.mend();
        pass(secs(5)).await;

        serving(pair.far.cache()).await;
        assert_eq!(pair.far.get(&1).await, None, "{promise}");
        assert!(pair.far.cache().state().gaps > gaps, "{promise}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_strict_invalidation_returns_once_the_other_node_has_applied_it() {
    let pair = Pair::new(Promise::Strict(LEASE)).await;
    // A node waits for leases of an earlier counter that it may not know of.
    pass(LEASE).await;
    pair.line.inbound(Inbound::NoticesHeld);
    let (near, start) = (pair.near.clone(), Instant::now());
    let invalidated = tokio::spawn(async move { near.invalidate(&1).await });
    pass(millis(20)).await;
    assert!(!invalidated.is_finished());

    for notice in pair.line.take_held() {
        pair.line.deliver(notice).await;
    }
    soon(invalidated).await.unwrap().complete().unwrap();

    assert!(start.elapsed() < millis(30), "{:?}", start.elapsed());
    assert!(pair.far.peek(&1).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_strict_invalidation_of_a_node_that_does_not_answer_returns_when_its_lease_has_run_out() {
    let pair = Pair::new(Promise::Strict(LEASE)).await;
    pair.line.inbound(Inbound::Lost);
    let start = Instant::now();

    soon(pair.near.invalidate(&1)).await.complete().unwrap();

    assert!(start.elapsed() <= LEASE + millis(50), "{:?}", start.elapsed());
    assert_eq!(pair.far.get(&1).await, None);
}

#[tokio::test(start_paused = true)]
async fn s5_any_order_and_repetition_of_messages_leaves_the_same_in_memory() {
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    for order in orders {
        for repeated in [1, 2, 3] {
            let pair = Pair::new(Promise::Bounded(LEASE)).await;
            pair.line.inbound(Inbound::NoticesHeld);
            pair.near.invalidate(&0).await.complete().unwrap();
            pair.near.cache().invalidate_tag(&Tag::of("parity", 1u64)).await.complete().unwrap();
            pair.near.invalidate_softly(&2).await.complete().unwrap();
            quiet().await;
            let notices: Vec<BusMessage> = pair.line.take_held();
            let (writes, reads) = (pair.wire.writes(), pair.wire.reads());

            for _ in 0..repeated {
                for index in order {
                    pair.line.deliver(notices[index].clone()).await;
                }
            }
            quiet().await;

            let left: Vec<_> = (0..4).map(|key| pair.far.peek(&key).map(|found| found.stale)).collect();
            assert_eq!(left, [None, None, Some(true), None], "{order:?}, {repeated} times");
            assert_eq!((pair.wire.writes(), pair.wire.reads()), (writes, reads), "a receiver writes and reads nothing");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn s5_a_repeated_message_forgets_nothing_that_was_loaded_since() {
    let pair = Pair::new(Promise::Bounded(LEASE)).await;
    pair.line.inbound(Inbound::NoticesHeld);
    pair.near.cache().invalidate_tag(&Tag::of("parity", 1u64)).await.complete().unwrap();
    quiet().await;
    let notices = pair.line.take_held();
    pair.line.inbound(Inbound::Delivered);
    pair.line.deliver(notices[0].clone()).await;
    quiet().await;
    pair.far.get_or_load(&1, giving(2)).await.unwrap();

    pair.line.deliver(notices[0].clone()).await;
    quiet().await;

    assert!(pair.far.peek(&1).is_some());
}

#[tokio::test(start_paused = true)]
async fn s6_clocks_an_hour_apart_change_nothing() {
    for (near, far, remote) in [(0, 3600, 1800), (3600, 0, 7200), (7200, 3600, 0)] {
        let cluster = Cluster {
            remote: Arc::new(tierkeep_cache::remote::InProcess::new(Clock::simulated(secs(remote)))),
            ..Cluster::new()
        };
        let promise = Promise::Bounded(LEASE);
        let node = async |offset| cluster.node_with(promise, |b| b.clock(Clock::simulated(secs(offset)))).await;
        let (near, far) = (numbers(&node(near).await), numbers(&node(far).await));
        near.get_or_load(&1, giving(1)).await.unwrap();
        pass(secs(200)).await;

        let found = far.fetch(&1, giving(2)).await.unwrap();
        assert_eq!((found.value.as_deref(), found.age), (Some(&1), secs(200)));
        pass(millis(99_999)).await;
        assert!(far.peek(&1).is_some());
        pass(millis(1)).await;
        assert!(far.peek(&1).is_none());

        far.get_or_load(&2, giving(1)).await.unwrap();
        near.get(&2).await.unwrap();
        far.invalidate(&2).await.complete().unwrap();
        quiet().await;
        assert_eq!(near.get(&2).await, None);
    }
}

#[tokio::test(start_paused = true)]
async fn s6_a_remote_clock_that_went_back_makes_misses() {
    let cluster = Cluster::new();
    let wire = Wire::to(&cluster.remote);
    numbers(&cluster.deaf()).get_or_load(&1, giving(1)).await.unwrap();
    wire.forge(|value| tierkeep_cache::remote::RemoteValue { elapsed: None, ..value });
    let view = numbers(&crate::fixture::alone_with(|builder| builder.remote(wire)));

    assert_eq!(view.get(&1).await, None);
}

#[tokio::test(start_paused = true)]
async fn s21_nothing_is_served_from_below_the_position_that_the_feed_has_reached() {
    for both_tiers in [false, true] {
        let position = Arc::new(AtomicU64::new(5));
        let required = Arc::clone(&position);
        let cache = if both_tiers { Cluster::new().deaf() } else { alone() };
        let view = numbers_with(&cache, |view| {
            view.policy(exactly(secs(100)).stale_if_error(secs(100)).stale_while_revalidate(secs(100)))
                .required_position(move |_| Some(required.load(Ordering::SeqCst)))
        });
        view.get_or_load(&1, answering(Loaded::value(1).position(5))).await.unwrap();
        assert!(view.get(&1).await.is_some());

        position.store(6, Ordering::SeqCst);

        assert_eq!(view.get(&1).await, None, "both tiers: {both_tiers}");
        let load = answering(Loaded::value(2).position(6));
        assert_eq!(*view.get_or_load(&1, load).await.unwrap(), 2, "both tiers: {both_tiers}");
        assert_eq!(view.get(&1).await.as_deref(), Some(&2), "both tiers: {both_tiers}");
    }
}

#[tokio::test(start_paused = true)]
async fn s21_with_a_silent_bus_staleness_ends_with_the_bound() {
    let pair = Pair::new(Promise::Bounded(LEASE)).await;
    let mut events = pair.far.cache().events();
    pair.line.inbound(Inbound::Lost);
    pair.near.invalidate(&1).await.complete().unwrap();

    pass(LEASE).await;

    assert_eq!(pair.far.get(&1).await, None);
    pass(LEASE).await;
    assert_eq!(soon(events.next()).await, Some(Ok(Event::LeaseLost)));
}

#[tokio::test(start_paused = true)]
async fn the_local_promise_needs_no_bus() {
    let cache = Cache::builder("t").promise(Promise::Local).build().unwrap();

    assert!(cache.state().serves_memory);
}

#[tokio::test(start_paused = true)]
async fn promises_about_other_nodes_need_a_bus() {
    for promise in [Promise::Bounded(LEASE), Promise::Strict(LEASE)] {
        let built = Cache::builder("t").promise(promise).build();

        assert!(matches!(built, Err(BuildError::PromiseNeedsBus(_))), "{promise}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_holds_no_three_heartbeats_is_refused() {
    for (lease, heartbeat) in [(millis(400), millis(134)), (millis(40), millis(1)), (secs(1), Duration::MAX)] {
        let bus = Cluster::new().bus;
        let built = Cache::builder("t").bus(bus).promise(Promise::Bounded(lease)).heartbeat(heartbeat).build();

        assert!(matches!(built, Err(BuildError::LeaseTooShort { .. })), "{lease:?}, {heartbeat:?}");
    }
}
