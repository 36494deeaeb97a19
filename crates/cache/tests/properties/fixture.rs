//! Nodes, gates and loaders of which a test is made.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tierkeep_cache::bus::InProcessBus;
use tierkeep_cache::remote::{InProcess, RemoteTier};
use tierkeep_cache::{
    Cache, CacheBuilder, Clock, LoadContext, LoadError, Loaded, Policy, Postcard, Promise, Tag, View, ViewBuilder,
};
use tokio::sync::Semaphore;

/// The lease of promises that tests make, unless they are about it.
pub(crate) const LEASE: Duration = Duration::from_millis(400);

/// The error of a source that is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Down;

impl fmt::Display for Down {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the source is down")
    }
}

pub(crate) type Answer<V = u64> = Result<Arc<V>, LoadError<Down>>;

pub(crate) fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Lets every task run until all of them wait for something.
pub(crate) async fn quiet() {
    tokio::time::sleep(millis(1)).await;
}

/// Lets the paused clock run on.
pub(crate) async fn pass(period: Duration) {
    tokio::time::sleep(period).await;
}

/// Awaits what must not hang: the paused clock jumps to this deadline if nothing else can happen.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(secs(3600), future).await.expect("nobody waits for ever")
}

/// A point at which loads stop until the test lets them go on.
#[derive(Clone, Debug)]
pub(crate) struct Gate(Arc<Posts>);

#[derive(Debug)]
struct Posts {
    came: Semaphore,
    may_go: Semaphore,
}

impl Gate {
    pub(crate) fn closed() -> Self {
        Self(Arc::new(Posts { came: Semaphore::new(0), may_go: Semaphore::new(0) }))
    }

    /// Comes to the gate, and waits until it is opened.
    pub(crate) async fn pass(&self) {
        self.0.came.add_permits(1);
        self.0.may_go.acquire().await.unwrap().forget();
    }

    /// Waits until somebody has come to the gate.
    pub(crate) async fn reached(&self) {
        soon(self.0.came.acquire()).await.unwrap().forget();
    }

    /// Lets so many pass.
    pub(crate) fn open_for(&self, loads: usize) {
        self.0.may_go.add_permits(loads);
    }

    /// Lets all pass.
    pub(crate) fn open(&self) {
        self.open_for(1_000_000);
    }

    /// How many have come so far, those apart for whom a test has waited.
    pub(crate) fn came(&self) -> usize {
        self.0.came.available_permits()
    }
}

pub(crate) type Loading<V = u64> = Pin<Box<dyn Future<Output = Result<Loaded<V>, Down>> + Send>>;

/// A loader that answers at once.
pub(crate) fn giving(value: u64) -> impl FnOnce(LoadContext<u64>) -> Loading + Clone + Send + 'static {
    move |_| Box::pin(async move { Ok(Loaded::value(value)) })
}

/// A loader that has read its value and waits at the gate before it answers.
pub(crate) fn held(value: u64, gate: &Gate) -> impl FnOnce(LoadContext<u64>) -> Loading + Clone + Send + 'static {
    let gate = gate.clone();
    move |_| {
        Box::pin(async move {
            gate.pass().await;
            Ok(Loaded::value(value))
        })
    }
}

/// As [`held`], with a tag that only the loader knows.
pub(crate) fn held_tagged(
    value: u64,
    gate: &Gate,
    tag: Tag,
) -> impl FnOnce(LoadContext<u64>) -> Loading + Clone + Send + 'static {
    let gate = gate.clone();
    move |_| {
        Box::pin(async move {
            gate.pass().await;
            Ok(Loaded::value(value).tag(tag))
        })
    }
}

/// A loader that gives exactly this.
pub(crate) fn answering(loaded: Loaded<u64>) -> impl FnOnce(LoadContext<u64>) -> Loading + Clone + Send + 'static {
    move |_| Box::pin(async move { Ok(loaded) })
}

/// A loader that fails.
pub(crate) fn failing() -> impl FnOnce(LoadContext<u64>) -> Loading + Clone + Send + 'static {
    move |_| Box::pin(async { Err(Down) })
}

/// A loader that never ends.
pub(crate) fn endless() -> impl FnOnce(LoadContext<u64>) -> Loading + Clone + Send + 'static {
    move |_| Box::pin(std::future::pending())
}

/// A loader that must not be called.
pub(crate) fn unwanted() -> impl FnOnce(LoadContext<u64>) -> Loading + Clone + Send + 'static {
    move |_| panic!("this read must not load")
}

/// Counts loads, and how many run at once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally(Arc<Counted>);

#[derive(Debug, Default)]
struct Counted {
    begun: AtomicUsize,
    running: AtomicUsize,
    peak: AtomicUsize,
}

struct Running<'a>(&'a Counted);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Tally {
    pub(crate) fn begun(&self) -> usize {
        self.0.begun.load(Ordering::SeqCst)
    }

    pub(crate) fn peak(&self) -> usize {
        self.0.peak.load(Ordering::SeqCst)
    }

    /// The loader, counted.
    pub(crate) fn of(
        &self,
        loader: impl FnOnce(LoadContext<u64>) -> Loading + Send + 'static,
    ) -> impl FnOnce(LoadContext<u64>) -> Loading + Send + 'static {
        let counted = Arc::clone(&self.0);
        move |context| {
            Box::pin(async move {
                counted.begun.fetch_add(1, Ordering::SeqCst);
                let running = counted.running.fetch_add(1, Ordering::SeqCst) + 1;
                counted.peak.fetch_max(running, Ordering::SeqCst);
                let _running = Running(&counted);
                loader(context).await
            })
        }
    }
}

/// Policy without chance: lives are as long as they say.
pub(crate) fn exactly(ttl: Duration) -> Policy {
    Policy::ttl(ttl).jitter(0)
}

/// A cache of memory only, on the paused clock.
pub(crate) fn alone() -> Cache {
    alone_with(|builder| builder)
}

pub(crate) fn alone_with(with: impl FnOnce(CacheBuilder) -> CacheBuilder) -> Cache {
    with(Cache::builder("alone").clock(Clock::simulated(Duration::ZERO)).seed(7)).build().unwrap()
}

/// The view of most tests.
pub(crate) fn numbers(cache: &Cache) -> View<u64, u64> {
    numbers_with(cache, |view| view)
}

pub(crate) fn numbers_with(
    cache: &Cache,
    with: impl FnOnce(ViewBuilder<u64, u64>) -> ViewBuilder<u64, u64>,
) -> View<u64, u64> {
    let view = cache.view("numbers").codec(Postcard::shape(1)).policy(exactly(secs(300)));
    with(view).build().unwrap()
}

/// A remote tier and a bus that nodes share.
pub(crate) struct Cluster {
    pub(crate) remote: Arc<InProcess>,
    pub(crate) bus: Arc<InProcessBus>,
}

impl Cluster {
    pub(crate) fn new() -> Self {
        let clock = || Clock::simulated(Duration::ZERO);
        Self { remote: Arc::new(InProcess::new(clock())), bus: Arc::new(InProcessBus::new(clock())) }
    }

    /// A node that reads from the remote tier and hears of nothing.
    pub(crate) fn deaf(&self) -> Cache {
        self.deaf_with(|builder| builder)
    }

    pub(crate) fn deaf_with(&self, with: impl FnOnce(CacheBuilder) -> CacheBuilder) -> Cache {
        let remote: Arc<dyn RemoteTier> = self.remote.clone();
        let builder = Cache::builder("deaf").clock(Clock::simulated(Duration::ZERO)).remote(remote);
        with(builder).build().unwrap()
    }

    /// A node that takes part in the bus, and has its lease.
    pub(crate) async fn node(&self, promise: Promise) -> Cache {
        self.node_with(promise, |builder| builder).await
    }

    pub(crate) async fn node_with(&self, promise: Promise, with: impl FnOnce(CacheBuilder) -> CacheBuilder) -> Cache {
        let cache = self.deaf_with(|builder| with(builder.bus(self.bus.clone()).promise(promise)));
        serving(&cache).await;
        cache
    }

    /// Values, leases, holds and tag records in the remote tier.
    pub(crate) fn sizes(&self) -> [usize; 4] {
        self.remote.with(|now, slots| slots.sizes(now))
    }

    /// What the remote tier has of a key, as a node sees it that has just started.
    pub(crate) async fn remote_value(&self, key: u64) -> Option<u64> {
        numbers(&self.deaf()).get(&key).await.map(|value| *value)
    }
}

/// Waits until a node may serve from its memory.
pub(crate) async fn serving(cache: &Cache) {
    soon(async {
        while !cache.state().serves_memory {
            tokio::time::sleep(millis(1)).await;
        }
    })
    .await;
}
