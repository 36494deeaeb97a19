//! Nodes whose every call stops at a point, and the source behind them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tierkeep_cache::bus::{Announced, Announcement, Bus, BusError, BusMessage, Epoch, Heartbeat, InProcessBus, NodeId};
use tierkeep_cache::remote::{
    Acquired, Bump, Fill, Filled, InProcess, KeyInvalidation, LeaseRequest, LeaseToken, RemoteError, RemoteKey,
    RemoteRead, RemoteTier, StampRequest,
};
use tierkeep_cache::{Cache, CacheBuilder, Clock, LoadContext, Loaded, Policy, Postcard, Promise, TagId, View};
use tokio::sync::mpsc;

use crate::orders::Points;

/// The key that everybody writes.
pub(crate) const KEY: u64 = 1;

pub(crate) type Numbers = View<u64, u64>;

/// The truth about [`KEY`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Truth(Arc<Mutex<u64>>);

impl Truth {
    pub(crate) fn read(&self) -> u64 {
        *self.0.lock().unwrap()
    }

    pub(crate) fn set(&self, value: u64) {
        *self.0.lock().unwrap() = value;
    }

    /// A write of the source that stops before and after it takes effect.
    pub(crate) async fn write(self, value: u64, points: Points) -> Result<Loaded<u64>, String> {
        points.stop("before source").await;
        self.set(value);
        points.stop("after source").await;
        Ok(Loaded::value(value))
    }

    /// A loader that stops before and after it reads.
    pub(crate) async fn load(self, points: Points) -> Result<u64, String> {
        points.stop("before load").await;
        let value = self.read();
        points.stop("after load").await;
        Ok(value)
    }
}

/// A tier that stops before each call that changes it.
pub(crate) struct Stopping<T> {
    inner: Arc<T>,
    points: Points,
    has_read: std::sync::atomic::AtomicBool,
}

impl<T> Stopping<T> {
    pub(crate) fn at(inner: &Arc<T>, points: &Points) -> Arc<Self> {
        Arc::new(Self { inner: Arc::clone(inner), points: points.clone(), has_read: false.into() })
    }
}

#[async_trait]
impl RemoteTier for Stopping<InProcess> {
    async fn read(&self, keys: &[RemoteKey], tags: &[TagId]) -> Result<RemoteRead, RemoteError> {
        let read = self.inner.read(keys, tags).await;
        // A load that waits for another node's lease reads again and again: that is one point.
        if !keys.is_empty() && !self.has_read.swap(true, std::sync::atomic::Ordering::Relaxed) {
            self.points.stop("after remote read").await;
        }
        read
    }

    async fn acquire(&self, leases: &[LeaseRequest], tags: &[StampRequest]) -> Result<Acquired, RemoteError> {
        self.points.stop("acquire").await;
        self.inner.acquire(leases, tags).await
    }

    async fn fill(&self, fills: &[Fill]) -> Result<Vec<Filled>, RemoteError> {
        self.points.stop("fill").await;
        let filled = self.inner.fill(fills).await;
        self.points.stop("filled").await;
        filled
    }

    async fn release(&self, leases: &[(RemoteKey, LeaseToken)]) -> Result<(), RemoteError> {
        self.inner.release(leases).await
    }

    async fn invalidate(&self, invalidations: &[KeyInvalidation]) -> Result<(), RemoteError> {
        self.points.stop("invalidate").await;
        self.inner.invalidate(invalidations).await
    }

    async fn bump(&self, bumps: &[Bump]) -> Result<(), RemoteError> {
        self.inner.bump(bumps).await
    }

    async fn add_rule(&self, bump: Bump, others: &[TagId]) -> Result<(), RemoteError> {
        self.inner.add_rule(bump, others).await
    }
}

#[async_trait]
impl Bus for Stopping<InProcessBus> {
    async fn announce(&self, announcement: &Announcement) -> Result<Announced, BusError> {
        self.points.stop("announce").await;
        self.inner.announce(announcement).await
    }

    async fn heartbeat(&self, heartbeat: &Heartbeat) -> Result<(), BusError> {
        self.inner.heartbeat(heartbeat).await
    }

    async fn confirm(&self, node: NodeId, epoch: Epoch, number: u64) -> Result<(), BusError> {
        self.inner.confirm(node, epoch, number).await
    }

    async fn leave(&self, node: NodeId) -> Result<(), BusError> {
        self.inner.leave(node).await
    }

    async fn subscribe(&self) -> Result<mpsc::Receiver<BusMessage>, BusError> {
        self.inner.subscribe().await
    }
}

pub(crate) fn clock() -> Clock {
    Clock::simulated(Duration::ZERO)
}

/// A node's cache, without chance.
pub(crate) fn cache(with: impl FnOnce(CacheBuilder) -> CacheBuilder) -> Cache {
    with(Cache::builder("node").clock(clock()).seed(7)).build().unwrap()
}

pub(crate) fn numbers(cache: &Cache) -> Numbers {
    let policy = Policy::ttl(Duration::from_secs(3600)).jitter(0);
    cache.view("numbers").codec(Postcard::shape(1)).policy(policy).build().unwrap()
}

/// What nodes share.
pub(crate) struct Cluster {
    pub(crate) remote: Arc<InProcess>,
    pub(crate) bus: Arc<InProcessBus>,
}

impl Cluster {
    pub(crate) fn new() -> Self {
        Self { remote: Arc::new(InProcess::new(clock())), bus: Arc::new(InProcessBus::new(clock())) }
    }

    /// A node that serves from memory. Its calls stop at the points, except for those that are always the same.
    pub(crate) async fn node(&self, points: &Points, seed: u64) -> Cache {
        let remote = Stopping::at(&self.remote, points);
        let bus = Stopping::at(&self.bus, points);
        let promise = Promise::Bounded(Duration::from_millis(400));
        let cache = cache(|builder| builder.remote(remote).bus(bus).promise(promise).seed(seed));
        while !cache.state().serves_memory {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        cache
    }

    /// What the remote tier has, as a node sees it that has just started.
    pub(crate) async fn remote_value(&self) -> Option<u64> {
        let cache = cache(|builder| builder.remote(self.remote.clone()));
        numbers(&cache).get(&KEY).await.map(|value| *value)
    }
}

type Loading = std::pin::Pin<Box<dyn Future<Output = Result<u64, String>> + Send>>;

/// A loader for [`View::get_or_load`] that reads the truth and stops on the way.
pub(crate) fn loading(truth: &Truth, points: &Points) -> impl FnOnce(LoadContext<u64>) -> Loading + Send + 'static {
    let (truth, points) = (truth.clone(), points.clone());
    move |_| Box::pin(truth.load(points))
}
