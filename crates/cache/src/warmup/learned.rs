//! A warm-up that knows what was hot before a restart.

use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::gate::WarmupGate;
use super::hot::{HotKey, HotKeys};
use super::loader::KeyLoader;
use super::report::WarmupReport;
use super::restore::{Restore, Tally, Target, target};
use super::snapshot::{MOST_KEYS, Snapshot};
use super::store::{SnapshotStore, SnapshotStoreError};
use crate::cache::Cache;
use crate::engine::Engine;
use crate::key::CacheKey;
use crate::view::View;

pub(super) type WallClock = Arc<dyn Fn() -> SystemTime + Send + Sync>;
type Only = Box<dyn Fn(&HotKey) -> bool + Send + Sync>;
type After = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Sets a learned warm-up up; made by [`LearnedWarmup::builder`].
#[must_use]
pub struct LearnedWarmupBuilder {
    cache: Cache,
    hot: Arc<HotKeys>,
    store: Arc<dyn SnapshotStore>,
    wall_clock: WallClock,
    settings: Settings,
    only: Only,
    after: After,
    targets: Vec<(String, Target)>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub(super) fingerprint: u64,
    pub(super) top: usize,
    pub(super) concurrent: usize,
    pub(super) deadline: Duration,
    pub(super) ready_at_percent: u8,
    pub(super) save_every: Duration,
    pub(super) save_within: Duration,
}

impl LearnedWarmupBuilder {
    /// Names the source and the shape of its keys: a snapshot with another one is not restored. 0 unless told.
    pub fn fingerprint(mut self, fingerprint: u64) -> Self {
        self.settings.fingerprint = fingerprint;
        self
    }

    /// Keys of a snapshot, 1 to 1,000,000; 10,000 unless told, some 400 KB.
    pub fn top(mut self, keys: usize) -> Self {
        self.settings.top = keys.clamp(1, MOST_KEYS);
        self
    }

    /// Keys that are brought in at once, and in a batch, 1 to 100,000; 64 unless told.
    pub fn concurrent(mut self, keys: usize) -> Self {
        self.settings.concurrent = keys;
        self
    }

    /// The restore ends after this time, and the gate is open; 10 s unless told.
    pub fn deadline(mut self, limit: Duration) -> Self {
        self.settings.deadline = limit;
        self
    }

    /// The gate opens when the keys that are there make up this share of the accesses that the snapshot lets expect,
    /// 1 to 100 percent; 90 unless told.
    pub fn ready_at_percent(mut self, percent: u8) -> Self {
        self.settings.ready_at_percent = percent.clamp(1, 100);
        self
    }

    /// How often what was learnt is saved, if anything was; at least a second, 60 s unless told. It is also saved at the end.
    pub fn save_every(mut self, period: Duration) -> Self {
        self.settings.save_every = period.max(Duration::from_secs(1));
        self
    }

    /// A save that takes longer has failed, and a node that ends waits for its last one so long; at least a millisecond,
    /// 5 s unless told.
    pub fn save_within(mut self, limit: Duration) -> Self {
        self.settings.save_within = limit.max(Duration::from_millis(1));
        self
    }

    /// Remembers only those keys of a snapshot that are still worth it, such as those that name no day of the past; all
    /// unless told.
    pub fn only(mut self, is_worth_it: impl Fn(&HotKey) -> bool + Send + Sync + 'static) -> Self {
        self.only = Box::new(is_worth_it);
        self
    }

    /// Loads nothing before this is over, or the deadline is.
    pub fn after(mut self, over: impl Future<Output = ()> + Send + 'static) -> Self {
        self.after = Box::pin(over);
        self
    }

    /// Restores keys of this view. `decode` makes a key of its encoding, and nothing of bytes that are none. Keys of views
    /// that are not named are remembered and not loaded.
    pub fn view<K, V>(
        mut self,
        view: &View<K, V>,
        decode: impl Fn(&[u8]) -> Option<K> + Send + Sync + 'static,
        loader: KeyLoader<K, V>,
    ) -> Self
    where
        K: CacheKey + Clone + Eq + Hash + Send + Sync + 'static,
        V: Send + Sync + 'static,
    {
        self.targets.push((view.name().to_owned(), target(view, decode, loader)));
        self
    }

    /// Begins to restore, and from then on saves. A snapshot that is missing, damaged or of something else means a cold
    /// start, which is counted.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn restore(self) -> LearnedWarmup {
        let Self { cache, hot, store, wall_clock, settings, only, after, targets } = self;
        let engine = Arc::clone(&cache.engine);
        let (key, gate) = WarmupGate::new();
        let (done, report) = watch::channel(None);
        let stop = CancellationToken::new();
        let tally = Tally::of(targets.iter().map(|(view, _)| view.as_str()));
        let keeper = Arc::new(Keeper {
            engine: Arc::clone(&engine),
            hot,
            store,
            wall_clock,
            settings,
            only,
            tally: Arc::clone(&tally),
            counts: Counters::default(),
            latest: Mutex::new(None),
            stop: stop.clone(),
        });
        let keeping = Arc::clone(&keeper);
        let task = engine.tasks.spawn(async move {
            let deadline = Instant::now() + settings.deadline;
            let known = tokio::select! {
                biased;
                () = keeping.stop.cancelled() => false,
                () = keeping.engine.cancel.cancelled() => false,
                known = keeping.load(settings.deadline) => known,
            };
            let (engine, hot, stop) = (&keeping.engine, &keeping.hot, &keeping.stop);
            let restore = Restore { engine, hot, settings, stop, deadline, tally };
            done.send_replace(Some(restore.run(targets, after, &key).await));
            drop((key, done));
            keeping.keep(known).await;
        });
        drop(cache);
        LearnedWarmup { gate, report, keeper, task: Mutex::new(Some(task)), _stop: stop.drop_guard() }
    }
}

/// Loads what was hot before a restart, best first, and keeps what is learnt for the next one. Dropped, it saves once more
/// in the background; [`close`](Self::close) waits for that.
///
/// ```
/// use std::sync::Arc;
/// use std::time::{Duration, SystemTime};
/// use tierkeep_cache::Cache;
/// use tierkeep_cache::warmup::{HotKeys, InProcessSnapshots, KeyLoader, LearnedWarmup};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = Arc::new(InProcessSnapshots::new());
/// for start in 0..2 {
///     let hot = HotKeys::builder().build();
///     let cache = Cache::builder("shop").hot(hot.clone()).build()?;
///     let prices = cache.view::<String, u64>("prices").build()?;
///     let decode = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
///     let load = KeyLoader::each(|_: String, _| async { Ok::<_, String>(7) });
///     // Programs pass their wall clock.
///     let learned = LearnedWarmup::builder(&cache, &hot, store.clone(), || SystemTime::UNIX_EPOCH)
///         .view(&prices, decode, load)
///         .restore();
///
///     // Before the node says that it is ready:
///     learned.gate().wait().await;
///     assert_eq!(prices.peek(&"tea".to_owned()).is_some(), start == 1);
///     prices.get_or_load(&"tea".to_owned(), async |_| Ok::<_, String>(7)).await?;
///
///     learned.close().await;
///     cache.close().await;
/// }
/// # Ok(()) }
/// ```
pub struct LearnedWarmup {
    gate: WarmupGate,
    report: watch::Receiver<Option<WarmupReport>>,
    keeper: Arc<Keeper>,
    task: Mutex<Option<JoinHandle<()>>>,
    _stop: DropGuard,
}

impl fmt::Debug for LearnedWarmup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LearnedWarmup({:?}, {:?})", self.gate.ready(), self.counts())
    }
}

impl LearnedWarmup {
    /// Begins a learned warm-up. `wall_clock` tells the time of day: it is how long the node was away that counts.
    pub fn builder(
        cache: &Cache,
        hot: &Arc<HotKeys>,
        store: Arc<dyn SnapshotStore>,
        wall_clock: impl Fn() -> SystemTime + Send + Sync + 'static,
    ) -> LearnedWarmupBuilder {
        let settings = Settings {
            fingerprint: 0,
            top: 10_000,
            concurrent: 64,
            deadline: Duration::from_secs(10),
            ready_at_percent: 90,
            save_every: Duration::from_secs(60),
            save_within: Duration::from_secs(5),
        };
        let (only, after): (Only, After) = (Box::new(|_| true), Box::pin(std::future::ready(())));
        let (cache, hot, wall_clock) = (cache.clone(), Arc::clone(hot), Arc::new(wall_clock));
        LearnedWarmupBuilder { cache, hot, store, wall_clock, settings, only, after, targets: Vec::new() }
    }

    /// Tells when the node is warm.
    pub fn gate(&self) -> WarmupGate {
        self.gate.clone()
    }

    /// Waits for the end of the restore, and tells how it went; `None` if it was given up.
    pub async fn restored(&self) -> Option<WarmupReport> {
        let mut report = self.report.clone();
        report.wait_for(Option::is_some).await.ok()?.clone()
    }

    /// What happened to snapshots so far.
    pub fn counts(&self) -> LearnedCounts {
        self.keeper.counts.read()
    }

    /// Keys of a view that the restore has brought in so far, or found there.
    pub fn restored_keys(&self, view: &str) -> u64 {
        self.keeper.tally.of_view(view)
    }

    /// Time since the snapshot was taken that was restored or saved last; `None` while there was none.
    pub fn snapshot_age(&self) -> Option<Duration> {
        let latest = *self.keeper.latest.lock().unwrap_or_else(PoisonError::into_inner);
        Some((self.keeper.wall_clock)().duration_since(latest?).unwrap_or_default())
    }

    /// Ends the restore if it still runs, saves, and waits for that, as long as a save may take.
    pub async fn close(&self) {
        self.keeper.stop.cancel();
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            // It fails only if it panicked, which the runtime has told.
            drop(task.await);
        }
    }
}

/// What happened to snapshots; made by [`LearnedWarmup::counts`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LearnedCounts {
    /// Snapshots that were restored.
    pub restored: u64,
    /// Snapshots that were damaged, or of another release or source: cold starts.
    pub refused: u64,
    /// Loads of the store that failed, or took too long.
    pub load_failures: u64,
    /// Snapshots that were saved.
    pub saved: u64,
    /// Saves that failed, or took too long.
    pub save_failures: u64,
}

#[derive(Debug, Default)]
struct Counters {
    restored: AtomicU64,
    refused: AtomicU64,
    load_failures: AtomicU64,
    saved: AtomicU64,
    save_failures: AtomicU64,
}

impl Counters {
    fn read(&self) -> LearnedCounts {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        LearnedCounts {
            restored: read(&self.restored),
            refused: read(&self.refused),
            load_failures: read(&self.load_failures),
            saved: read(&self.saved),
            save_failures: read(&self.save_failures),
        }
    }
}

fn count(count: &AtomicU64) {
    count.fetch_add(1, Ordering::Relaxed);
}

/// Keeps what is learnt.
struct Keeper {
    engine: Arc<Engine>,
    hot: Arc<HotKeys>,
    store: Arc<dyn SnapshotStore>,
    wall_clock: WallClock,
    settings: Settings,
    only: Only,
    tally: Arc<Tally>,
    counts: Counters,
    /// When the snapshot was taken that the store has, as far as is known.
    latest: Mutex<Option<SystemTime>>,
    stop: CancellationToken,
}

impl Keeper {
    /// Remembers what the store has, and tells whether the store answered: what was not read must not be written over.
    async fn load(&self, limit: Duration) -> bool {
        let bytes = match tokio::time::timeout(limit, self.store.load()).await {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(error)) => {
                tracing::warn!(%error, "hot keys of before could not be loaded");
                count(&self.counts.load_failures);
                return false;
            }
            Err(_) => {
                tracing::warn!(?limit, "hot keys of before were not loaded in time");
                count(&self.counts.load_failures);
                return false;
            }
        };
        match bytes.map(|bytes| Snapshot::decode(&bytes, self.settings.fingerprint)) {
            None => {}
            Some(Ok(mut snapshot)) => {
                snapshot.keys.retain(|hot| (self.only)(hot));
                self.note_latest(snapshot.taken_at);
                self.hot.remember(&snapshot, self.engine.clock.now(), (self.wall_clock)());
                count(&self.counts.restored);
            }
            Some(Err(error)) => {
                tracing::warn!(%error, "hot keys of before are not used");
                count(&self.counts.refused);
            }
        }
        true
    }

    /// Saves every so often, and at the end.
    async fn keep(&self, mut known: bool) {
        let mut saved = None;
        loop {
            let is_stopped = tokio::time::timeout(self.settings.save_every, self.stopped()).await.is_ok();
            let learnt = self.hot.learnt();
            if saved != Some(learnt) && learnt > 0 {
                let done = if is_stopped {
                    self.save(&mut known).await
                } else {
                    tokio::select! {
                        biased;
                        // The last save does not wait for this one.
                        () = self.stopped() => continue,
                        done = self.save(&mut known) => done,
                    }
                };
                if done {
                    saved = Some(learnt);
                }
            }
            if is_stopped {
                return;
            }
        }
    }

    async fn stopped(&self) {
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = self.engine.cancel.cancelled() => {}
        }
    }

    async fn save(&self, known: &mut bool) -> bool {
        let (limit, deadline) = (self.settings.save_within, Instant::now() + self.settings.save_within);
        *known = *known || self.load(limit).await;
        if !*known {
            return false;
        }
        let why = match tokio::time::timeout_at(deadline, self.merge_and_save()).await {
            Ok(Ok(())) => {
                count(&self.counts.saved);
                return true;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("not done within {limit:?}"),
        };
        tracing::warn!(error = why, "hot keys could not be saved");
        count(&self.counts.save_failures);
        false
    }

    /// Reads, merges, writes. Of two nodes that do so at the same time the last one is right: the other's keys of the time
    /// since its save before are in its next one.
    async fn merge_and_save(&self) -> Result<(), SnapshotStoreError> {
        let others = self.store.load().await?;
        let now = self.engine.clock.now();
        self.hot.decay(now);
        let Settings { top, fingerprint, .. } = self.settings;
        let own = self.hot.snapshot(top, now, (self.wall_clock)(), fingerprint);
        // What is damaged, or of another source, gives way.
        let snapshot = match others.and_then(|bytes| Snapshot::decode(&bytes, fingerprint).ok()) {
            Some(mut others) => {
                others.keys.retain(|hot| (self.only)(hot));
                self.hot.snapshot_with(&others, top, now, own)
            }
            None => own,
        };
        self.store.save(&snapshot.encode()).await?;
        self.note_latest(snapshot.taken_at);
        Ok(())
    }

    fn note_latest(&self, taken_at: SystemTime) {
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = Some(taken_at);
    }
}
