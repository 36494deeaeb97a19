//! A cache: its tiers, its promise, and what concerns all of its views.

use std::fmt;
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::adaptive::{Adaptive, RefreshLimit};
use crate::budget::{Budget, LoadLimit};
use crate::bus::{Bus, NodeId, Target};
use crate::clock::Clock;
use crate::counters::Counts;
use crate::engine::{Engine, Switches, everything};
use crate::entropy::Entropy;
use crate::error::BuildError;
use crate::event::{Event, EventStream, Events};
use crate::flight::{Coherence, Fence};
use crate::invalidation::{Order, Receipt, Unsettled};
use crate::key::CacheKey;
use crate::lineage::WaitGraph;
use crate::memory::Memory;
use crate::policy::Policy;
use crate::promise::{Lease, Promise};
use crate::remote::RemoteTier;
use crate::stamp::Severity;
use crate::tag::{Tag, TagId};
use crate::view::ViewBuilder;
use crate::warmup::HotKeys;

/// The memory bound of a cache that does not set one: 64 MiB.
const DEFAULT_MEMORY: u64 = 64 << 20;
/// How often expired entries are looked for, unless told.
const DEFAULT_SWEEP: Duration = Duration::from_secs(60);

/// A cache of several tiers. A cheap handle; clones share everything.
///
/// The last handle to go (views are handles, too) ends the cache's tasks; [`Cache::close`] ends them and waits.
#[derive(Clone)]
pub struct Cache {
    pub(crate) engine: Arc<Engine>,
    default_policy: Policy,
    _owner: Arc<Owner>,
}

/// Ends the tasks of a cache whose handles are gone: the tasks hold the engine, but not this.
struct Owner(CancellationToken);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cache(node {:?}, promise {})", self.engine.node, self.engine.lease.promise())
    }
}

/// Sets a cache up; made by [`Cache::builder`].
#[must_use]
pub struct CacheBuilder {
    name: String,
    memory: u64,
    remote: Option<Arc<dyn RemoteTier>>,
    bus: Option<Arc<dyn Bus>>,
    promise: Option<Promise>,
    heartbeat: Option<Duration>,
    policy: Policy,
    limit: LoadLimit,
    refresh_limit: RefreshLimit,
    sweep: Duration,
    clock: Option<Clock>,
    seed: Option<u64>,
    hot: Option<Arc<HotKeys>>,
    fence: Fence,
    switches: Switches,
}

impl CacheBuilder {
    /// The bound of the memory tier in bytes, overhead included; at least 64 KiB, 64 MiB unless told.
    pub fn memory(self, bytes: u64) -> Self {
        Self { memory: bytes, ..self }
    }

    /// The tier that all nodes share.
    pub fn remote(self, remote: Arc<dyn RemoteTier>) -> Self {
        Self { remote: Some(remote), ..self }
    }

    /// How nodes tell each other of invalidations.
    pub fn bus(self, bus: Arc<dyn Bus>) -> Self {
        Self { bus: Some(bus), ..self }
    }

    /// What other nodes may rely on. With a bus [`Promise::Bounded`] of one second unless told, without one [`Promise::Local`].
    pub fn promise(self, promise: Promise) -> Self {
        Self { promise: Some(promise), ..self }
    }

    /// The period of the signs of life on the bus; a quarter of the promise's lease unless told, at most a third.
    pub fn heartbeat(self, period: Duration) -> Self {
        Self { heartbeat: Some(period), ..self }
    }

    /// The policy of views that set none.
    pub fn default_policy(self, policy: Policy) -> Self {
        Self { policy, ..self }
    }

    /// How many loads may run at once, and how fast they may begin.
    pub fn load_limit(self, limit: LoadLimit) -> Self {
        Self { limit, ..self }
    }

    /// How much load [adaptive refresh](Policy::adaptive_refresh) may add in all views together: as much again as readers'
    /// loads take unless told.
    pub fn refresh_limit(self, limit: RefreshLimit) -> Self {
        Self { refresh_limit: limit, ..self }
    }

    /// How often expired entries are freed and told to listeners; 60 s unless told.
    pub fn sweep_every(self, period: Duration) -> Self {
        Self { sweep: period.max(Duration::from_millis(10)), ..self }
    }

    /// Where time comes from; [`Clock::coarse`] unless told, [`Clock::precise`] under [`Promise::Strict`].
    pub fn clock(self, clock: Clock) -> Self {
        Self { clock: Some(clock), ..self }
    }

    /// Makes all chance repeatable, for simulations. Never in production: stamps and tokens must not be guessed or repeated.
    pub fn seed(self, seed: u64) -> Self {
        Self { seed: Some(seed), ..self }
    }

    /// Learns which keys of all views are worth a warm-up: see [`LearnedWarmup`](crate::warmup::LearnedWarmup).
    pub fn hot(self, keys: Arc<HotKeys>) -> Self {
        Self { hot: Some(keys), ..self }
    }

    /// Switches a mechanism off, so that a test can show that it is needed. Not for use.
    #[doc(hidden)]
    pub fn sabotage(mut self, what: Sabotage) -> Self {
        match what {
            Sabotage::FillWithoutToken => self.fence = Fence::WithoutToken,
            Sabotage::StampsAfterLoad => self.fence = Fence::StampsAfterLoad,
            Sabotage::NoGapDetection => self.switches.notice_gaps = false,
            Sabotage::LeaseFromEcho => self.switches.lease_from_echo = true,
            Sabotage::UncappedRefreshes => self.switches.cap_refreshes = false,
        }
        self
    }

    /// The cache. With a remote tier or a bus it starts tasks on the current tokio runtime; a cache of memory only
    /// starts its sweep if there is one.
    ///
    /// # Errors
    /// [`BuildError`]: the memory is too small, the promise needs a bus, or its lease holds no three heartbeats.
    ///
    /// # Panics
    /// Outside a tokio runtime, with a remote tier or a bus.
    pub fn build(self) -> Result<Cache, BuildError> {
        if self.memory < 64 << 10 {
            return Err(BuildError::MemoryTooSmall(self.memory));
        }
        let default = if self.bus.is_some() { Promise::Bounded(Duration::from_secs(1)) } else { Promise::Local };
        let promise = self.promise.unwrap_or(default);
        let heartbeat = self.heartbeat.or_else(|| Some(promise.lease()? / 4)).unwrap_or(Duration::from_secs(1));
        if let Some(lease) = promise.lease() {
            if self.bus.is_none() {
                return Err(BuildError::PromiseNeedsBus(promise.name()));
            }
            if lease / 3 < heartbeat || lease < Duration::from_millis(50) {
                return Err(BuildError::LeaseTooShort { lease, heartbeat });
            }
        }
        let entropy = self.seed.map_or_else(Entropy::unpredictable, Entropy::seeded);
        let default_clock = || if promise.is_strict() { Clock::precise() } else { Clock::coarse() };
        let cancel = CancellationToken::new();
        let engine = Arc::new(Engine {
            node: NodeId(entropy.next()),
            coherence: Coherence::new(Memory::new(self.memory, entropy.next()), entropy.next(), self.fence),
            remote: self.remote,
            bus: self.bus,
            clock: self.clock.unwrap_or_else(default_clock),
            entropy,
            budget: Budget::new(self.limit),
            adaptive: Adaptive::new(self.refresh_limit, self.switches.cap_refreshes),
            events: Events::new(),
            lease: Lease::new(promise),
            hot: self.hot,
            waits: WaitGraph::default(),
            views: RwLock::default(),
            opened: crate::call::Opened::default(),
            unsettled: Unsettled::default(),
            confirmations: crate::membership::Confirmations::default(),
            tasks: TaskTracker::new(),
            cancel: cancel.clone(),
            switches: self.switches,
            refusals: Mutex::default(),
        });
        tracing::debug!(cache = self.name, node = ?engine.node, %promise, "cache built");
        start(&engine, heartbeat, self.sweep);
        Ok(Cache { engine, default_policy: self.policy, _owner: Arc::new(Owner(cancel)) })
    }
}

/// What can be switched off: see [`CacheBuilder::sabotage`].
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    FillWithoutToken,
    StampsAfterLoad,
    NoGapDetection,
    LeaseFromEcho,
    UncappedRefreshes,
}

fn start(engine: &Arc<Engine>, heartbeat: Duration, sweep: Duration) {
    let Ok(runtime) = tokio::runtime::Handle::try_current() else {
        assert!(
            engine.remote.is_none() && engine.bus.is_none(),
            "a cache with a remote tier or a bus needs a tokio runtime"
        );
        return;
    };
    let until_closed = |task: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>| {
        let cancel = engine.cancel.clone();
        let task = async move {
            tokio::select! { biased; () = cancel.cancelled() => {} () = task => {} }
        };
        drop(engine.tasks.spawn_on(task, &runtime));
    };
    until_closed(Box::pin(crate::sweep::sweep_every(Arc::clone(engine), sweep)));
    if engine.remote.is_some() || engine.bus.is_some() {
        until_closed(Box::pin(Arc::clone(engine).settle()));
    }
    if let Some(bus) = &engine.bus {
        until_closed(Box::pin(crate::membership::take_part(Arc::clone(engine), Arc::clone(bus), heartbeat)));
    }
}

impl Cache {
    /// Begins a cache; the name is for logs.
    ///
    /// ```
    /// use tierkeep_cache::Cache;
    ///
    /// # fn main() -> Result<(), tierkeep_cache::BuildError> {
    /// let cache = Cache::builder("shop").memory(16 << 20).build()?;
    /// # Ok(()) }
    /// ```
    pub fn builder(name: &str) -> CacheBuilder {
        CacheBuilder {
            name: name.to_owned(),
            memory: DEFAULT_MEMORY,
            remote: None,
            bus: None,
            promise: None,
            heartbeat: None,
            policy: Policy::default(),
            limit: LoadLimit::default(),
            refresh_limit: RefreshLimit::default(),
            sweep: DEFAULT_SWEEP,
            clock: None,
            seed: None,
            hot: None,
            fence: Fence::On,
            switches: Switches { notice_gaps: true, lease_from_echo: false, cap_refreshes: true },
        }
    }

    pub(crate) fn default_policy(&self) -> Policy {
        self.default_policy
    }

    /// Begins a view of values of type `V` under keys of type `K`. Nodes that share a remote tier name their views alike.
    pub fn view<K: CacheKey, V: Send + Sync + 'static>(&self, name: &str) -> ViewBuilder<K, V> {
        ViewBuilder::new(self.clone(), name)
    }

    /// Forgets everything that carries this tag, in all tiers and on all nodes. Takes constant time.
    pub async fn invalidate_tag(&self, tag: &Tag) -> Receipt {
        self.invalidate_tags(std::slice::from_ref(tag)).await
    }

    /// Forgets everything that carries any of these tags.
    pub async fn invalidate_tags(&self, tags: &[Tag]) -> Receipt {
        self.order(tags.iter().map(|tag| Target::Tag(tag.id())).collect(), Severity::Hard).await
    }

    /// Ages everything that carries any of these tags: it may be served, marked stale, while one load replaces each.
    pub async fn invalidate_tags_softly(&self, tags: &[Tag]) -> Receipt {
        self.order(tags.iter().map(|tag| Target::Tag(tag.id())).collect(), Severity::Soft).await
    }

    /// Forgets everything that carries all of these tags, and nothing that lacks one of them.
    ///
    /// A remote tier that keeps no order among bumps (a Redis Cluster), and a tag with more than sixteen such rules in
    /// force, forget everything that carries the first tag instead: more than asked, never less.
    pub async fn invalidate_tags_all(&self, tags: &[Tag]) -> Receipt {
        let ids: Vec<TagId> = tags.iter().map(Tag::id).collect();
        match &ids[..] {
            [] => self.order(Vec::new(), Severity::Hard).await,
            [tag] => self.order(vec![Target::Tag(*tag)], Severity::Hard).await,
            _ => self.order(vec![Target::AllTags(ids)], Severity::Hard).await,
        }
    }

    /// Forgets everything, in all tiers and on all nodes. Takes constant time.
    pub async fn clear(&self) -> Receipt {
        let receipt = self.order(vec![Target::Tag(everything())], Severity::Hard).await;
        // What a warm-up brought in vain is counted on its way out.
        self.engine.coherence.memory().retain(|_, entry| !entry.is_unread());
        self.engine.coherence.memory().clear();
        receipt
    }

    async fn order(&self, targets: Vec<Target>, severity: Severity) -> Receipt {
        self.engine.invalidate(Order { targets, severity, hold: None }).await
    }

    /// What happens from now on.
    pub fn events(&self) -> EventStream {
        self.engine.events.listen()
    }

    /// Calls `listener` for each event, in a task of its own: it may be slow, but then it misses events.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn on(&self, mut listener: impl FnMut(&Event) + Send + 'static) {
        let mut events = self.events();
        let cancel = self.engine.cancel.clone();
        drop(self.engine.tasks.spawn(async move {
            let listen = async {
                while let Some(event) = events.next().await {
                    if let Ok(event) = event {
                        listener(&event);
                    }
                }
            };
            tokio::select! { biased; () = cancel.cancelled() => {} () = listen => {} }
        }));
    }

    /// What happened in all views so far.
    pub fn counts(&self) -> Counts {
        self.engine.count_wasted();
        let views = self.engine.views.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        views.iter().map(|view| view.counters.read()).fold(Counts::default(), |sum, counts| sum + counts)
    }

    /// How the cache stands now.
    pub fn state(&self) -> State {
        let engine = &self.engine;
        engine.count_wasted();
        let now = engine.clock.now();
        let views = engine.views.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        State {
            promise: engine.lease.promise(),
            serves_memory: engine.lease.serves(now),
            entries: engine.coherence.memory().len(),
            memory_bytes: engine.coherence.memory().weight(),
            memory_capacity: engine.coherence.memory().capacity(),
            evictions: engine.coherence.memory().evictions(),
            loads_running: engine.budget.running(),
            gaps: engine.coherence.gap(),
            unsettled: engine.unsettled.len(),
            views: views.iter().map(|view| (view.name.to_string(), view.counters.read())).collect(),
        }
    }

    /// Frees what has expired, now; the sweep does the same every minute.
    pub fn sweep(&self) {
        crate::sweep::sweep(&self.engine);
    }

    /// Ends the cache's tasks and waits for them: loads in flight are given up, their leases given back, the node takes
    /// leave of the others, memory is emptied. Later loads fail with [`LoadError::Closed`](crate::LoadError::Closed).
    pub async fn close(&self) {
        self.engine.cancel.cancel();
        self.engine.tasks.close();
        self.engine.tasks.wait().await;
        self.engine.coherence.memory().clear();
        if let Some(bus) = &self.engine.bus
            && bus.leave(self.engine.node).await.is_err()
        {
            tracing::debug!("the bus was not told that this node leaves");
        }
    }
}

/// How a cache stands; made by [`Cache::state`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct State {
    /// What it promises.
    pub promise: Promise,
    /// Whether memory may be served: `false` while the bus is silent for longer than the lease.
    pub serves_memory: bool,
    /// Entries in memory, those expired and not yet swept included.
    pub entries: usize,
    /// Bytes they take, overhead included.
    pub memory_bytes: u64,
    /// The bound.
    pub memory_capacity: u64,
    /// Entries that gave way to others.
    pub evictions: u64,
    /// Loads that run now.
    pub loads_running: usize,
    /// How often messages of the bus were missed, the first contact included.
    pub gaps: u64,
    /// Invalidations that the remote tier or the bus has not acknowledged yet.
    pub unsettled: usize,
    /// Each view's counts.
    pub views: Vec<(String, Counts)>,
}
