//! What this node knows of changes: who changed at which position, and when the database was last asked.
//!
//! An answer is kept with the position that was known before it was computed, and counts while the learner it is about has
//! not changed since. So nothing has to be deleted anywhere when something changes, and nothing that Redis brings back from
//! the past counts.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use prometheus_client::metrics::histogram::Histogram;
use tierkeep_cache::Cache;
use tierkeep_learning::key::UserId;
use tierkeep_learning::store::{Changes, Store};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::told::Told;
use super::warmup::Warmup;
use crate::chain::Chain;

/// How many times the database is asked within the bound while changes come, and while none do: a change is seen long before
/// the bound, and a node with nothing to do costs next to nothing.
const BUSY_POLLS_PER_BOUND: u32 = 40;
const IDLE_POLLS_PER_BOUND: u32 = 8;
/// How long after the last change others are expected.
const BUSY: Duration = Duration::from_secs(1);
/// Shortest time between two questions, however small the bound.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);

/// Whether what was kept may be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The database has said within the bound what changed.
    Current,
    /// It has not, for this long.
    Behind(Duration),
    /// It says that a change may go unnoticed: a trigger is missing.
    Untold,
}

/// What was learned by asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Learned {
    /// What changed.
    Changes,
    /// That what was told before means nothing: the database has gone back in time, or is another.
    NothingHolds,
    /// Nothing: there was no answer.
    Silence,
}

/// Bounds of the times that questions take, in seconds.
const POLL_SECONDS: [f64; 9] = [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.01, 0.05, 0.25, 1.0];

/// What asking has cost and brought since the node started.
#[derive(Debug, Clone)]
pub struct Polls {
    /// Questions that were answered.
    pub answered: u64,
    /// Questions that were not.
    pub failed: u64,
    /// Changes that were told: of one learner, or of everybody.
    pub told: u64,
    /// How long the answered ones took, in seconds.
    pub seconds: Histogram,
}

/// What this node was told of changes.
#[derive(Debug)]
pub(super) struct Feed {
    store: Arc<dyn Store>,
    bound: Duration,
    started: Instant,
    told: RwLock<Told>,
    position: AtomicU64,
    epoch: AtomicU64,
    /// When the last question began that was answered, in milliseconds from `started`, plus 1; 0 = never.
    asked: AtomicU64,
    /// When the last write of this node was found to be in no answer yet, in the same measure; 0 = there is none.
    doubted: AtomicU64,
    is_whole: AtomicBool,
    is_unfolded: AtomicBool,
    is_silent: AtomicBool,
    /// Why changes may go unnoticed.
    broken: Mutex<Vec<String>>,
    /// One question at a time, so that what was told is taken in in its order.
    asking: tokio::sync::Mutex<()>,
    /// Whoever computes in advance what a change has outdated.
    warmup: Arc<Warmup>,
    answered: AtomicU64,
    failed: AtomicU64,
    events: AtomicU64,
    poll_seconds: Histogram,
}

impl Feed {
    pub(super) fn new(store: Arc<dyn Store>, bound: Duration, warmup: Arc<Warmup>) -> Self {
        Self {
            store,
            bound,
            started: Instant::now(),
            told: RwLock::default(),
            position: AtomicU64::new(0),
            epoch: AtomicU64::new(0),
            asked: AtomicU64::new(0),
            doubted: AtomicU64::new(0),
            is_whole: AtomicBool::new(true),
            is_unfolded: AtomicBool::new(true),
            is_silent: AtomicBool::new(false),
            broken: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
            warmup,
            answered: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            events: AtomicU64::new(0),
            poll_seconds: Histogram::new(POLL_SECONDS),
        }
    }

    pub(super) fn polls(&self) -> Polls {
        Polls {
            answered: self.answered.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            told: self.events.load(Ordering::Relaxed),
            seconds: self.poll_seconds.clone(),
        }
    }

    /// The position up to which this node was told everything.
    pub(super) fn position(&self) -> u64 {
        self.position.load(Ordering::Acquire)
    }

    /// The position that answers about a learner, or about all, must have been computed at, or after.
    pub(super) fn required(&self, user: Option<UserId>) -> u64 {
        self.told.read().unwrap_or_else(PoisonError::into_inner).required(user)
    }

    /// Time since the question began to which the last answer came.
    pub(super) fn behind(&self) -> Duration {
        let asked = self.asked.load(Ordering::Acquire);
        self.started.elapsed().saturating_sub(Duration::from_millis(asked.saturating_sub(1)))
    }

    pub(super) fn standing(&self) -> Standing {
        let behind = self.behind();
        let asked = self.asked.load(Ordering::Acquire);
        if asked <= self.doubted.load(Ordering::Acquire) || behind > self.bound {
            Standing::Behind(behind)
        } else if self.is_whole.load(Ordering::Acquire) {
            Standing::Current
        } else {
            Standing::Untold
        }
    }

    /// Waits until the database has said what changed, or that it cannot.
    pub(super) async fn told(&self) {
        while matches!(self.standing(), Standing::Behind(_)) {
            tokio::time::sleep(SHORTEST_PAUSE).await;
        }
    }

    /// Notes that something was written which this node could not learn of: nothing that was kept is served until a question
    /// is answered that begins after now.
    pub(super) fn doubt(&self) {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.doubted.fetch_max(now.saturating_add(1), Ordering::AcqRel);
    }

    /// Whether a change waited to be folded when the database was last asked.
    pub(super) fn is_unfolded(&self) -> bool {
        self.is_unfolded.load(Ordering::Acquire)
    }

    /// Why changes may go unnoticed; empty = they do not.
    pub(super) fn broken(&self) -> Vec<String> {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks until `stop`; what is kept in `cache` is forgotten where nothing holds any more.
    pub(super) async fn follow(&self, cache: Cache, stop: CancellationToken) {
        let asking = async {
            let mut changed = Instant::now();
            loop {
                let known = self.position();
                self.ask(&cache).await;
                if self.position() != known {
                    changed = Instant::now();
                }
                let polls = if changed.elapsed() < BUSY { BUSY_POLLS_PER_BOUND } else { IDLE_POLLS_PER_BOUND };
                tokio::time::sleep((self.bound / polls).max(SHORTEST_PAUSE)).await;
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = asking => {}
        }
    }

    /// Asks for everything up to now, and tells whether there was an answer.
    pub(super) async fn ask(&self, cache: &Cache) -> bool {
        let learned = match tokio::time::timeout(self.bound, self.learn()).await {
            Ok(learned) => learned,
            Err(_) => {
                self.say_silent("no answer in time");
                Learned::Silence
            }
        };
        if learned == Learned::Silence {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
        if learned == Learned::NothingHolds {
            tracing::warn!(
                "the database has gone back in time, or its schema or triggers have changed: all that was kept is forgotten"
            );
            forget_all(cache).await;
        }
        learned != Learned::Silence
    }

    async fn learn(&self) -> Learned {
        let _one_at_a_time = self.asking.lock().await;
        let mut learned = Learned::Changes;
        loop {
            let began = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
            let after = self.position();
            let asked = Instant::now();
            match self.store.changes(after).await {
                Ok(Some(changes)) => {
                    self.count(asked.elapsed(), &changes);
                    if self.take_in(after, &changes) {
                        learned = Learned::NothingHolds;
                        self.warmup.everybody_changed();
                    } else if after > 0 {
                        self.warmup.changed(&changes);
                    }
                    if changes.more {
                        continue;
                    }
                }
                Ok(None) => self.is_whole.store(false, Ordering::Release),
                Err(error) => {
                    self.say_silent(&Chain(&error).to_string());
                    return Learned::Silence;
                }
            }
            if self.is_silent.swap(false, Ordering::AcqRel) {
                tracing::info!("the database says again what changed");
            }
            // after what was told, which this moment vouches for
            self.asked.store(began + 1, Ordering::Release);
            return learned;
        }
    }

    fn count(&self, took: Duration, changes: &Changes) {
        let told = changes.learners.len() as u64 + u64::from(changes.everybody.is_some());
        self.answered.fetch_add(1, Ordering::Relaxed);
        self.events.fetch_add(told, Ordering::Relaxed);
        self.poll_seconds.observe(took.as_secs_f64());
    }

    /// Takes in what was told after a position; tells whether what was told before means nothing any more.
    fn take_in(&self, after: u64, changes: &Changes) -> bool {
        self.note_health(&changes.broken);
        self.is_unfolded.store(changes.unfolded, Ordering::Release);
        let is_first = after == 0;
        let is_another = self.epoch.swap(changes.epoch, Ordering::AcqRel) != changes.epoch;
        let nothing_holds = !is_first && (is_another || changes.position < after);
        let mut told = self.told.write().unwrap_or_else(PoisonError::into_inner);
        if nothing_holds {
            told.begin_again(changes.position);
        } else if after < changes.floor {
            // a node that starts holds nothing itself; what others kept counts from the floor on
            told.everything(if is_first { changes.floor } else { changes.position });
        }
        told.note(changes);
        drop(told);
        // who claims this position has been told everything up to it
        self.position.store(changes.position, Ordering::Release);
        nothing_holds
    }

    fn note_health(&self, broken: &[String]) {
        let is_whole = broken.is_empty();
        *self.broken.lock().unwrap_or_else(PoisonError::into_inner) = broken.to_vec();
        if self.is_whole.swap(is_whole, Ordering::AcqRel) == is_whole {
            return;
        }
        if is_whole {
            tracing::info!("every change is noted again");
        } else {
            tracing::error!(
                reasons = broken.join("; "),
                "changes may go unnoticed: every answer is computed from rows until `tierkeep migrate` (or `attach`) \
                 has put this right"
            );
        }
    }

    fn say_silent(&self, why: &str) {
        if !self.is_silent.swap(true, Ordering::AcqRel) {
            tracing::warn!(why, "the database does not say what changed");
        }
    }
}

async fn forget_all(cache: &Cache) {
    if let Err(incomplete) = cache.clear().await.complete() {
        tracing::warn!(%incomplete, "it is repeated until Redis has acknowledged it, which is not read from until then");
    }
}
