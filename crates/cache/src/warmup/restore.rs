//! Loading what was hot, best first, until it is enough.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::{StreamExt as _, stream};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::crew::{Bounds, Chunk, Crew};
use super::gate::{Key, Ready};
use super::hot::{HotKey, HotKeys};
use super::job::Priority;
use super::learned::Settings;
use super::loader::KeyLoader;
use super::report::{Brought, Ended, WarmupReport};
use crate::engine::Engine;
use crate::key::CacheKey;
use crate::view::View;

/// How the hot keys of a view are brought in.
pub(super) type Target = Box<dyn Fn(&[&HotKey]) -> Vec<(Vec<usize>, Chunk)> + Send + Sync>;

/// The chunks of a view's keys, each with the places of its keys.
pub(super) fn target<K, V>(
    view: &View<K, V>,
    decode: impl Fn(&[u8]) -> Option<K> + Send + Sync + 'static,
    loader: KeyLoader<K, V>,
) -> Target
where
    K: CacheKey + Clone + Eq + Hash + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    let view = view.clone();
    Box::new(move |keys| {
        let size = if loader.loads_together() { keys.len().max(1) } else { 1 };
        let places: Vec<usize> = (0..keys.len()).collect();
        let chunk = |places: &[usize]| {
            let decoded: Vec<K> = places.iter().filter_map(|place| decode(&keys[*place].key)).collect();
            let lost = places.len() - decoded.len();
            let (view, loader, size) = (view.clone(), loader.clone(), decoded.len());
            let errors = (0..lost).map(|_| "a hot key cannot be decoded".to_owned()).collect();
            let bring = Box::pin(async move { loader.bring(&view, decoded).await });
            (places.to_vec(), Chunk { keys: size, errors, bring })
        };
        places.chunks(size).map(chunk).collect()
    })
}

/// What a restore works with.
pub(super) struct Restore<'a> {
    pub(super) engine: &'a Arc<Engine>,
    pub(super) hot: &'a Arc<HotKeys>,
    pub(super) settings: Settings,
    pub(super) stop: &'a CancellationToken,
    pub(super) deadline: Instant,
    pub(super) tally: Arc<Tally>,
}

/// How many keys of each view are there.
#[derive(Debug)]
pub(super) struct Tally(Vec<(String, AtomicU64)>);

impl Tally {
    pub(super) fn of<'a>(views: impl Iterator<Item = &'a str>) -> Arc<Self> {
        Arc::new(Self(views.map(|view| (view.to_owned(), AtomicU64::new(0))).collect()))
    }

    pub(super) fn of_view(&self, view: &str) -> u64 {
        self.count(view).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    fn count(&self, view: &str) -> Option<&AtomicU64> {
        self.0.iter().find_map(|(name, count)| (name == view).then_some(count))
    }
}

impl Restore<'_> {
    /// Loads until all is there or the time is over, and opens the gate as soon as one may.
    pub(super) async fn run(
        &self,
        targets: Vec<(String, Target)>,
        after: impl Future<Output = ()>,
        gate: &Key,
    ) -> WarmupReport {
        if self.hot.is_empty() || targets.is_empty() {
            gate.open(Ready::Done);
            return WarmupReport::empty();
        }
        let opens = async {
            tokio::time::sleep_until(self.deadline).await;
            gate.open(Ready::DeadlineOver);
            std::future::pending::<()>().await;
        };
        let report = tokio::select! {
            report = self.bring(targets, after, gate) => report,
            () = opens => WarmupReport::empty(),
        };
        gate.open(match report.ended {
            Ended::Whole => Ready::Done,
            Ended::DeadlineOver => Ready::DeadlineOver,
            _ => Ready::GivenUp,
        });
        tracing::info!(?report, "hot keys of before were restored");
        report
    }

    async fn bring(&self, targets: Vec<(String, Target)>, after: impl Future<Output = ()>, gate: &Key) -> WarmupReport {
        let begins = async {
            self.engine.contact(self.deadline).await;
            // Too late, and the deadline ends what follows at its beginning.
            drop(tokio::time::timeout_at(self.deadline, after).await);
        };
        tokio::select! {
            biased;
            () = self.stop.cancelled() => {}
            () = self.engine.cancel.cancelled() => {}
            () = begins => {}
        }
        let targets: HashMap<String, Target> = targets.into_iter().collect();
        let now = self.engine.clock.now();
        let mut best = self.hot.best(self.settings.top, now);
        best.retain(|key| targets.contains_key(&*key.view));
        let value = self.hot.value(now);
        let cover = Arc::new(Cover::new(best.iter().map(|key| value.expected(key)).sum(), self.settings));
        let crew = Crew::new(self.settings.concurrent);
        let rounds: Vec<Vec<HotKey>> = best.chunks(crew.concurrent()).map(<[HotKey]>::to_vec).collect();
        let (covering, tally) = (Arc::clone(&cover), Arc::clone(&self.tally));
        let chunks = stream::iter(rounds).flat_map(move |round| {
            let mut by_view: Vec<(&str, Vec<&HotKey>)> = Vec::new();
            for key in &round {
                match by_view.iter_mut().find(|(view, _)| *view == &*key.view) {
                    Some((_, keys)) => keys.push(key),
                    None => by_view.push((&key.view, vec![key])),
                }
            }
            let mut chunks = Vec::new();
            for (view, keys) in by_view {
                let Some(target) = targets.get(view) else { continue };
                for (places, chunk) in target(&keys) {
                    let expected = places.iter().map(|place| value.expected(keys[*place])).sum();
                    let share = Share { size: places.len(), expected, view: view.to_owned() };
                    chunks.push(counted(chunk, share, Arc::clone(&covering), Arc::clone(&tally)));
                }
            }
            stream::iter(chunks)
        });
        let stops = [self.stop, &self.engine.cancel, self.stop];
        let bounds = Bounds { priority: Priority::Urgent, stops, deadline: Some(self.deadline) };
        let observe = |_: &WarmupReport| {
            if cover.is_enough() {
                gate.open(Ready::Covered);
            }
        };
        crew.work(Box::pin(chunks), bounds, observe).await
    }
}

/// Which share of the accesses that are expected the keys make up that are there.
struct Cover {
    total: f64,
    enough: f64,
    covered: Mutex<f64>,
}

impl Cover {
    fn new(total: f64, settings: Settings) -> Self {
        Self { total, enough: total * f64::from(settings.ready_at_percent) / 100.0, covered: Mutex::new(0.0) }
    }

    fn add(&self, expected: f64) {
        *self.covered.lock().unwrap_or_else(PoisonError::into_inner) += expected;
    }

    fn is_enough(&self) -> bool {
        // The last key may miss the sum by what was rounded.
        let covered = *self.covered.lock().unwrap_or_else(PoisonError::into_inner);
        self.total > 0.0 && covered >= self.enough * (1.0 - 1e-9)
    }
}

/// What a chunk is of the whole.
struct Share {
    size: usize,
    expected: f64,
    view: String,
}

/// A chunk that tells how much of what is expected has come with it.
fn counted(chunk: Chunk, share: Share, cover: Arc<Cover>, tally: Arc<Tally>) -> Chunk {
    let bring = async move {
        let brought = chunk.bring.await;
        let there = brought.iter().filter(|one| matches!(one, Brought::Loaded | Brought::AlreadyThere)).count();
        cover.add(share.expected * there as f64 / share.size.max(1) as f64);
        if let Some(count) = tally.count(&share.view) {
            count.fetch_add(there as u64, Ordering::Relaxed);
        }
        brought
    };
    Chunk { keys: chunk.keys, errors: chunk.errors, bring: Box::pin(bring) }
}
