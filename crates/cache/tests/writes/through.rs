//! Write-through, write-around and put: S15 and S19.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tierkeep_cache::testing::{CallFaults, FaultyRemote};
use tierkeep_cache::{Cache, FillRefusal, Loaded, Policy, RawBytes, Tag, View, WriteError};

use crate::orders::{Points, every_order, some_orders};
use crate::stage::{Cluster, KEY, Numbers, Truth, cache, loading, numbers};

/// Begins a write of this value; counts those that are stored.
fn write(view: &Numbers, truth: &Truth, value: u64, points: &Points, stored: &Arc<AtomicUsize>) {
    let (view, write, stored) = (view.clone(), truth.clone().write(value, points.clone()), Arc::clone(stored));
    let points = points.clone();
    tokio::spawn(async move {
        points.stop("begin").await;
        let written = view.write_through(&KEY, write).await.unwrap();
        if written.refused.is_none() {
            stored.fetch_add(1, Ordering::Relaxed);
        }
    });
}

/// Nothing, or what the source has.
async fn agrees(name: &str, view: &Numbers, truth: &Truth) -> Result<bool, String> {
    match view.get(&KEY).await.map(|value| *value) {
        None => Ok(false),
        Some(value) if value == truth.read() => Ok(true),
        Some(value) => Err(format!("{name} has {value}, the source {}", truth.read())),
    }
}

/// Writers and readers on one node without a remote tier, in every order; how often a tier had the value at the end.
fn on_memory(most: usize, writers: u64, readers: usize) -> Result<(usize, usize), String> {
    let hits = Cell::new(0);
    let runs = every_order(most, async |points: Points| {
        let cache = cache(|builder| builder);
        let (view, truth, stored) = (numbers(&cache), Truth::default(), Arc::default());
        if readers == 0 {
            assert!(view.put(&KEY, 0).await.refused.is_none());
        }
        for value in 1..=writers {
            write(&view, &truth, value, &points, &stored);
        }
        for _ in 0..readers {
            let (view, load) = (view.clone(), loading(&truth, &points));
            let points = points.clone();
            tokio::spawn(async move {
                points.stop("begin").await;
                drop(view.get_or_load(&KEY, load).await);
            });
        }
        let hits = &hits;
        move || async move {
            let hit = agrees("memory", &view, &truth).await?;
            hits.set(hits.get() + usize::from(hit));
            Ok(())
        }
    })?;
    Ok((runs, hits.get()))
}

#[test]
fn s15_two_writers_on_memory_leave_what_the_source_has_or_nothing() {
    let (runs, hits) = on_memory(10_000, 2, 0).unwrap();

    assert_eq!(runs, 20, "each writer stops three times");
    assert!(hits > 0, "writers that do not overlap store");
}

#[test]
fn s15_three_writers_on_memory_leave_what_the_source_has_or_nothing() {
    let (runs, hits) = on_memory(10_000, 3, 0).unwrap();

    assert_eq!(runs, 1680);
    assert!(hits > 0);
}

#[test]
fn s15_two_writers_and_a_reader_on_memory_leave_what_the_source_has_or_nothing() {
    let (runs, hits) = on_memory(10_000, 2, 1).unwrap();

    assert!(runs > 20, "{runs}");
    assert!(hits > 0);
}

#[test]
fn s15_the_check_finds_values_that_are_stored_in_another_order_than_written() {
    let found = every_order(10_000, async |points: Points| {
        let (view, truth) = (numbers(&cache(|builder| builder)), Truth::default());
        for value in 1..=2 {
            let (view, truth, points) = (view.clone(), truth.clone(), points.clone());
            tokio::spawn(async move {
                truth.write(value, points).await.unwrap();
                view.put(&KEY, value).await.receipt.complete().unwrap();
            });
        }
        move || async move { agrees("memory", &view, &truth).await.map(drop) }
    });

    assert!(found.is_err(), "{found:?}");
}

/// Who writes and reads on which of two nodes.
#[derive(Clone, Copy)]
struct Cast {
    writers: &'static [usize],
    readers: &'static [usize],
}

/// Points at which tasks stop: all orders of each set are tried. Together they show every pair of neighbours.
const SLICES: [&[&str]; 4] = [
    &["begin", "before source", "after source"],
    &["acquire", "before source", "fill", "before load", "after load"],
    &["after source", "fill", "filled", "announce"],
    &["before source", "filled", "invalidate", "announce", "after remote read", "after load"],
];

/// One course of events on two nodes that share a remote tier and a bus; counts how often a tier had the value.
async fn on_two_nodes(
    cast: Cast,
    only: &'static [&'static str],
    points: Points,
    hits: &Rc<Cell<usize>>,
) -> impl FnOnce() -> std::pin::Pin<Box<dyn Future<Output = Result<(), String>>>> + use<> {
    let hits = Rc::clone(hits);
    let cluster = Cluster::new();
    let (first, second) = (cluster.node(&points, 1).await, cluster.node(&points, 2).await);
    points.only(only);
    let views = [numbers(&first), numbers(&second)];
    let (truth, stored) = (Truth::default(), Arc::default());
    for (value, node) in (1..).zip(cast.writers) {
        write(&views[*node], &truth, value, &points, &stored);
    }
    for node in cast.readers {
        let (view, load, points) = (views[*node].clone(), loading(&truth, &points), points.clone());
        tokio::spawn(async move {
            points.stop("begin").await;
            drop(view.get_or_load(&KEY, load).await);
        });
    }
    move || {
        Box::pin(async move {
            let [first, second] = &views;
            let mut hit = agrees("the first node", first, &truth).await?;
            hit |= agrees("the second node", second, &truth).await?;
            hits.set(hits.get() + usize::from(hit));
            match cluster.remote_value().await {
                Some(value) if value != truth.read() => {
                    Err(format!("the remote tier has {value}, the source {}", truth.read()))
                }
                _ => Ok(()),
            }
        })
    }
}

fn all_agree(cast: Cast, least: usize) {
    let hits = Rc::new(Cell::new(0));
    let mut runs = 0;
    for only in SLICES {
        runs += every_order(3_000, async |points| on_two_nodes(cast, only, points, &hits).await).unwrap();
    }
    runs += some_orders(400, 7, async |points| on_two_nodes(cast, &[], points, &hits).await).unwrap();
    assert!(runs >= least, "{runs}");
    assert!(hits.get() > 0);
}

#[test]
fn s15_writers_on_two_nodes_leave_what_the_source_has_or_nothing() {
    all_agree(Cast { writers: &[0, 1], readers: &[] }, 450);
}

#[test]
fn s15_two_writers_of_one_node_with_a_remote_tier_leave_what_the_source_has_or_nothing() {
    all_agree(Cast { writers: &[0, 0], readers: &[] }, 450);
}

#[test]
fn s15_a_writer_and_a_reader_of_another_node_leave_what_the_source_has_or_nothing() {
    all_agree(Cast { writers: &[0], readers: &[1] }, 430);
}

#[test]
fn s15_three_writers_and_a_reader_on_two_nodes_leave_what_the_source_has_or_nothing() {
    let (hits, cast) = (Rc::new(Cell::new(0)), Cast { writers: &[0, 1, 1], readers: &[0] });

    some_orders(300, 11, async |points| on_two_nodes(cast, &[], points, &hits).await).unwrap();

    assert!(hits.get() > 0);
}

/// Each kind of write of a value that replaces an older one, on nodes of all shapes.
#[tokio::test(start_paused = true)]
async fn s19_after_a_write_no_tier_has_the_older_value() {
    let (cluster, points) = (Cluster::new(), Points::default());
    points.open();
    let node = cluster.node(&points, 1).await;
    let other = cluster.node(&points, 2).await;
    let other = numbers(&other);
    for (name, node) in [("alone", cache(|builder| builder)), ("shared", node)] {
        let view = numbers(&node);
        for (value, kind) in (1..).zip(["through", "around", "put"]) {
            let source = value - 1;
            view.get_or_load(&KEY, async move |_| Ok::<_, String>(source)).await.unwrap();
            drop(other.get(&KEY).await);

            match kind {
                "through" => {
                    let written = view.write_through(&KEY, async move { Ok::<_, String>(value) }).await.unwrap();
                    assert_eq!((written.refused, written.value.as_deref()), (None, Some(&value)));
                    written.receipt.complete().unwrap();
                }
                "around" => {
                    let (rows, receipt) = view.write_around(&KEY, async { Ok::<_, String>(1) }).await.unwrap();
                    receipt.complete().unwrap();
                    assert_eq!(rows, 1);
                }
                _ => view.put(&KEY, value).await.receipt.complete().unwrap(),
            }

            let expected = (kind != "around").then_some(value);
            assert_eq!(view.get(&KEY).await.as_deref().copied(), expected, "{kind}, {name}");
            if name == "shared" {
                assert_eq!(cluster.remote_value().await, expected, "{kind}");
                tokio::time::sleep(Duration::from_millis(1)).await;
                assert_eq!(other.get(&KEY).await.as_deref().copied(), expected, "{kind}");
            }
            view.put(&KEY, value).await.receipt.complete().unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn s19_a_value_that_is_too_large_leaves_none_in_any_tier() {
    let cluster = Cluster::new();
    let small = |cache: &Cache| -> View<u64, Vec<u8>> {
        let policy = Policy::default().max_value_bytes(100);
        cache.view("bytes").codec(RawBytes).policy(policy).build().unwrap()
    };
    for node in [cache(|builder| builder), cache(|builder| builder.remote(cluster.remote.clone()))] {
        let view = small(&node);
        view.put(&KEY, vec![1; 10]).await.receipt.complete().unwrap();

        let put = view.put(&KEY, vec![2; 1000]).await;

        assert_eq!(put.refused, Some(FillRefusal::TooLarge));
        assert_eq!(view.get(&KEY).await, None);
        let new = small(&cache(|builder| builder.remote(cluster.remote.clone())));
        assert_eq!(new.get(&KEY).await, None);
    }
}

#[tokio::test(start_paused = true)]
async fn s19_a_value_that_memory_cannot_hold_is_in_the_remote_tier_alone() {
    let cluster = Cluster::new();
    let node = cache(|builder| builder.memory(64 << 10).remote(cluster.remote.clone()));
    let view: View<u64, Vec<u8>> = node.view("bytes").codec(RawBytes).build().unwrap();
    view.put(&KEY, vec![1; 10]).await.receipt.complete().unwrap();

    let put = view.put(&KEY, vec![2; 100_000]).await;

    assert_eq!(put.refused, None);
    assert_eq!(view.peek(&KEY).map(|found| found.age), None);
    assert_eq!(view.get(&KEY).await.unwrap().len(), 100_000);
}

#[tokio::test(start_paused = true)]
async fn s19_what_the_remote_tier_did_not_hear_of_is_not_read_from_it() {
    let cluster = Cluster::new();
    let line = Arc::new(FaultyRemote::new(cluster.remote.clone(), 1));
    let node = cache(|builder| builder.remote(line.clone()));
    let view = numbers(&node);
    view.put(&KEY, 1).await.receipt.complete().unwrap();
    line.set(CallFaults { refused_percent: 100, ..CallFaults::default() });

    let written = view.write_through(&KEY, async { Ok::<_, String>(2) }).await.unwrap();

    assert_eq!(written.refused, Some(FillRefusal::RemoteAway));
    assert!(!written.receipt.is_complete());
    line.set(CallFaults::default());
    assert_eq!(view.get(&KEY).await, None);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(cluster.remote_value().await, None, "the invalidation is repeated until it is heard");
}

#[tokio::test(start_paused = true)]
async fn s19_a_write_whose_answer_was_lost_leaves_no_older_value() {
    let faults = CallFaults { lost_answer_percent: 50, overtaken_percent: 30, ..CallFaults::default() };
    let mut hits = 0;
    for seed in 0..100 {
        let cluster = Cluster::new();
        let line = Arc::new(FaultyRemote::new(cluster.remote.clone(), seed));
        let view = numbers(&cache(|builder| builder.remote(line.clone()).seed(seed)));
        view.put(&KEY, 1).await.receipt.complete().unwrap();
        line.set(faults);

        let written = view.write_through(&KEY, async { Ok::<_, String>(2) }).await.unwrap();

        let found = view.get(&KEY).await.map(|value| *value);
        assert_ne!(found, Some(1), "seed {seed}: {written:?}");
        line.set(CallFaults::default());
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_ne!(cluster.remote_value().await, Some(1), "seed {seed}");
        hits += usize::from(found == Some(2));
    }
    assert!(hits > 5, "{hits}");
}

#[tokio::test(start_paused = true)]
async fn a_write_that_fails_panics_or_is_dropped_forgets_the_key() {
    let cache = cache(|builder| builder);
    let view = numbers(&cache);
    let old = async || view.put(&KEY, 1).await.receipt.complete().unwrap();

    old().await;
    let failed = view.write_through(&KEY, async { Err::<u64, _>("down") }).await;
    assert!(matches!(failed, Err(WriteError::Source { error: "down", .. })), "{failed:?}");
    assert_eq!(view.get(&KEY).await, None);

    old().await;
    let panicked = view.write_through::<u64, String>(&KEY, async { panic!("at the disco") }).await;
    assert!(matches!(&panicked, Err(WriteError::Panicked { message, .. }) if &**message == "at the disco"));
    assert_eq!(view.get(&KEY).await, None);

    old().await;
    let failed = view.write_around(&KEY, async { Err::<(), _>("down") }).await;
    assert!(matches!(failed, Err(WriteError::Source { error: "down", .. })), "{failed:?}");
    assert_eq!(view.get(&KEY).await, None);

    old().await;
    let endless = view.write_around(&KEY, std::future::pending::<Result<(), String>>());
    assert!(tokio::time::timeout(Duration::from_secs(1), endless).await.is_err());
    assert_eq!(view.get(&KEY).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_write_through_runs_to_its_end_without_its_caller() {
    let cache = cache(|builder| builder);
    let (view, truth, points) = (numbers(&cache), Truth::default(), Points::default());
    let writing = view.write_through(&KEY, truth.clone().write(5, points.clone()));
    assert!(tokio::time::timeout(Duration::from_secs(1), writing).await.is_err());

    points.open();
    cache.close().await;

    assert_eq!(truth.read(), 5);
}

#[tokio::test(start_paused = true)]
async fn what_depends_on_a_written_value_is_forgotten_with_it() {
    let cache = cache(|builder| builder);
    let inner: Numbers = cache.view("inner").tracked().build().unwrap();
    let outer: Numbers = cache.view("outer").build().unwrap();
    let read = async |value: u64| {
        let inner = inner.clone();
        let load = async move |context: tierkeep_cache::LoadContext<u64>| {
            inner.within(&context).get_or_load(&KEY, async move |_| Ok::<_, String>(value)).await.map(|value| *value)
        };
        *outer.get_or_load(&KEY, load).await.unwrap()
    };
    assert_eq!(read(1).await, 1);

    let written = inner.write_through(&KEY, async { Ok::<_, String>(2) }).await.unwrap();

    assert_eq!(written.refused, Some(FillRefusal::TagInvalidated));
    assert_eq!(read(2).await, 2);
}

#[tokio::test(start_paused = true)]
async fn a_written_value_keeps_its_tags_and_its_life() {
    let cache = cache(|builder| builder);
    let view = numbers(&cache);
    let tag = Tag::named("all");
    let loaded = || Loaded::value(1).tag(Tag::named("all")).ttl(Duration::from_secs(5));

    view.put(&KEY, loaded()).await.receipt.complete().unwrap();
    cache.invalidate_tag(&tag).await.complete().unwrap();
    assert_eq!(view.get(&KEY).await, None);

    view.put(&KEY, loaded()).await.receipt.complete().unwrap();
    assert_eq!(view.get(&KEY).await.as_deref(), Some(&1));
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(view.get(&KEY).await, None);
}

#[test]
fn of_values_put_at_once_one_is_left_and_the_same_everywhere() {
    let left = std::cell::RefCell::new(std::collections::BTreeSet::new());
    some_orders(300, 5, async |points: Points| {
        let cluster = Cluster::new();
        let (first, second) = (cluster.node(&points, 1).await, cluster.node(&points, 2).await);
        let views = [numbers(&first), numbers(&second)];
        for (value, view) in (1..).zip(&views) {
            let view = view.clone();
            tokio::spawn(async move { drop(view.put(&KEY, value).await) });
        }
        let left = &left;
        move || async move {
            let mut found = Vec::new();
            for view in &views {
                found.push(view.get(&KEY).await.map(|value| *value));
            }
            found.push(cluster.remote_value().await);
            left.borrow_mut().extend(found.iter().copied());
            if found.iter().all(|value| value.is_some() && *value == found[0]) {
                Ok(())
            } else {
                Err(format!("{found:?}"))
            }
        }
    })
    .unwrap();

    assert_eq!(left.into_inner(), [Some(1), Some(2)].into());
}
