//! The auditor: recomputes some learners' summaries from their rows now and then, under a budget, and mends what differs.
//!
//! It goes through all learners in the order of their ids, from a random one on, so that each is looked at once a round;
//! after a round it compares the global sums. What differs is a bug, damage, or a write that no trigger noted: it is logged
//! as an error and counted, and the learner's summaries are forgotten, so that they are built anew from rows and no kept
//! answer counts any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tierkeep_learning::key::UserId;
use tierkeep_learning::store::{Difference, Store, StoreError, Verified};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::http::App;
use crate::tiers::{Invalidation, global_tag};

/// Differences that are logged one by one; the others are counted.
const LOGGED: usize = 10;
/// Learners of one snapshot when all are looked at.
const BATCH: u32 = 100;
/// Batches folded after a repair, so that the sums are stored again; what is left folds itself when it is read.
const FOLDED: usize = 10;

/// What the auditor has done since this node started.
#[derive(Debug, Default)]
pub struct AuditCounts {
    learners: AtomicU64,
    differences: AtomicU64,
    repairs: AtomicU64,
    failures: AtomicU64,
}

/// [`AuditCounts`] at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Audited {
    /// Learners whose summaries were compared with their rows.
    pub learners: u64,
    /// Stored values that differed. Above 0 somebody should find out why.
    pub differences: u64,
    /// Times that something was forgotten because it differed.
    pub repairs: u64,
    /// Looks that failed.
    pub failures: u64,
}

impl AuditCounts {
    /// The counts now.
    #[must_use]
    pub fn read(&self) -> Audited {
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Audited {
            learners: get(&self.learners),
            differences: get(&self.differences),
            repairs: get(&self.repairs),
            failures: get(&self.failures),
        }
    }
}

/// Goes through all learners, some at a time.
#[derive(Debug)]
pub struct Auditor {
    store: Arc<dyn Store>,
    counts: Arc<AuditCounts>,
    place: Place,
}

/// Where an auditor is.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// It has not begun.
    Nowhere,
    /// Behind this learner; `None` = before the first.
    After(Option<UserId>),
}

impl Auditor {
    /// An auditor that begins at a random learner.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, counts: Arc<AuditCounts>) -> Self {
        Self { store, counts, place: Place::Nowhere }
    }

    /// Compares the next learners, at most 1,000; at the end of a round the global sums as well. Mends what differs.
    ///
    /// # Errors
    /// [`StoreError`]; the next step goes on from there.
    pub async fn step(&mut self, learners: u32) -> Result<Verified, StoreError> {
        let after = match self.place {
            Place::After(after) => after,
            Place::Nowhere => self.store.random_learners(1).await?.first().copied(),
        };
        let users = self.store.known_learners(after, learners).await?;
        let is_last = users.len() < learners as usize;
        self.place = Place::After(if is_last { None } else { users.last().copied() });
        let mut verified = self.store.verify(&users).await?;
        if is_last {
            let totals = self.store.verify_totals().await?;
            if !totals.is_empty() {
                // the sums may be right and a learner's days wrong: sums made of wrong days would hide that
                verified.merge(self.look_at_all().await?);
                verified.differences.extend(totals);
            }
        }
        self.counts.learners.fetch_add(verified.learners, Ordering::Relaxed);
        if !verified.differences.is_empty() {
            self.mend(&verified.differences).await?;
        }
        Ok(verified)
    }

    /// Compares all learners at once, which only a difference is worth.
    async fn look_at_all(&self) -> Result<Verified, StoreError> {
        let (mut verified, mut after) = (Verified::default(), None);
        loop {
            let users = self.store.known_learners(after, BATCH).await?;
            let Some(last) = users.last() else { return Ok(verified) };
            after = Some(*last);
            verified.merge(self.store.verify(&users).await?);
        }
    }

    async fn mend(&self, differences: &[Difference]) -> Result<(), StoreError> {
        self.counts.differences.fetch_add(differences.len() as u64, Ordering::Relaxed);
        for Difference { learner, day, field, stored, recomputed } in differences.iter().take(LOGGED) {
            let user_id = learner.map(|user| user.to_string());
            let day = day.map(|day| day.to_string());
            tracing::error!(?user_id, ?day, field, %stored, %recomputed, "a stored summary is not what the rows give");
        }
        tracing::error!(differences = differences.len(), "what differs is forgotten and built anew");
        let mut users: Vec<UserId> = differences.iter().filter_map(|difference| difference.learner).collect();
        users.sort_unstable();
        users.dedup();
        self.store.forget(&users).await?;
        self.counts.repairs.fetch_add(1, Ordering::Relaxed);
        for _ in 0..FOLDED {
            if !self.store.settle().await?.more {
                break;
            }
        }
        Ok(())
    }

    /// Compares so many learners a minute until `stop`, for the node `app`; does nothing for 0.
    pub async fn run(mut self, app: Arc<App>, per_minute: u32, stop: CancellationToken) {
        if per_minute == 0 {
            return;
        }
        // six looks a minute, or one for each learner where there are fewer
        let learners = per_minute.div_ceil(6).min(1000);
        let mut looks = tokio::time::interval(Duration::from_secs(60) * learners / per_minute);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        looks.reset();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = looks.tick() => {}
            }
            match self.step(learners).await {
                Ok(verified) if verified.differences.is_empty() => {}
                // the feed outdates what was kept of learners; sums that were mended alone are no change of anybody
                Ok(_) => drop(app.tiers.invalidate(&Invalidation::Tags(vec![global_tag()])).await),
                Err(error) => {
                    self.counts.failures.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(%error, "the auditor could not look; it tries again");
                }
            }
        }
    }
}
