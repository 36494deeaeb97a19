//! What this node knows of changes: the database's position, and when it was last asked for it.
//!
//! An answer is kept with the position that was known before it was computed, and counts while that is the position.
//! So nothing has to be deleted anywhere when something changes, and nothing that Redis brings back from the past counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tierkeep_cache::Cache;
use tierkeep_learning::store::Store;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

/// How many times the database is asked within the bound: an answer that is one poll late is still in time.
const POLLS_PER_BOUND: u32 = 5;

/// Whether what was kept may be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The database has said within the bound what the position is.
    Current,
    /// It has not, for this long.
    Behind(Duration),
    /// It says that changes cannot be told: a trigger is missing.
    Untold,
}

/// The position as this node knows it.
#[derive(Debug)]
pub(super) struct Feed {
    store: Arc<dyn Store>,
    bound: Duration,
    started: Instant,
    position: AtomicU64,
    /// When the last question began that was answered, in milliseconds from `started`, plus 1; 0 = never.
    asked: AtomicU64,
    is_told: AtomicBool,
    is_silent: AtomicBool,
}

impl Feed {
    pub(super) fn new(store: Arc<dyn Store>, bound: Duration) -> Self {
        Self {
            store,
            bound,
            started: Instant::now(),
            position: AtomicU64::new(0),
            asked: AtomicU64::new(0),
            is_told: AtomicBool::new(true),
            is_silent: AtomicBool::new(false),
        }
    }

    /// The position that answers must have been computed at, or after.
    pub(super) fn position(&self) -> u64 {
        self.position.load(Ordering::Acquire)
    }

    pub(super) fn standing(&self) -> Standing {
        let asked = self.asked.load(Ordering::Acquire);
        let behind = self.started.elapsed().saturating_sub(Duration::from_millis(asked.saturating_sub(1)));
        if asked == 0 || behind > self.bound {
            Standing::Behind(behind)
        } else if self.is_told.load(Ordering::Acquire) {
            Standing::Current
        } else {
            Standing::Untold
        }
    }

    /// Asks until `stop`; what is kept in `cache` is forgotten where the position fell: the database has gone back in time.
    pub(super) async fn follow(&self, cache: Cache, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(self.bound / POLLS_PER_BOUND);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let asking = async {
            loop {
                ticks.tick().await;
                if self.ask().await {
                    tracing::warn!("the database has gone back in time: all that was kept is forgotten");
                    forget_all(&cache).await;
                }
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = asking => {}
        }
    }

    /// Asks once; tells whether the position fell.
    pub(super) async fn ask(&self) -> bool {
        let began = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let told = match tokio::time::timeout(self.bound, self.store.change_position()).await {
            Ok(Ok(told)) => told,
            Ok(Err(error)) => {
                self.say_silent(&error.to_string());
                return false;
            }
            Err(_) => {
                self.say_silent("no answer in time");
                return false;
            }
        };
        if self.is_silent.swap(false, Ordering::AcqRel) {
            tracing::info!("the database says again whether anything changed");
        }
        if self.is_told.swap(told.is_some(), Ordering::AcqRel) && told.is_none() {
            tracing::warn!("a trigger is missing, so changes cannot be told: nothing that was kept is served");
        }
        // the position before the moment that vouches for it
        let fell = told.is_some_and(|position| self.position.swap(position, Ordering::AcqRel) > position);
        self.asked.store(began + 1, Ordering::Release);
        fell
    }

    fn say_silent(&self, why: &str) {
        if !self.is_silent.swap(true, Ordering::AcqRel) {
            tracing::warn!(why, "the database does not say whether anything changed");
        }
    }
}

async fn forget_all(cache: &Cache) {
    if let Err(incomplete) = cache.clear().await.complete() {
        tracing::warn!(%incomplete, "it is repeated until Redis has acknowledged it, which is not read from until then");
    }
}
