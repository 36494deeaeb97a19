//! What the simulation found, each as small as it gets.

use std::sync::Arc;
use std::time::Duration;

use tierkeep_cache::bus::InProcessBus;
use tierkeep_cache::remote::InProcess;
use tierkeep_cache::testing::{CallFaults, DeliveryFaults, FaultyBus};
use tierkeep_cache::{Cache, Clock, Loaded, Policy, Postcard, Promise, Tag, View};

type Failure = std::io::Error;

const SECOND: Duration = Duration::from_secs(1);

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Seed 9: the reader looked again and again, found the same load with the same offer, and its thread did nothing else.
#[tokio::test(start_paused = true)]
async fn a_reader_for_whom_an_offered_stale_value_will_not_do_waits_for_the_end_of_the_load() {
    let cache = Cache::builder("regression").clock(Clock::simulated(Duration::ZERO)).build().unwrap();
    let policy = Policy::ttl(millis(100)).stale_if_error(10 * SECOND).loader_timeout(Some(millis(50)), 5 * SECOND);
    let view: View<u64, u64> = cache.view("numbers").policy(policy).build().unwrap();
    let late = Tag::named("late");
    let tag = late.clone();
    view.get_or_load(&1, async move |_| Ok::<_, Failure>(Loaded::value(1).tag(tag))).await.unwrap();
    tokio::time::sleep(millis(150)).await;
    let load = |value: u64| {
        view.get_or_load(&1, async move |_| {
            tokio::time::sleep(SECOND).await;
            Ok::<_, Failure>(value)
        })
    };

    assert_eq!(*load(2).await.unwrap(), 1, "after the soft timeout the stale value is offered");
    cache.invalidate_tag(&late).await.complete().unwrap();
    let read = load(3).await.unwrap();

    assert_eq!(*read, 2);
}

/// Two nodes with a remote tier; the first with a bad line to the bus, and the view of each.
async fn two_nodes() -> (Arc<FaultyBus>, [(Cache, View<u64, u64>); 2]) {
    let clock = || Clock::simulated(Duration::ZERO);
    let (remote, bus) = (Arc::new(InProcess::new(clock())), Arc::new(InProcessBus::new(clock())));
    let line = Arc::new(FaultyBus::new(bus.clone(), 1));
    let node = |bus: Arc<dyn tierkeep_cache::bus::Bus>| {
        let builder = Cache::builder("regression").clock(clock()).remote(remote.clone()).bus(bus);
        let cache = builder.promise(Promise::Bounded(millis(400))).build().unwrap();
        let view = cache.view("numbers").codec(Postcard::shape(1)).build().unwrap();
        (cache, view)
    };
    let nodes = [node(line.clone()), node(bus.clone())];
    tokio::time::sleep(SECOND).await;
    (line, nodes)
}

/// Seed 61: the remote tier had acknowledged, the bus had not, and nobody told the other nodes any more.
#[tokio::test(start_paused = true)]
async fn an_invalidation_that_only_the_bus_did_not_take_is_repeated() {
    let (line, [(here, written), (_there, read)]) = two_nodes().await;
    read.get_or_load(&1, async |_| Ok::<_, Failure>(1)).await.unwrap();

    line.set(CallFaults { refused_percent: 100, ..CallFaults::default() });
    let receipt = written.invalidate(&1).await;
    line.set(CallFaults::default());
    tokio::time::sleep(SECOND).await;

    assert!(!receipt.is_complete());
    assert_eq!(here.state().unsettled, 0);
    assert_eq!(read.get(&1).await, None);
}

/// Seed 158: the same, after a write that both the source and the remote tier had taken.
#[tokio::test(start_paused = true)]
async fn a_write_that_only_the_bus_did_not_take_is_announced_again() {
    let (line, [(here, written), (_there, read)]) = two_nodes().await;
    read.get_or_load(&1, async |_| Ok::<_, Failure>(1)).await.unwrap();

    line.set(CallFaults { refused_percent: 100, ..CallFaults::default() });
    let done = written.write_through(&1, async { Ok::<_, Failure>(Loaded::value(2)) }).await.unwrap();
    line.set(CallFaults::default());
    tokio::time::sleep(SECOND).await;

    assert!(!done.receipt.is_complete());
    assert_eq!(here.state().unsettled, 0);
    assert_eq!(read.get(&1).await.as_deref(), Some(&2));
}

/// Seed 19 under losses: a load may be joined without a lease because it began lately, but what it fell back on did not.
#[tokio::test(start_paused = true)]
async fn a_reader_without_a_lease_is_not_given_what_memory_had_before_the_load() {
    let clock = || Clock::simulated(Duration::ZERO);
    let bus = Arc::new(InProcessBus::new(clock()));
    let line = Arc::new(FaultyBus::new(bus.clone(), 1));
    let node = |bus: Arc<dyn tierkeep_cache::bus::Bus>| {
        let builder = Cache::builder("regression").clock(clock()).bus(bus);
        builder.promise(Promise::Bounded(millis(400))).build().unwrap()
    };
    let (here, there) = (node(line.clone()), node(bus.clone()));
    let policy = Policy::ttl(millis(100)).stale_if_error(10 * SECOND).loader_timeout(Some(millis(20)), 5 * SECOND);
    let view: View<u64, u64> = here.view("numbers").policy(policy).build().unwrap();
    let other: View<u64, u64> = there.view("numbers").policy(policy).build().unwrap();
    tokio::time::sleep(SECOND).await;
    let load = |value: u64| {
        view.get_or_load(&1, async move |_| {
            tokio::time::sleep(millis(500)).await;
            Ok::<_, Failure>(value)
        })
    };
    view.get_or_load(&1, async |_| Ok::<_, Failure>(1)).await.unwrap();
    tokio::time::sleep(millis(150)).await;

    line.set(CallFaults { black_hole: true, ..CallFaults::default() });
    line.set_delivery(DeliveryFaults { deaf: true, ..DeliveryFaults::default() });
    other.invalidate(&1).await.complete().unwrap();
    tokio::time::sleep(millis(250)).await;
    assert_eq!(*load(2).await.unwrap(), 1, "the lease still runs");
    tokio::time::sleep(millis(200)).await;
    assert!(!here.state().serves_memory);
    let read = load(3).await.unwrap();

    assert_eq!(*read, 2);
}
