//! Which keys are asked for, what they cost and how often they change, in bounded memory.

mod shape;
mod sketch;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use xxhash_rust::xxh3::xxh3_64_with_seed;

use self::sketch::{Past, Sketch};
use super::snapshot::{MOST_KEYS, Snapshot};
use crate::clock::Tick;

pub use self::shape::{HotKeysBuilder, ShapeDiffers};
use self::shape::{Shape, Value};

/// The part that the last load has in the average of a key's cost.
const LATEST: f32 = 0.25;

/// Learns from the accesses of a cache which keys are worth loading before anybody asks.
///
/// Give it to a view ([`ViewBuilder::hot`](crate::ViewBuilder::hot)) or to a cache
/// ([`CacheBuilder::hot`](crate::CacheBuilder::hot)). One hit in eight is recorded, for eight, by a thread that finds the
/// lock free; each read that no memory answered is. Weights halve in every half-life.
///
/// What a key is worth is the source's time that loading it now is likely to save:
///
/// > P(accessed within the horizon) × time of a load × P(not changed within the horizon)
///
/// with accesses and changes taken to come by chance at the rates that were seen. Of keys that are worth about the same,
/// as all are that are certain to be accessed and cost the same, the one that is accessed most comes first.
///
/// ```
/// use std::time::Duration;
/// use tierkeep_cache::{Cache, warmup::HotKeys};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let hot = HotKeys::builder().half_life(Duration::from_secs(600)).sample_one_in(1).build();
/// let cache = Cache::builder("shop").hot(hot.clone()).build()?;
/// let prices = cache.view::<String, u64>("prices").build()?;
/// for _ in 0..3 {
///     prices.get_or_load(&"tea".to_owned(), async |_| Ok::<_, String>(7)).await?;
/// }
/// let top = hot.heaviest(10, tierkeep_cache::Clock::coarse().now());
/// assert_eq!((&*top[0].key, top[0].weight.round()), (&b"tea"[..], 3.0));
/// # Ok(()) }
/// ```
pub struct HotKeys {
    shape: Shape,
    views: RwLock<Vec<Arc<str>>>,
    shards: Box<[Mutex<Option<Sketch>>]>,
    /// Grows with whatever is learnt.
    learnt: AtomicU64,
}

/// A key, and what was learnt of it.
#[derive(Clone, Debug, PartialEq)]
pub struct HotKey {
    /// The view's name.
    pub view: Arc<str>,
    /// The encoded key.
    pub key: Box<[u8]>,
    /// Accesses, each halved in every half-life since: at most so many.
    pub weight: f64,
    /// At least so many less.
    pub error: f64,
    /// The time of a load; `None` where none was seen.
    pub cost: Option<Duration>,
    /// Changes, fading as accesses do.
    pub changes: f64,
}

/// The hot keys as one view records them.
#[derive(Clone)]
pub(crate) struct HotView {
    hot: Arc<HotKeys>,
    view: ViewName,
}

/// A view as keys are filed under it. Numbers are given as views come; where a key lies must not depend on them, as what is
/// merged may number its views otherwise.
#[derive(Clone, Copy)]
struct ViewName {
    number: u32,
    salt: u64,
}

impl HotView {
    /// A hit: recorded once in a while, and never waits for anybody.
    #[inline]
    pub(crate) fn sample(&self, key: &[u8], now: Tick) {
        if self.hot.shape.is_sampled() {
            self.hot.sampled(self.view, key, now);
        }
    }

    /// A read that memory did not answer.
    pub(crate) fn record(&self, key: &[u8], now: Tick) {
        self.hot.note(self.view, key, now, |sketch, hash| sketch.add(hash, self.view.number, key, 1.0, now));
    }

    /// A loader took this long.
    pub(crate) fn loaded(&self, key: &[u8], took: Duration, now: Tick) {
        let micros = (took.as_secs_f64() * 1e6).max(1.0) as f32;
        self.hot.note(self.view, key, now, |sketch, hash| {
            if let Some(counter) = sketch.counter(hash, self.view.number, key) {
                let known = counter.cost > 0.0;
                counter.cost = if known { counter.cost + LATEST * (micros - counter.cost) } else { micros };
            }
        });
    }

    /// The value was invalidated, or loaded anew because it was.
    pub(crate) fn changed(&self, key: &[u8], now: Tick) {
        self.hot.note(self.view, key, now, |sketch, hash| sketch.changed(hash, self.view.number, key, now));
    }
}

impl fmt::Debug for HotKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HotKeys({} of {} keys)", self.len(), self.shape.keys())
    }
}

impl HotKeys {
    /// Begins with nothing learnt.
    pub fn builder() -> HotKeysBuilder {
        HotKeysBuilder::default()
    }

    fn of(shape: Shape) -> Self {
        let shards = (0..shape.shards).map(|_| Mutex::default()).collect();
        Self { shape, views: RwLock::default(), shards, learnt: AtomicU64::new(0) }
    }

    /// A view's own handle.
    pub(crate) fn view(self: &Arc<Self>, name: &str) -> HotView {
        HotView { hot: Arc::clone(self), view: self.named(name) }
    }

    fn named(&self, name: &str) -> ViewName {
        let mut views = self.views.write().unwrap_or_else(PoisonError::into_inner);
        let found = views.iter().position(|view| **view == *name);
        let number = found.unwrap_or_else(|| {
            views.push(name.into());
            views.len() - 1
        });
        ViewName { number: number as u32, salt: xxh3_64_with_seed(name.as_bytes(), self.shape.seed) }
    }

    /// A key of a view was accessed. Caches call the same by themselves.
    pub fn record(self: &Arc<Self>, view: &str, key: &[u8], now: Tick) {
        self.view(view).record(key, now);
    }

    /// A load of a key took this long.
    pub fn record_load(self: &Arc<Self>, view: &str, key: &[u8], took: Duration, now: Tick) {
        self.view(view).loaded(key, took, now);
    }

    /// A key's value has changed.
    pub fn record_change(self: &Arc<Self>, view: &str, key: &[u8], now: Tick) {
        self.view(view).changed(key, now);
    }

    /// At most so many keys, those most worth loading first.
    pub fn best(&self, most: usize, now: Tick) -> Vec<HotKey> {
        self.ranked(most, now, |_| true, Value::rank)
    }

    /// As [`best`](Self::best), of one view.
    pub fn best_of(&self, view: &str, most: usize, now: Tick) -> Vec<HotKey> {
        self.ranked(most, now, |name| name == view, Value::rank)
    }

    /// At most so many keys, those accessed most first.
    pub fn heaviest(&self, most: usize, now: Tick) -> Vec<HotKey> {
        self.ranked(most, now, |_| true, |_, key| (0, key.weight))
    }

    /// The most that a key can weigh that is not among all that [`heaviest`](Self::heaviest) knows: at most the sum of
    /// all weights in its part of the table, divided by the places there.
    pub fn bound(&self, now: Tick) -> f64 {
        let bounds = self.shards.iter().filter_map(|shard| {
            let shard = lock(shard);
            shard.as_ref().map(|sketch| sketch.bound() * sketch.scale(now))
        });
        bounds.fold(0.0, f64::max)
    }

    /// Keys that are remembered.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).as_ref().map_or(0, |sketch| sketch.counters().len())).sum()
    }

    /// Whether nothing was learnt yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that the keys take now; never more than [`HotKeysBuilder::most_bytes`].
    pub fn bytes(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).as_ref().map_or(0, Sketch::bytes)).sum()
    }

    /// Learns what another one has learnt, as if it had seen the same besides. The order of merges does not matter.
    ///
    /// # Errors
    /// [`ShapeDiffers`]: they were built with other numbers of keys, another half-life or another seed.
    pub fn merge(&self, other: &Self) -> Result<(), ShapeDiffers> {
        if !self.shape.fits(&other.shape) {
            return Err(ShapeDiffers);
        }
        let names = other.views.read().unwrap_or_else(PoisonError::into_inner).clone();
        let numbers: Vec<u32> = names.iter().map(|name| self.named(name).number).collect();
        for (own, other) in self.shards.iter().zip(&other.shards) {
            // One lock at a time: two that merge each other at once cannot wait for each other.
            let Some(other) = lock(other).clone() else { continue };
            let mut own = lock(own);
            let view_of = |view: u32| numbers.get(view as usize).copied().unwrap_or(u32::MAX);
            let now = other.began;
            let sketch = own.get_or_insert_with(|| self.shape.sketch(now));
            *sketch = sketch.merged(&other, view_of);
        }
        self.learnt.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Lets everything fade up to now. It does so by itself where it is read; this only keeps numbers small.
    pub fn decay(&self, now: Tick) {
        for shard in &self.shards {
            if let Some(sketch) = &mut *lock(shard) {
                sketch.rescale(now);
            }
        }
    }

    /// The keys most worth loading, to be kept. `taken_at` is the wall clock, by which it is told later how long ago that
    /// was; `fingerprint` names the source.
    pub fn snapshot(&self, most: usize, now: Tick, taken_at: SystemTime, fingerprint: u64) -> Snapshot {
        // What the encoding keeps of the moment.
        let since = taken_at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let taken_at = SystemTime::UNIX_EPOCH + Duration::from_millis(since.as_millis() as u64);
        let keys = self.best(most.min(MOST_KEYS), now);
        Snapshot { fingerprint, taken_at, watched: self.watched(now), keys }.rounded()
    }

    /// As [`snapshot`](Self::snapshot), together with what others have learnt that save to the same place: of a key that
    /// both know, the heavier record counts, the others' faded by the time since. The sum would count again with each
    /// save what was counted before; what is greater stays the same however often it is merged, in whatever order. And it
    /// is what one node is asked, which is what a node that starts wants to know.
    pub(super) fn snapshot_with(&self, others: &Snapshot, most: usize, now: Tick, own: Snapshot) -> Snapshot {
        let between = own.taken_at.duration_since(others.taken_at).unwrap_or_default();
        let faded = self.faded(between);
        let mut joined: HashMap<(Arc<str>, Box<[u8]>), HotKey> = HashMap::new();
        let others_keys = others.keys.iter().map(|hot| HotKey {
            weight: hot.weight * faded,
            error: hot.error * faded,
            changes: hot.changes * faded,
            ..hot.clone()
        });
        for hot in self.ranked(usize::MAX, now, |_| true, |_, _| (0, 0.0)).into_iter().chain(others_keys) {
            let id = (Arc::clone(&hot.view), hot.key.clone());
            match joined.get_mut(&id) {
                Some(known) => {
                    let cost = known.cost.or(hot.cost);
                    let changes = known.changes.max(hot.changes);
                    if hot.weight - hot.error > known.weight - known.error {
                        *known = hot;
                    }
                    (known.cost, known.changes) = (cost, changes);
                }
                None => drop(joined.insert(id, hot)),
            }
        }
        let watched = own.watched.max(others.watched.saturating_add(between));
        let keys = rank(joined.into_values().collect(), self.shape.value(watched), most.min(MOST_KEYS), Value::rank);
        Snapshot { watched, keys, ..own }.rounded()
    }

    /// What is left of a weight after this time.
    fn faded(&self, since: Duration) -> f64 {
        (-(since.as_secs_f64() / self.shape.half_life.as_secs_f64())).exp2()
    }

    /// Remembers what was learnt before a restart, faded by the time since.
    pub fn remember(&self, snapshot: &Snapshot, now: Tick, wall: SystemTime) {
        let away = wall.duration_since(snapshot.taken_at).unwrap_or_default();
        let faded = self.faded(away);
        for hot in &snapshot.keys {
            let view = self.named(&hot.view);
            let cost = hot.cost.map_or(0.0, |cost| (cost.as_secs_f64() * 1e6) as f32);
            let past =
                Past { weight: hot.weight * faded, error: hot.error * faded, changes: hot.changes * faded, cost };
            self.note(view, &hot.key, now, |sketch, hash| sketch.remember(hash, view.number, &hot.key, &past, now));
        }
        for shard in &self.shards {
            if let Some(sketch) = &mut *lock(shard) {
                sketch.began = sketch.began.min(now.before(snapshot.watched.saturating_add(away)));
            }
        }
    }

    /// Grows with whatever is learnt: whether a snapshot is worth saving again.
    pub(super) fn learnt(&self) -> u64 {
        self.learnt.load(Ordering::Relaxed)
    }

    /// What keys are worth at this moment.
    pub(super) fn value(&self, now: Tick) -> Value {
        self.shape.value(self.watched(now))
    }

    fn watched(&self, now: Tick) -> Duration {
        let began = self.shards.iter().filter_map(|shard| Some(lock(shard).as_ref()?.began)).min();
        began.map_or(Duration::ZERO, |began| now.since(began))
    }

    #[cold]
    fn sampled(&self, view: ViewName, key: &[u8], now: Tick) {
        if key.len() > self.shape.longest_key {
            return;
        }
        let hash = xxh3_64_with_seed(key, view.salt);
        if let Ok(mut shard) = self.shards[self.shape.shard(hash)].try_lock() {
            let sketch = shard.get_or_insert_with(|| self.shape.sketch(now));
            sketch.add(hash, view.number, key, f64::from(self.shape.one_in), now);
            drop(shard);
            self.learnt.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn note(&self, view: ViewName, key: &[u8], now: Tick, learn: impl FnOnce(&mut Sketch, u64)) {
        if key.len() > self.shape.longest_key {
            return;
        }
        let hash = xxh3_64_with_seed(key, view.salt);
        let mut shard = lock(&self.shards[self.shape.shard(hash)]);
        learn(shard.get_or_insert_with(|| self.shape.sketch(now)), hash);
        drop(shard);
        self.learnt.fetch_add(1, Ordering::Relaxed);
    }

    fn ranked(
        &self,
        most: usize,
        now: Tick,
        wanted: impl Fn(&str) -> bool,
        by: impl Fn(&Value, &HotKey) -> (i64, f64),
    ) -> Vec<HotKey> {
        let views = self.views.read().unwrap_or_else(PoisonError::into_inner).clone();
        let mut keys: Vec<HotKey> = Vec::new();
        for shard in &self.shards {
            let shard = lock(shard);
            let Some(sketch) = shard.as_ref() else { continue };
            let scale = sketch.scale(now);
            for counter in sketch.counters() {
                let Some(view) = views.get(counter.view as usize).filter(|view| wanted(view)) else { continue };
                keys.push(HotKey {
                    view: Arc::clone(view),
                    key: counter.key.as_slice().into(),
                    weight: counter.weight * scale,
                    error: counter.error * scale,
                    cost: (counter.cost > 0.0).then(|| Duration::from_micros(counter.cost as u64)),
                    changes: counter.changes * scale,
                });
            }
        }
        rank(keys, self.value(now), most, by)
    }
}

/// At most so many of these keys, the first by rank first.
fn rank(keys: Vec<HotKey>, mut value: Value, most: usize, by: impl Fn(&Value, &HotKey) -> (i64, f64)) -> Vec<HotKey> {
    value.learn_usual_cost(&keys);
    let mut ranked: Vec<((i64, f64), HotKey)> = keys.into_iter().map(|key| (by(&value, &key), key)).collect();
    ranked.sort_by(|(left, a), (right, b)| {
        let by_rank = right.0.cmp(&left.0).then_with(|| right.1.total_cmp(&left.1));
        by_rank.then_with(|| (&a.view, &a.key).cmp(&(&b.view, &b.key)))
    });
    ranked.truncate(most);
    ranked.into_iter().map(|(_, key)| key).collect()
}

fn lock(shard: &Mutex<Option<Sketch>>) -> MutexGuard<'_, Option<Sketch>> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}
