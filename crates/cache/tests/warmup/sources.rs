//! Nodes, and a source that counts what it is asked.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use tierkeep_cache::remote::{InProcess, RemoteTier};
use tierkeep_cache::warmup::KeyLoader;
use tierkeep_cache::{Cache, CacheBuilder, Clock, Loaded, Policy, Postcard, View};
use tokio::time::Instant;

pub(crate) fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Lets the paused clock run on.
pub(crate) async fn pass(period: Duration) {
    tokio::time::sleep(period).await;
}

pub(crate) fn node(with: impl FnOnce(CacheBuilder) -> CacheBuilder) -> Cache {
    with(Cache::builder("warm").clock(Clock::simulated(Duration::ZERO)).seed(7)).build().unwrap()
}

pub(crate) fn numbers(cache: &Cache, ttl: Duration) -> View<u64, u64> {
    cache.view("numbers").codec(Postcard::shape(1)).policy(Policy::ttl(ttl).jitter(0)).build().unwrap()
}

/// A key of these tests, of its encoding.
pub(crate) fn decode(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(bytes.try_into().ok()?))
}

/// A tier that nodes share.
pub(crate) fn shared_tier() -> Arc<dyn RemoteTier> {
    Arc::new(InProcess::new(Clock::simulated(Duration::ZERO)))
}

/// The time of day, which goes on with the paused clock.
pub(crate) fn wall_clock() -> impl Fn() -> SystemTime + Clone + Send + Sync + 'static {
    let began = Instant::now();
    move || SystemTime::UNIX_EPOCH + secs(1_700_000_000) + began.elapsed()
}

/// A source: how long it takes, what it was asked, and how much at once.
#[derive(Clone, Default)]
pub(crate) struct Source(Arc<Asked>);

#[derive(Default)]
struct Asked {
    takes: Mutex<Duration>,
    calls: AtomicUsize,
    running: AtomicUsize,
    peak: AtomicUsize,
    order: Mutex<Vec<u64>>,
    versions: Mutex<HashMap<u64, u64>>,
}

impl Source {
    pub(crate) fn taking(takes: Duration) -> Self {
        let source = Self::default();
        *source.0.takes.lock().unwrap() = takes;
        source
    }

    /// What it has of a key: ten times its number, and its version.
    pub(crate) async fn read(&self, key: u64) -> u64 {
        self.called(&[key]).await;
        self.value(key)
    }

    async fn called(&self, keys: &[u64]) {
        self.0.calls.fetch_add(1, Ordering::SeqCst);
        self.0.order.lock().unwrap().extend(keys);
        let running = self.0.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.peak.fetch_max(running, Ordering::SeqCst);
        let takes = *self.0.takes.lock().unwrap();
        if !takes.is_zero() {
            tokio::time::sleep(takes).await;
        }
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }

    pub(crate) fn value(&self, key: u64) -> u64 {
        key * 10 + self.0.versions.lock().unwrap().get(&key).copied().unwrap_or_default()
    }

    pub(crate) fn change(&self, key: u64) {
        *self.0.versions.lock().unwrap().entry(key).or_default() += 1;
    }

    pub(crate) fn calls(&self) -> usize {
        self.0.calls.load(Ordering::SeqCst)
    }

    pub(crate) fn peak(&self) -> usize {
        self.0.peak.load(Ordering::SeqCst)
    }

    /// The keys it was asked for, in their order.
    pub(crate) fn order(&self) -> Vec<u64> {
        self.0.order.lock().unwrap().clone()
    }

    /// A loader of one key; it fails for those above a million.
    pub(crate) fn each(&self) -> KeyLoader<u64, u64> {
        let source = self.clone();
        KeyLoader::each(move |key: u64, _| {
            let source = source.clone();
            async move {
                let value = source.read(key).await;
                if key > 1_000_000 { Err(format!("no key {key}")) } else { Ok(value) }
            }
        })
    }

    /// A loader of many.
    pub(crate) fn together(&self) -> KeyLoader<u64, u64> {
        let source = self.clone();
        KeyLoader::together(move |keys: Vec<u64>| {
            let source = source.clone();
            async move {
                source.called(&keys).await;
                Ok::<_, String>(keys.into_iter().map(|key| (key, Loaded::value(source.value(key)))).collect::<Vec<_>>())
            }
        })
    }

    /// A read through the cache; whether it was a hit.
    pub(crate) async fn get(&self, view: &View<u64, u64>, key: u64) -> bool {
        let source = self.clone();
        let before = view.counts().memory_hits;
        view.get_or_load(&key, async move |_| Ok::<_, String>(source.read(key).await)).await.unwrap();
        view.counts().memory_hits > before
    }
}
