//! What one node of an installation does for all: folding what changed, and removing changes that everybody was told and answers
//! to writes that nobody will ask for again.
//!
//! Answers are exact without it. It keeps the first read after a change short, the global statistic a sum of stored sums,
//! and the list of changes bounded.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use tierkeep_learning::store::{Store, StoreError};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

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

/// Does it until `stop`, while this node holds the lease. `is_wanted` tells whether a change waits to be folded: where none
/// does, nothing is written.
pub fn start(
    store: Arc<dyn Store>,
    retention: Retention,
    clock: Clock,
    is_wanted: impl Fn() -> bool + Send + Sync + 'static,
    stop: CancellationToken,
) -> JoinHandle<()> {
    let holder = format!("{}-{:016x}", std::process::id(), RandomState::new().build_hasher().finish());
    tokio::spawn(async move {
        let mut upkeep = Upkeep { store, retention, clock, holder, pruned: None, is_failing: false };
        let mut ticks = tokio::time::interval(PAUSE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                _ = ticks.tick() => {}
            }
            if is_wanted() || upkeep.is_pruning_due() {
                let done = upkeep.once(&stop).await;
                upkeep.note(done);
            }
        }
        // another node takes over at once; if this fails, when the lease has run out
        let _ = upkeep.store.release_lease(LEASE, &upkeep.holder).await;
    })
}

struct Upkeep {
    store: Arc<dyn Store>,
    retention: Retention,
    clock: Clock,
    holder: String,
    pruned: Option<Instant>,
    is_failing: bool,
}

impl Upkeep {
    fn is_pruning_due(&self) -> bool {
        self.pruned.is_none_or(|pruned| pruned.elapsed() >= PRUNING)
    }

    async fn once(&mut self, stop: &CancellationToken) -> Result<(), StoreError> {
        loop {
            if stop.is_cancelled() {
                return Ok(());
            }
            if self.store.take_lease(LEASE, &self.holder, LEASE_TIME).await?.is_none() {
                // another node does it
                self.pruned = Some(Instant::now());
                return Ok(());
            }
            if !self.store.settle().await?.more {
                break;
            }
        }
        if self.is_pruning_due() {
            let Retention { keep, most, most_bytes } = self.retention;
            while self.store.prune_changes(keep, most, most_bytes).await? > 0 && !stop.is_cancelled() {}
            let before = self.clock.now() - KEYS_ARE_KEPT;
            while self.store.forget_idempotency_keys(before).await? > 0 && !stop.is_cancelled() {}
            self.pruned = Some(Instant::now());
        }
        Ok(())
    }

    /// Says once that it fails, and once that it works again.
    fn note(&mut self, done: Result<(), StoreError>) {
        match done {
            Ok(()) if std::mem::take(&mut self.is_failing) => tracing::info!("changes are folded in advance again"),
            Err(error) if !std::mem::replace(&mut self.is_failing, true) => {
                tracing::warn!(%error, "changes are folded by reads only");
            }
            Ok(()) | Err(_) => {}
        }
    }
}
