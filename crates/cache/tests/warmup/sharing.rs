//! Several nodes that keep what is hot in one place, and what is remembered of it.

use std::collections::HashMap;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use tierkeep_cache::warmup::{HotKeys, InProcessSnapshots, LearnedWarmup, Ready, Snapshot, SnapshotStore};
use tierkeep_cache::{Cache, View};
use tokio::time::Instant;

use crate::sources::{Source, decode, millis, node, numbers, pass, secs, wall_clock};

struct Node {
    cache: Cache,
    view: View<u64, u64>,
    hot: Arc<HotKeys>,
}

impl Node {
    fn new() -> Self {
        let hot = HotKeys::builder().sample_one_in(1).half_life(secs(1_000_000_000)).build();
        let cache = node(|cache| cache.hot(hot.clone()));
        let view = numbers(&cache, secs(3600));
        Self { cache, view, hot }
    }

    fn keeps(&self, store: &Arc<InProcessSnapshots>) -> LearnedWarmup {
        LearnedWarmup::builder(&self.cache, &self.hot, store.clone(), wall_clock()).restore()
    }
}

/// Weights by key.
async fn kept(store: &InProcessSnapshots) -> HashMap<u64, u64> {
    let bytes = store.load().await.unwrap().unwrap();
    let snapshot = Snapshot::decode(&bytes, 0).unwrap();
    snapshot.keys().iter().map(|hot| (decode(&hot.key).unwrap(), hot.weight.round() as u64)).collect()
}

#[tokio::test(start_paused = true)]
async fn what_one_node_saves_does_not_lose_what_the_other_one_has_saved() {
    let (store, source) = (Arc::new(InProcessSnapshots::new()), Source::default());
    let nodes = [Node::new(), Node::new()];
    let learned = nodes.each_ref().map(|node| node.keeps(&store));
    for learned in &learned {
        learned.gate().wait().await;
    }
    for (node, key) in nodes.iter().zip([1, 2]) {
        for _ in 0..5 {
            source.get(&node.view, key).await;
        }
    }
    source.get(&nodes[1].view, 1).await;

    // many saves of either
    for _ in 0..20 {
        pass(secs(61)).await;
        for node in &nodes {
            source.get(&node.view, 9).await;
        }
    }
    for learned in &learned {
        learned.close().await;
    }

    let kept = kept(&store).await;
    assert_eq!((kept[&1], kept[&2], kept[&9]), (5, 5, 20), "the greater one, however often it was merged");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whoever saves when: of each key the greatest count of any node is kept.
    #[test]
    fn saves_in_any_order_keep_the_greatest_count(
        counts in prop::collection::vec(prop::collection::vec(0u64..6, 4), 3),
        order in Just(vec![0usize, 1, 2]).prop_shuffle(),
        rounds in 0u64..3,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        let saved = runtime.block_on(async {
            let store = Arc::new(InProcessSnapshots::new());
            let nodes = [Node::new(), Node::new(), Node::new()];
            let learned = nodes.each_ref().map(|node| node.keeps(&store));
            for learned in &learned {
                learned.gate().wait().await;
            }
            for (node, counts) in nodes.iter().zip(&counts) {
                for (key, times) in (0u64..).zip(counts) {
                    let now = tierkeep_cache::Tick::default();
                    (0..*times).for_each(|_| node.hot.record("numbers", &key.to_be_bytes(), now));
                }
            }
            pass(secs(61 * rounds)).await;
            for node in order {
                learned[node].close().await;
            }
            if store.load().await.unwrap().is_some() { kept(&store).await } else { HashMap::new() }
        });
        for key in 0..4u64 {
            let greatest = counts.iter().map(|counts| counts[key as usize]).max().unwrap_or(0);
            prop_assert_eq!(saved.get(&key).copied().unwrap_or(0), greatest, "key {}", key);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_no_longer_worth_it_is_neither_loaded_nor_kept() {
    let (store, source) = (Arc::new(InProcessSnapshots::new()), Source::default());
    let first = Node::new();
    let learned = first.keeps(&store);
    learned.gate().wait().await;
    for key in 0..10 {
        source.get(&first.view, key).await;
    }
    learned.close().await;

    let next = Node::new();
    let learned = LearnedWarmup::builder(&next.cache, &next.hot, store.clone(), wall_clock())
        .only(|hot| decode(&hot.key).is_some_and(|key| key >= 7))
        .view(&next.view, decode, source.together())
        .restore();
    let report = learned.restored().await.unwrap();
    source.get(&next.view, 7).await;
    learned.close().await;

    let mut kept: Vec<u64> = kept(&store).await.into_keys().collect();
    kept.sort_unstable();
    assert_eq!((report.loaded, report.failed, kept), (3, 0, vec![7, 8, 9]));
    assert_eq!((learned.restored_keys("numbers"), learned.restored_keys("other")), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_loaded_before_what_it_waits_for_is_over() {
    for (takes, why, loads) in [(Some(secs(3)), Ready::Covered, 1), (None, Ready::DeadlineOver, 0)] {
        let (store, source) = (Arc::new(InProcessSnapshots::new()), Source::default());
        let first = Node::new();
        let learned = first.keeps(&store);
        learned.gate().wait().await;
        source.get(&first.view, 1).await;
        learned.close().await;

        let (next, began, calls) = (Node::new(), Instant::now(), source.calls());
        let learned = LearnedWarmup::builder(&next.cache, &next.hot, store, wall_clock())
            .after(async move {
                match takes {
                    Some(takes) => tokio::time::sleep_until(began + takes).await,
                    None => pending().await,
                }
            })
            .view(&next.view, decode, source.together())
            .restore();
        pass(secs(2)).await;
        let before = source.calls() - calls;
        let ready = learned.gate().wait().await;

        assert_eq!((before, ready, source.calls() - calls), (0, why, loads));
        assert_eq!(began.elapsed().as_secs(), takes.map_or(10, |takes: Duration| takes.as_secs()));
        // what is learnt is kept all the same
        source.get(&next.view, 2).await;
        learned.close().await;
        assert_eq!(learned.counts().saved, 1);
    }
}

/// A store that saves nothing, for ever.
struct Hangs(InProcessSnapshots);

#[async_trait::async_trait]
impl SnapshotStore for Hangs {
    async fn load(&self) -> Result<Option<Vec<u8>>, tierkeep_cache::warmup::SnapshotStoreError> {
        self.0.load().await
    }

    async fn save(&self, _: &[u8]) -> Result<(), tierkeep_cache::warmup::SnapshotStoreError> {
        pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn the_end_waits_for_one_save_at_most() {
    let node = Node::new();
    let store = Arc::new(Hangs(InProcessSnapshots::new()));
    let learned = LearnedWarmup::builder(&node.cache, &node.hot, store, wall_clock()).save_within(secs(1)).restore();
    learned.gate().wait().await;
    Source::default().get(&node.view, 1).await;
    // in the middle of a save
    pass(secs(60) + millis(500)).await;

    let began = Instant::now();
    learned.close().await;

    assert_eq!((began.elapsed(), learned.counts().save_failures), (secs(1), 1));
}
