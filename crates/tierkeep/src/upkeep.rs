//! What one node of an installation does for all: folding what changed, and removing changes that everybody was told and answers
//! to writes that nobody will ask for again.
//!
//! Answers are exact without it. It keeps the first read after a change short, the global statistic a sum of stored sums,
//! and the list of changes bounded.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::SignedDuration;
use tierkeep_learning::store::{Settled, Store, StoreError};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::chain::Chain;
use crate::clock::Clock;

/// Name of the lease of the node that does it.
const LEASE: &str = "upkeep";
/// How long a node that died keeps the others from doing it.
const LEASE_TIME: Duration = Duration::from_secs(5);
/// Time between two looks for what changed.
const PAUSE: Duration = Duration::from_millis(500);
/// Time between two looks for changes to remove.
const PRUNING: Duration = Duration::from_secs(60);

/// How long the answer to a write is kept under its idempotency key.
const KEYS_ARE_KEPT: SignedDuration = SignedDuration::from_hours(24);

/// How many changes are kept for nodes that have not been told of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// For how long: a node, or what is kept in Redis, that is further behind starts anew.
    pub keep: Duration,
    /// How many.
    pub most: u64,
    /// How large the table may be, not folded changes included, before "everything changed" takes its place.
    pub most_bytes: u64,
}

/// What a node has done for all since it started.
#[derive(Debug)]
pub struct Done {
    started: Instant,
    folded: AtomicU64,
    pruned: AtomicU64,
    /// Until when this node holds the lease, in milliseconds from `started`.
    held_until: AtomicU64,
}

impl Done {
    /// Learners whose summaries it has brought up to date in advance.
    #[must_use]
    pub fn folded(&self) -> u64 {
        self.folded.load(Ordering::Relaxed)
    }

    /// Changes that it has removed.
    #[must_use]
    pub fn pruned(&self) -> u64 {
        self.pruned.load(Ordering::Relaxed)
    }

    /// Whether it is the one that folds.
    #[must_use]
    pub fn holds_lease(&self) -> bool {
        self.started.elapsed().as_millis() < u128::from(self.held_until.load(Ordering::Relaxed))
    }

    fn hold(&self, since: Instant, time: Duration) {
        let until = since.saturating_duration_since(self.started) + time;
        self.held_until.store(u64::try_from(until.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn let_go(&self) {
        self.held_until.store(0, Ordering::Relaxed);
    }
}

impl Default for Done {
    fn default() -> Self {
        let (folded, pruned, held_until) = Default::default();
        Self { started: Instant::now(), folded, pruned, held_until }
    }
}

/// Does it until `stop`. `is_wanted` tells whether a change waits to be folded.
pub fn start(
    mut upkeep: Upkeep,
    is_wanted: impl Fn() -> bool + Send + Sync + 'static,
    stop: CancellationToken,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(PAUSE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                _ = ticks.tick() => {}
            }
            upkeep.once(Instant::now(), is_wanted(), &stop).await;
        }
        upkeep.end().await;
    })
}

/// Folds all changes into the stored summaries, one bounded batch after the other, telling of each; `false`: `stop` ended it
/// before none was left.
pub(crate) async fn settle(
    store: &dyn Store,
    stop: &CancellationToken,
    mut tell: impl FnMut(Settled) + Send,
) -> Result<bool, StoreError> {
    while !stop.is_cancelled() {
        let settled = store.settle().await?;
        tell(settled);
        if !settled.more {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What was removed because everybody was told.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Pruned {
    /// Changes.
    pub(crate) changes: u64,
    /// Answers under idempotency keys.
    pub(crate) keys: u64,
}

/// Removes the changes that everybody was told, and the answers to writes that nobody will ask for again, in bounded batches,
/// until there are none or `stop` says so. Any number of nodes may do so at once.
pub(crate) async fn prune(
    store: &dyn Store,
    retention: Retention,
    clock: Clock,
    stop: &CancellationToken,
) -> Result<Pruned, StoreError> {
    let (Retention { keep, most, most_bytes }, mut done) = (retention, Pruned::default());
    while !stop.is_cancelled() {
        match store.prune_changes(keep, most, most_bytes).await? {
            0 => break,
            changes => done.changes += changes,
        }
    }
    let before = clock.now() - KEYS_ARE_KEPT;
    while !stop.is_cancelled() {
        match store.forget_idempotency_keys(before).await? {
            0 => break,
            keys => done.keys += keys,
        }
    }
    Ok(done)
}

/// One node's part in it.
#[derive(Debug)]
pub struct Upkeep {
    store: Arc<dyn Store>,
    retention: Retention,
    clock: Clock,
    holder: String,
    pruned: Option<Instant>,
    is_failing: bool,
    done: Arc<Done>,
}

impl Upkeep {
    /// A node that may come to hold the lease; `done` is where it tells what it did.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, retention: Retention, clock: Clock, done: Arc<Done>) -> Self {
        let holder = format!("{}-{:016x}", std::process::id(), RandomState::new().build_hasher().finish());
        Self { store, retention, clock, holder, pruned: None, is_failing: false, done }
    }

    /// Folds what waits, if something does and no other node does it, and prunes if it is time to: all there is, unless
    /// stopped in between. Where there is nothing to do, nothing is written. A failure is logged once until it works again.
    pub async fn once(&mut self, now: Instant, is_wanted: bool, stop: &CancellationToken) {
        let is_pruning_due = self.pruned.is_none_or(|pruned| now.saturating_duration_since(pruned) >= PRUNING);
        if !is_wanted && !is_pruning_due {
            return;
        }
        let folded = if is_wanted { self.fold(stop).await } else { Ok(()) };
        // needs no lease: to remove the same twice is no harm, and where there is nothing to remove nothing is written
        let pruned = if is_pruning_due { self.prune(now, stop).await } else { Ok(()) };
        self.note(folded.and(pruned));
    }

    /// Another node takes over at once; if this fails, when the lease has run out.
    pub async fn end(self) {
        if self.done.holds_lease() {
            let _ = self.store.release_lease(LEASE, &self.holder).await;
            self.done.let_go();
        }
    }

    async fn fold(&self, stop: &CancellationToken) -> Result<(), StoreError> {
        while !stop.is_cancelled() {
            let asked = Instant::now();
            if self.store.take_lease(LEASE, &self.holder, LEASE_TIME).await?.is_none() {
                // another node does it
                self.done.let_go();
                return Ok(());
            }
            self.done.hold(asked, LEASE_TIME);
            let settled = self.store.settle().await?;
            self.done.folded.fetch_add(settled.learners, Ordering::Relaxed);
            if !settled.more {
                break;
            }
        }
        Ok(())
    }

    async fn prune(&mut self, now: Instant, stop: &CancellationToken) -> Result<(), StoreError> {
        // one that fails is tried again when the next is due: folding must not wait for it
        self.pruned = Some(now);
        let pruned = prune(&*self.store, self.retention, self.clock, stop).await?;
        self.done.pruned.fetch_add(pruned.changes, Ordering::Relaxed);
        Ok(())
    }

    /// Says once that it fails, and once that it works again.
    fn note(&mut self, done: Result<(), StoreError>) {
        match done {
            Ok(()) if std::mem::take(&mut self.is_failing) => {
                tracing::info!("changes are folded in advance and removed again");
            }
            Err(error) if !std::mem::replace(&mut self.is_failing, true) => {
                tracing::warn!(error = %Chain(&error), "changes are folded by reads only, or not removed");
            }
            Ok(()) | Err(_) => {}
        }
    }
}
