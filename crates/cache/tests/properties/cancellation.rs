//! S18: a future that is dropped at any of its awaits leaves no load, no lease and nobody waiting.

use std::future::Future;
use std::pin::pin;
use std::task::Poll;

use tierkeep_cache::{Cache, LoadContext, View};
use tokio::time::Instant;

use crate::fixture::{Cluster, Down, Gate, alone_with, endless, giving, millis, numbers, pass, quiet, soon};
use crate::wire::Wire;

/// Polls a future so many times, with room for everybody else between, then drops it.
async fn polled<T>(future: impl Future<Output = T>, times: usize) -> Option<T> {
    let mut future = pin!(future);
    for _ in 0..times {
        let polled = std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await;
        if let Poll::Ready(output) = polled {
            return Some(output);
        }
        // Shorter than any step of the wire: each await of the future is met.
        tokio::time::sleep(millis(1)).await;
    }
    None
}

struct Node {
    cluster: Cluster,
    cache: Cache,
    view: View<u64, u64>,
}

impl Node {
    /// A node whose remote tier takes its time.
    fn new() -> Self {
        let cluster = Cluster::new();
        let wire = Wire::to(&cluster.remote);
        wire.slow_down();
        let cache = alone_with(|builder| builder.remote(wire));
        let view = numbers(&cache);
        Self { cluster, cache, view }
    }

    fn leases(&self) -> usize {
        self.cluster.sizes()[1]
    }

    /// Nothing is left of a read that was given up: no load, no lease, and the next one waits for nobody.
    async fn has_nothing_left(&self, case: usize) {
        assert_eq!(self.cache.state().loads_running, 0, "loads after {case} polls");
        assert_eq!(self.leases(), 0, "leases after {case} polls");
        let start = Instant::now();
        self.view.get_or_load(&1, giving(9)).await.unwrap();
        assert!(start.elapsed() < millis(20), "a wait of {:?} after {case} polls", start.elapsed());
    }
}

/// Drops the operation after every number of polls until it ends; tells how many polls that takes.
async fn at_every_await<F: Future>(operation: impl Fn(Node) -> F, mut check: impl AsyncFnMut(&Node, usize)) -> usize {
    for times in 0..1000 {
        let node = Node::new();
        let mirror = Node {
            cluster: Cluster { remote: node.cluster.remote.clone(), bus: node.cluster.bus.clone() },
            cache: node.cache.clone(),
            view: node.view.clone(),
        };
        let ended = polled(operation(mirror), times).await.is_some();
        check(&node, times).await;
        if ended {
            return times;
        }
    }
    panic!("the operation does not end");
}

/// A loader with two awaits of its own.
async fn stepwise(_: LoadContext<u64>) -> Result<u64, Down> {
    pass(millis(1)).await;
    pass(millis(1)).await;
    Ok(7)
}

#[tokio::test(start_paused = true)]
async fn s18_get_or_load_dropped_anywhere_leaves_no_load_and_no_lease_once_its_own_load_has_ended() {
    let polls = at_every_await(
        async |node: Node| drop(node.view.get_or_load(&1, stepwise).await),
        async |node, case| {
            pass(millis(50)).await;
            node.has_nothing_left(case).await;
        },
    )
    .await;

    assert!(polls > 5, "{polls} polls meet no await");
}

#[tokio::test(start_paused = true)]
async fn s18_get_or_load_dropped_after_it_began_stores_its_value_all_the_same() {
    at_every_await(
        async |node: Node| drop(node.view.get_or_load(&1, stepwise).await),
        async |node, case| {
            pass(millis(50)).await;
            let stored = node.view.peek(&1).is_some();
            assert_eq!(stored, case > 0, "after {case} polls");
        },
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn s18_get_or_load_here_dropped_anywhere_leaves_no_load_and_no_lease() {
    let polls = at_every_await(
        async |node: Node| drop(node.view.get_or_load_here(&1, stepwise).await),
        async |node, case| {
            // What the lease takes to be given back.
            pass(millis(5)).await;
            node.has_nothing_left(case).await;
        },
    )
    .await;

    assert!(polls > 5, "{polls} polls meet no await");
}

#[tokio::test(start_paused = true)]
async fn s18_get_dropped_anywhere_leaves_no_load_and_no_lease() {
    let polls = at_every_await(
        async |node: Node| drop(node.view.get(&1).await),
        async |node, case| {
            pass(millis(5)).await;
            node.has_nothing_left(case).await;
        },
    )
    .await;

    assert!(polls > 1, "{polls} polls meet no await");
}

#[tokio::test(start_paused = true)]
async fn s18_get_many_or_load_dropped_anywhere_leaves_no_load_and_no_lease() {
    let load = |keys: Vec<u64>| async move {
        pass(millis(1)).await;
        Ok::<_, Down>(keys.into_iter().map(|key| (key, 7)).collect::<Vec<_>>())
    };
    let polls = at_every_await(
        async |node: Node| drop(node.view.get_many_or_load(&[1, 2, 3], load).await),
        async |node, case| {
            pass(millis(50)).await;
            node.has_nothing_left(case).await;
        },
    )
    .await;

    assert!(polls > 5, "{polls} polls meet no await");
}

#[tokio::test(start_paused = true)]
async fn s18_an_invalidation_that_was_begun_is_carried_out_wherever_it_is_dropped() {
    let polls = at_every_await(
        async |node: Node| {
            node.view.get_or_load(&1, giving(1)).await.unwrap();
            drop(node.view.invalidate(&1).await);
        },
        async |node, _| {
            let began = node.view.peek(&1).is_some();
            pass(millis(50)).await;
            if began && node.view.peek(&1).is_none() {
                assert_eq!(node.cluster.remote_value(1).await, None);
            }
            assert_eq!(node.cache.state().unsettled, 0);
        },
    )
    .await;

    assert!(polls > 5, "{polls} polls meet no await");
}

#[tokio::test(start_paused = true)]
async fn s18_a_dropped_invalidation_is_carried_out_in_all_tiers() {
    for times in 1..10 {
        let node = Node::new();
        node.view.get_or_load(&1, giving(1)).await.unwrap();

        drop(polled(node.view.invalidate(&1), times).await);
        pass(millis(50)).await;

        assert_eq!((node.view.get(&1).await, node.cluster.remote_value(1).await), (None, None), "{times} polls");
    }
}

#[tokio::test(start_paused = true)]
async fn s18_who_waits_for_a_leader_that_goes_away_loads_in_its_place() {
    for times in 1..12 {
        let node = Node::new();
        let mut leader = Box::pin(node.view.get_or_load_here(&1, stepwise));
        std::future::poll_fn(|context| Poll::Ready(leader.as_mut().poll(context).is_pending())).await;
        let waiting = node.view.clone();
        let waiter = tokio::spawn(async move { *waiting.get_or_load(&1, giving(8)).await.unwrap() });
        quiet().await;

        drop(polled(leader, times).await);

        assert!([7, 8].contains(&soon(waiter).await.unwrap()), "after {times} polls");
    }
}

#[tokio::test(start_paused = true)]
async fn s18_no_lease_outlives_its_time_when_nobody_gives_it_back() {
    let cluster = Cluster::new();
    let wire = Wire::to(&cluster.remote);
    let cache = alone_with(|builder| builder.remote(wire.clone()));
    let view = numbers(&cache);
    let gate = Gate::closed();
    let (reading, load) = (view.clone(), crate::fixture::held(1, &gate));
    let reader = tokio::spawn(async move { drop(reading.get_or_load(&1, load).await) });
    gate.reached().await;
    assert_eq!(cluster.sizes()[1], 1);

    wire.cut();
    gate.open();
    soon(reader).await.unwrap();
    // The hard timeout, and its margin.
    pass(millis(45_001)).await;

    assert_eq!(cluster.sizes()[1], 0);
}

#[tokio::test(start_paused = true)]
async fn s18_a_cache_that_is_closed_gives_its_leases_back_and_ends_those_who_wait() {
    let node = Node::new();
    let view = node.view.clone();
    let reader = tokio::spawn(async move { view.get_or_load(&1, endless()).await.is_err() });
    pass(millis(20)).await;
    assert_eq!(node.leases(), 1);

    soon(node.cache.close()).await;

    assert!(soon(reader).await.unwrap());
    assert_eq!((node.leases(), node.cache.state().loads_running), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn s18_the_last_handle_to_go_ends_the_loads() {
    let Node { cluster, cache, view } = Node::new();
    let gate = Gate::closed();
    let mut read = Box::pin(view.get_or_load(&1, crate::fixture::held(1, &gate)));
    drop(polled(read.as_mut(), 1).await);
    gate.reached().await;

    drop(read);
    drop((cache, view));
    pass(millis(5)).await;

    assert_eq!(cluster.sizes()[1], 0);
}
