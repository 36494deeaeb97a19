//! `precompute-active-cache`, and the command of that name: what is going to be asked about many learners is computed before.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use tierkeep_learning::key::UserId;
use tierkeep_learning::statistic::StatisticKind;
use tierkeep_learning::store::{ActiveWithin, StoreError};
use tierkeep_schedule::{Attempt, Job, JobError};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use utoipa::ToSchema;

use super::{Workshop, failed, output};
use crate::chain::Chain;
use crate::config;
use crate::tiers::{Precomputed, Tiers};
use crate::upkeep;

/// Learners of a batch, whose days are in memory at once: with 1000 the node took half as much memory again and was no faster.
const BATCH: usize = 250;
/// Batches at once: the database reads for one while the answers of the other are computed.
const AT_ONCE: usize = 2;
/// Learners that are listed at once: a look for those who are active reads the sessions of all of its days, however many it
/// tells of. An id takes 24 bytes.
const LISTED: u32 = 100_000;

/// Whom it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whom {
    /// All learners.
    Everybody,
    /// Those with a valid session in the last so many local days.
    Active(ActiveWithin),
}

/// What is to be computed.
#[derive(Debug, Clone, Copy)]
pub struct Order<'a> {
    /// About whom.
    pub whom: Whom,
    /// Which statistics.
    pub kinds: &'a [StatisticKind],
    /// The present.
    pub now: Timestamp,
    /// Ends it between two batches.
    pub stop: &'a CancellationToken,
}

/// How far it has come.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
pub struct Report {
    /// Learners whose stored summaries were brought up to date.
    pub settled: u64,
    /// Learners looked after, and their answers. All 0 where no answer would be kept, as in a process without a server and
    /// without Redis.
    #[serde(flatten)]
    pub answers: Precomputed,
    /// Whether answers are kept at all.
    pub kept: bool,
    /// Whether it was ended before it was done.
    pub stopped: bool,
    /// Seconds it took.
    pub seconds: f64,
}

/// Brings stored summaries up to date, and the answers about learners into the tiers, telling how far it has come.
///
/// # Errors
/// [`StoreError`]: the learners cannot be listed, or summaries not stored. What was done stays.
pub async fn precompute(
    tiers: &Tiers,
    order: Order<'_>,
    mut tell: impl FnMut(&Report) + Send,
) -> Result<Report, StoreError> {
    let (store, began) = (tiers.statistics().store(), Instant::now());
    let mut report = Report { kept: true, ..Report::default() };
    let is_settled = upkeep::settle(&**store, order.stop, |settled| {
        report.settled += settled.learners;
        tell(&report);
    });
    report.stopped = !is_settled.await?;
    let mut after = None;
    while report.kept && !report.stopped {
        let listed = order.list(tiers, after).await?;
        after = listed.last().copied();
        if after.is_none() {
            break;
        }
        let (mut batches, mut working) = (listed.chunks(BATCH), FuturesUnordered::new());
        loop {
            while working.len() < AT_ONCE && report.kept && !report.stopped {
                let Some(batch) = batches.next() else { break };
                report.stopped = order.stop.is_cancelled();
                if !report.stopped {
                    working.push(tiers.precompute(batch, order.kinds, order.now));
                }
            }
            match working.next().await {
                Some(Some(done)) => {
                    report.answers += done;
                    tell(&report);
                }
                Some(None) => report.kept = false,
                None => break,
            }
        }
    }
    if report.kept && !report.stopped && order.kinds.contains(&StatisticKind::Global) {
        match tiers.precompute_global(order.now).await {
            Some(done) => report.answers += done,
            None => report.kept = false,
        }
    }
    report.seconds = began.elapsed().as_secs_f64();
    Ok(report)
}

impl Order<'_> {
    async fn list(&self, tiers: &Tiers, after: Option<UserId>) -> Result<Vec<UserId>, StoreError> {
        let store = tiers.statistics().store();
        match self.whom {
            Whom::Active(within) => store.active_learners(within, self.now, after, LISTED).await,
            Whom::Everybody => store.learner_ids(after, LISTED).await,
        }
    }
}

/// What a node computes because somebody asked for it: one at a time.
#[derive(Debug)]
pub struct Precomputing {
    stop: CancellationToken,
    tasks: TaskTracker,
    turn: Arc<Semaphore>,
}

impl Default for Precomputing {
    fn default() -> Self {
        Self { stop: CancellationToken::new(), tasks: TaskTracker::new(), turn: Arc::new(Semaphore::new(1)) }
    }
}

/// What became of a wish.
#[derive(Debug)]
pub enum Asked {
    /// It is done.
    Done(Result<Report, StoreError>),
    /// It works on.
    Works,
    /// Another one works.
    Busy,
}

impl Precomputing {
    /// Begins, and waits for the end up to `patience`. It goes on when nobody waits, and ends with the node.
    pub async fn ask(
        &self,
        tiers: Arc<Tiers>,
        whom: Whom,
        kinds: Vec<StatisticKind>,
        now: Timestamp,
        patience: Duration,
    ) -> Asked {
        let Ok(turn) = Arc::clone(&self.turn).try_acquire_owned() else { return Asked::Busy };
        let stop = self.stop.clone();
        let working = self.tasks.spawn(async move {
            let done = precompute(&tiers, Order { whom, kinds: &kinds, now, stop: &stop }, |_| {}).await;
            drop(turn);
            match &done {
                Ok(report) => tracing::info!(?report, "what was to be precomputed is there"),
                Err(error) => tracing::warn!(error = %Chain(error), "precomputing ended early"),
            }
            done
        });
        match tokio::time::timeout(patience, working).await {
            Ok(Ok(done)) => Asked::Done(done),
            // it works on, or panicked, which its hook has logged
            Ok(Err(_)) | Err(_) => Asked::Works,
        }
    }

    /// Ends what works between two batches, and waits for it.
    pub async fn close(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// The task.
pub(super) struct Precompute {
    pub(super) workshop: Workshop,
    pub(super) options: config::Precompute,
}

#[async_trait]
impl Job for Precompute {
    async fn run(&self, attempt: &Attempt) -> Result<Value, JobError> {
        let Workshop { tiers, clock, .. } = &self.workshop;
        let order = Order {
            whom: Whom::Active(self.options.days_active),
            kinds: &self.options.statistics,
            now: clock.now(),
            stop: &attempt.stop,
        };
        match precompute(tiers, order, |_| {}).await {
            Ok(Report { stopped: true, .. }) => Err(JobError::Stopped),
            Ok(report) => output(&report),
            Err(error) => Err(failed(&error)),
        }
    }
}
