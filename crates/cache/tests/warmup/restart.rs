//! S12: restarts, on a replayed trace.

use std::sync::Arc;

use tierkeep_cache::warmup::{HotKeys, InProcessSnapshots, LearnedWarmup};
use tierkeep_cache::{Cache, LoadLimit, View};
use tokio::task::JoinSet;

use crate::sources::{Source, decode, millis, node, numbers, pass, secs, shared_tier, wall_clock};
use crate::trace::{Chance, Zipf};

/// Loads at once.
const LIMIT: usize = 16;
/// Keys that are asked for.
const KEYS: usize = 10_000;

struct Node {
    cache: Cache,
    view: View<u64, u64>,
    learned: Option<LearnedWarmup>,
}

impl Node {
    fn start(source: &Source, store: Option<Arc<InProcessSnapshots>>) -> Self {
        let hot = HotKeys::builder().build();
        let limit = LoadLimit::concurrent(LIMIT).wait(secs(60));
        let cache = node(|cache| cache.hot(hot.clone()).load_limit(limit));
        let view = numbers(&cache, secs(3600));
        let learned = store.map(|store| {
            let learned = LearnedWarmup::builder(&cache, &hot, store, wall_clock());
            learned.view(&view, decode, source.each()).restore()
        });
        Self { cache, view, learned }
    }

    async fn end(self) {
        if let Some(learned) = &self.learned {
            learned.close().await;
        }
        self.cache.close().await;
    }

    /// Reads for so many seconds, a hundred times in each; the share that memory answered.
    async fn serve(&self, source: &Source, seconds: usize, chance: &mut Chance, zipf: &Zipf) -> f64 {
        let mut hits = 0;
        for _ in 0..seconds * 100 {
            hits += usize::from(source.get(&self.view, zipf.draw(chance)).await);
            pass(millis(10)).await;
        }
        hits as f64 / (seconds * 100) as f64
    }
}

#[tokio::test(start_paused = true)]
async fn s12_the_first_minute_after_a_restart_is_as_good_as_the_last_one_before_it() {
    let (zipf, mut chance) = (Zipf::of(KEYS), Chance(12));
    let (source, store) = (Source::taking(millis(5)), Arc::new(InProcessSnapshots::new()));
    let node = Node::start(&source, Some(store.clone()));
    node.serve(&source, 300, &mut chance, &zipf).await;
    let before = node.serve(&source, 60, &mut chance, &zipf).await;
    node.end().await;
    let replay = chance.0;

    let warm = Node::start(&source, Some(store));
    warm.learned.as_ref().unwrap().gate().wait().await;
    let with = warm.serve(&source, 60, &mut Chance(replay), &zipf).await;
    warm.end().await;
    let cold = Node::start(&source, None);
    let without = cold.serve(&source, 60, &mut Chance(replay), &zipf).await;

    assert!(with >= 0.9 * before, "before {before}, with {with}, without {without}");
    assert!(without < 0.9 * before, "before {before}, with {with}, without {without}");
    assert!(source.peak() <= LIMIT, "{} loads at once", source.peak());
}

#[tokio::test(start_paused = true)]
async fn s12_readers_and_a_restore_together_never_load_more_at_once_than_the_limit() {
    let (zipf, mut chance) = (Zipf::of(KEYS), Chance(5));
    let (source, store) = (Source::taking(millis(5)), Arc::new(InProcessSnapshots::new()));
    let node = Node::start(&source, Some(store.clone()));
    node.serve(&source, 30, &mut chance, &zipf).await;
    node.end().await;
    let slow = Source::taking(millis(50));

    let node = Node::start(&slow, Some(store));
    let mut readers = JoinSet::new();
    for key in (0..2000).map(|_| zipf.draw(&mut chance)) {
        let (slow, view) = (slow.clone(), node.view.clone());
        readers.spawn(async move { slow.get(&view, key).await });
    }
    readers.join_all().await;
    let restored = node.learned.as_ref().unwrap().restored().await.unwrap();

    assert!(restored.keys() > 500, "{restored:?}");
    assert_eq!(slow.peak(), LIMIT);
}

/// Two thousand keys are hot and in the remote tier; while the node is down, 500 of them change. Returns how many of these
/// are served as they were, and how many keys the restore loaded.
async fn changed_while_down(told: bool) -> (usize, u64) {
    let (remote, source, store) = (shared_tier(), Source::default(), Arc::new(InProcessSnapshots::new()));
    let start = || {
        let hot = HotKeys::builder().build();
        let cache = node(|cache| cache.hot(hot.clone()).remote(Arc::clone(&remote)));
        let view = numbers(&cache, secs(3600));
        let learned = LearnedWarmup::builder(&cache, &hot, store.clone(), wall_clock());
        let learned = learned.view(&view, decode, source.together()).restore();
        (cache, view, learned)
    };
    let (cache, view, learned) = start();
    for key in 0..2000 {
        source.get(&view, key).await;
    }
    learned.close().await;
    cache.close().await;

    let elsewhere = node(|cache| cache.remote(Arc::clone(&remote)).seed(8));
    let writing = numbers(&elsewhere, secs(3600));
    for key in (0..2000).step_by(4) {
        source.change(key);
        if told {
            writing.invalidate(&key).await.complete().unwrap();
        }
    }
    let (_cache, view, learned) = start();
    let report = learned.restored().await.unwrap();

    let mut old = 0;
    for key in 0..2000 {
        let value = view.get(&key).await.expect("it was restored");
        old += usize::from(*value != source.value(key));
    }
    (old, report.loaded)
}

#[tokio::test(start_paused = true)]
async fn s12_what_was_invalidated_while_the_node_was_down_is_not_served_and_the_rest_is_not_loaded() {
    assert_eq!(changed_while_down(true).await, (0, 500));
}

#[tokio::test(start_paused = true)]
async fn s12_control_what_nobody_invalidated_is_served_as_it_was() {
    assert_eq!(changed_while_down(false).await, (500, 0));
}
