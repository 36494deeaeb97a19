//! When a restarted node is ready, and what becomes of its snapshots.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tierkeep_cache::bus::InProcessBus;
use tierkeep_cache::warmup::{
    HotKeys, InProcessSnapshots, KeyLoader, LearnedWarmup, LearnedWarmupBuilder, Ready, SnapshotStore,
    SnapshotStoreError,
};
use tierkeep_cache::{Cache, Clock, Promise, View};
use tokio::time::Instant;

use crate::sources::{Source, decode, millis, node, numbers, pass, secs, wall_clock};

/// A store in which these keys were accessed so often.
async fn stored(keys: &[(u64, usize)]) -> Arc<InProcessSnapshots> {
    let (hot, store) = (HotKeys::builder().build(), Arc::new(InProcessSnapshots::new()));
    let now = Clock::simulated(Duration::ZERO).now();
    for (key, times) in keys {
        (0..*times).for_each(|_| hot.record("numbers", &key.to_be_bytes(), now));
    }
    store.save(&hot.snapshot(1000, now, wall_clock()(), 0).encode()).await.unwrap();
    store
}

struct Node {
    cache: Cache,
    view: View<u64, u64>,
    hot: Arc<HotKeys>,
}

impl Node {
    fn new() -> Self {
        let hot = HotKeys::builder().sample_one_in(1).build();
        let cache = node(|cache| cache.hot(hot.clone()));
        let view = numbers(&cache, secs(3600));
        Self { cache, view, hot }
    }

    fn learned(&self, store: Arc<dyn SnapshotStore>, loader: KeyLoader<u64, u64>) -> LearnedWarmupBuilder {
        LearnedWarmup::builder(&self.cache, &self.hot, store, wall_clock()).view(&self.view, decode, loader)
    }
}

#[tokio::test(start_paused = true)]
async fn the_gate_opens_when_all_is_there() {
    let (node, source, began) = (Node::new(), Source::taking(millis(10)), Instant::now());
    let learned = node.learned(stored(&[(1, 5), (2, 9)]).await, source.each()).ready_at_percent(100).restore();
    let gate = learned.gate();
    let before = gate.is_ready();

    let why = gate.wait().await;
    let report = learned.restored().await.unwrap();

    assert_eq!((before, why, began.elapsed()), (false, Ready::Covered, millis(10)));
    assert_eq!((report.loaded, source.order()), (2, vec![2, 1]), "the best first");
    assert_eq!(node.view.get(&1).await.as_deref(), Some(&10));
    assert_eq!(learned.counts().restored, 1);
}

#[tokio::test(start_paused = true)]
async fn the_gate_opens_at_its_deadline_and_the_restore_ends() {
    let (node, source, began) = (Node::new(), Source::taking(secs(4)), Instant::now());
    let learned = node.learned(stored(&[(1, 5), (2, 6), (3, 7), (4, 8)]).await, source.each());
    let learned = learned.concurrent(1).restore();

    let why = learned.gate().wait().await;

    assert_eq!((why, began.elapsed()), (Ready::DeadlineOver, secs(10)));
    pass(secs(60)).await;
    assert_eq!(source.order(), [4, 3, 2], "none is begun after it");
}

#[tokio::test(start_paused = true)]
async fn the_gate_opens_when_most_of_what_is_expected_is_there_and_the_restore_goes_on() {
    let (node, source, began) = (Node::new(), Source::taking(secs(1)), Instant::now());
    let learned = node.learned(stored(&[(1, 2), (2, 2), (3, 96)]).await, source.each()).concurrent(1).restore();

    let why = learned.gate().wait().await;
    let took = began.elapsed();

    assert_eq!((why, took), (Ready::Covered, secs(1)));
    assert_eq!(learned.restored().await.unwrap().loaded, 3);
}

#[tokio::test(start_paused = true)]
async fn without_a_snapshot_the_gate_is_open_at_once() {
    let (node, began) = (Node::new(), Instant::now());
    let learned = node.learned(Arc::new(InProcessSnapshots::new()), Source::default().each()).restore();

    assert_eq!((learned.gate().wait().await, began.elapsed()), (Ready::Done, Duration::ZERO));
    drop(learned);
}

#[tokio::test(start_paused = true)]
async fn keys_that_cannot_be_decoded_or_loaded_do_not_stop_the_rest() {
    let (node, source) = (Node::new(), Source::default());
    let store = stored(&[(1, 9), (1_000_001, 8), (2, 7), (66, 6)]).await;
    let learned = LearnedWarmup::builder(&node.cache, &node.hot, store, wall_clock());
    let decode = |bytes: &[u8]| decode(bytes).filter(|key| *key != 66);
    let learned = learned.view(&node.view, decode, source.each()).restore();

    let report = learned.restored().await.unwrap();

    assert_eq!((report.loaded, report.failed), (2, 2));
    assert_eq!(learned.gate().ready(), Some(Ready::Done));
}

#[tokio::test(start_paused = true)]
async fn a_batch_loader_restores_together() {
    let (node, source) = (Node::new(), Source::default());
    let keys: Vec<(u64, usize)> = (0..100).map(|key| (key, 1 + key as usize)).collect();
    let learned = node.learned(stored(&keys).await, source.together()).concurrent(20).restore();

    let report = learned.restored().await.unwrap();

    assert_eq!((report.loaded, source.calls(), source.order()[0]), (100, 5, 99));
}

#[tokio::test(start_paused = true)]
async fn damaged_snapshots_mean_a_cold_start_that_is_counted() {
    let (node, source, store) = (Node::new(), Source::default(), stored(&[(1, 9)]).await);
    let mut bytes = store.load().await.unwrap().unwrap();
    bytes.pop();
    store.save(&bytes).await.unwrap();

    let learned = node.learned(store.clone(), source.each()).restore();

    assert_eq!(learned.gate().wait().await, Ready::Done);
    let counts = learned.counts();
    assert_eq!((counts.refused, counts.restored, source.calls()), (1, 0, 0));
    let other = node.learned(stored(&[(1, 9)]).await, source.each()).fingerprint(1).restore();
    other.gate().wait().await;
    assert_eq!((other.counts().refused, source.calls()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn what_was_learnt_is_saved_every_so_often_if_anything_was_and_at_the_end() {
    let (node, source, store) = (Node::new(), Source::default(), Arc::new(InProcessSnapshots::new()));
    let learned = node.learned(store.clone(), source.each()).restore();
    let mut saved = Vec::new();

    pass(secs(601)).await;
    saved.push(learned.counts().saved);
    source.get(&node.view, 1).await;
    pass(secs(61)).await;
    saved.push(learned.counts().saved);
    pass(secs(600)).await;
    saved.push(learned.counts().saved);
    source.get(&node.view, 2).await;
    learned.close().await;
    saved.push(learned.counts().saved);

    assert_eq!(saved, [0, 1, 1, 2]);
    let next = Node::new();
    let learned = next.learned(store, source.each()).restore();
    assert_eq!(learned.restored().await.unwrap().loaded, 2);
}

#[tokio::test(start_paused = true)]
async fn a_cache_that_is_closed_saves_first() {
    let (node, store) = (Node::new(), Arc::new(InProcessSnapshots::new()));
    let learned = node.learned(store.clone(), Source::default().each()).restore();
    learned.gate().wait().await;
    Source::default().get(&node.view, 1).await;

    node.cache.close().await;

    assert!(store.load().await.unwrap().is_some());
}

/// A store that is away for so many calls, and may never answer.
#[derive(Default)]
struct Away {
    kept: InProcessSnapshots,
    calls: AtomicUsize,
    hangs: AtomicBool,
}

#[async_trait]
impl SnapshotStore for Away {
    async fn load(&self) -> Result<Option<Vec<u8>>, SnapshotStoreError> {
        if self.hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        if self.calls.fetch_sub(1, Ordering::SeqCst) > 0 {
            return Err(SnapshotStoreError::new("the database is away"));
        }
        self.calls.store(0, Ordering::SeqCst);
        self.kept.load().await
    }

    async fn save(&self, bytes: &[u8]) -> Result<(), SnapshotStoreError> {
        self.kept.save(bytes).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_that_could_not_be_loaded_is_not_written_over() {
    let (node, source) = (Node::new(), Source::default());
    let away = Arc::new(Away { calls: AtomicUsize::new(2), ..Away::default() });
    away.save(&stored(&[(7, 9)]).await.load().await.unwrap().unwrap()).await.unwrap();
    let before = away.kept.load().await.unwrap();
    let learned = node.learned(away.clone(), source.each()).restore();
    learned.gate().wait().await;
    source.get(&node.view, 1).await;

    pass(secs(61)).await;
    let meanwhile = away.kept.load().await.unwrap();
    pass(secs(61)).await;

    assert_eq!(meanwhile, before);
    let counts = learned.counts();
    assert_eq!((counts.load_failures, counts.restored, counts.saved), (2, 1, 1));
    assert_eq!(node.hot.len(), 2, "both what was learnt before and since");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_delays_neither_the_gate_beyond_its_deadline_nor_the_end() {
    let (node, began) = (Node::new(), Instant::now());
    let away = Arc::new(Away { hangs: AtomicBool::new(true), ..Away::default() });
    let learned = node.learned(away, Source::default().each()).deadline(secs(3)).restore();

    learned.gate().wait().await;
    let took = began.elapsed();
    Source::default().get(&node.view, 1).await;
    learned.close().await;

    assert_eq!((took, learned.counts().saved), (secs(3), 0));
    assert!(began.elapsed() <= secs(3 + 5), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_warm_up_that_is_dropped_or_closed_opens_its_gate() {
    for close in [false, true] {
        let (node, source) = (Node::new(), Source::taking(secs(5)));
        let keys: Vec<(u64, usize)> = (0..100).map(|key| (key, 1)).collect();
        let learned = node.learned(stored(&keys).await, source.each()).concurrent(1).restore();
        let gate = learned.gate();
        pass(millis(1)).await;

        if close {
            learned.close().await;
        } else {
            drop(learned);
        }

        assert_eq!(gate.wait().await, Ready::GivenUp);
        assert_eq!(source.calls(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_of_a_cluster_is_warmed_when_it_has_heard_of_the_bus() {
    let bus = Arc::new(InProcessBus::new(Clock::simulated(Duration::ZERO)));
    let hot = HotKeys::builder().build();
    let cache = node(|cache| cache.bus(bus).promise(Promise::Bounded(secs(1))).hot(hot.clone()));
    let (view, source) = (numbers(&cache, secs(300)), Source::default());
    let learned = LearnedWarmup::builder(&cache, &hot, stored(&[(1, 9)]).await, wall_clock());
    let learned = learned.view(&view, decode, source.each()).restore();

    learned.gate().wait().await;

    assert_eq!(view.get(&1).await.as_deref(), Some(&10), "what is stored before the first contact is suspect after it");
}
