//! How long answers take, and why the slow ones do.
//!
//! Each answer of the tiers is measured when it is there. Why one was slow is known in pieces: the cache says what its load
//! waited for, the computation what it cost; they are put together only for an answer that was slow.

mod latency;
mod loads;
mod ratios;
mod slow;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tierkeep_learning::key::UserId;
use tierkeep_learning::statistic::StatisticKind;
use tierkeep_learning::store::{Basis, Effort};

pub(crate) use self::latency::{BOUNDS, Latency};
pub(crate) use self::ratios::{HitRatios, LOOK};
pub(crate) use self::slow::{Subject, Waited, Way};

use self::latency::Latencies;
use self::loads::{Load, Loads};
use self::ratios::Ratios;
use self::slow::SlowLog;
use crate::request;
use crate::telemetry::Span;
use crate::tiers::{Tier, ViewState};

/// What a node knows of the time that its answers take.
#[derive(Debug)]
pub(crate) struct Watch {
    latencies: Latencies,
    loads: Loads,
    slow: SlowLog,
    ratios: Ratios,
}

impl Watch {
    /// Tells of answers as slow from a time on; 0 = of none.
    pub(crate) fn new(slow: Duration) -> Self {
        Self {
            latencies: Latencies::new(),
            loads: Loads::default(),
            slow: SlowLog::new(slow),
            ratios: Ratios::new(Instant::now()),
        }
    }

    /// Something was answered by a tier, or not at all.
    pub(crate) fn answered(&self, subject: Subject, began: Instant, way: Way, found: Option<(Tier, Waited)>) {
        let took = began.elapsed();
        if let Some((tier, _)) = found {
            self.latencies.observe(subject.kind, tier, took);
        }
        if self.slow.is_slow(took) {
            self.explain(subject, began, took, way, found);
        }
    }

    #[cold]
    fn explain(&self, subject: Subject, began: Instant, took: Duration, way: Way, found: Option<(Tier, Waited)>) {
        let load = self.loads.since(subject, began);
        self.slow.tell(subject, took, way, found, load);
        request::note_explained();
    }

    /// Runs a computation and remembers what it cost, if that was much.
    pub(crate) async fn computing<T, E>(
        &self,
        subject: Subject,
        computing: impl Future<Output = Result<T, E>>,
        basis: impl Fn(&T) -> Option<Basis>,
    ) -> Result<T, E> {
        let began = Instant::now();
        let load = Span::load(subject.kind);
        let (answer, effort) = load.during(Effort::of(computing)).await;
        let took = began.elapsed();
        load.computed(effort, || answer.as_ref().ok().and_then(&basis).map(Tier::computed));
        if self.slow.is_worth_remembering(took) {
            let basis = answer.as_ref().ok().and_then(&basis);
            self.loads.remember(Load { subject, ended: Instant::now(), took, effort, basis });
        }
        answer
    }

    /// Whether so much time is slow.
    pub(crate) fn is_slow(&self, took: Duration) -> bool {
        self.slow.is_slow(took)
    }

    /// Whether one more line about something slow may be written now, and how many were not since the last one.
    pub(crate) fn may_tell(&self) -> Option<u64> {
        self.slow.may_tell(Instant::now())
    }

    /// The answers that there were, by statistic and tier.
    pub(crate) fn latencies(&self) -> Vec<(StatisticKind, Tier, Latency)> {
        self.latencies.read()
    }

    /// The share of reads that a tier above the database answered, by statistic. Who looks is who counts: the more often, the
    /// more exactly a read belongs to its minute.
    pub(crate) fn hit_ratios(&self, views: &[ViewState]) -> Vec<(StatisticKind, HitRatios)> {
        self.ratios.read(views, Instant::now())
    }
}

/// The watch of who is not asked to tell anything.
impl Default for Watch {
    fn default() -> Self {
        Self::new(Duration::ZERO)
    }
}

/// Shared by the tiers and the computations that outlive a reader.
pub(crate) type SharedWatch = Arc<Watch>;

/// About whom a question is asked.
pub(crate) fn about(kind: StatisticKind, user: Option<UserId>) -> Subject {
    Subject { kind, user, learners: usize::from(user.is_some()) }
}
