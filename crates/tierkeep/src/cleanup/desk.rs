//! Clean-ups that a node was asked for: they go on when nobody waits, and end with the node.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tierkeep_learning::retention::RULES;
use tierkeep_learning::store::{Cleanup, Store, StoreError};
use tierkeep_retention::{
    Ended, Observer, Outcome, Plan, Report, RestoreOrder, RestoreReport, Restored, RetentionError, RunId, Scope,
    Unobserved, Windows,
};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Document, Request, RequestError, Surroundings};
use crate::chain::Chain;
use crate::clock::Clock;
use crate::config::Retention;

/// How often the database is asked for the backlog at most.
const BACKLOG_AGE: Duration = Duration::from_secs(60);
/// Longest time that a scrape waits for it.
const BACKLOG_WAIT: Duration = Duration::from_secs(2);
/// How long a run that was asked for over HTTP waits for another one: one that is done gives the lease back a moment after
/// its end is listed. Who asks over HTTP asks again.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);
/// The ways in which a run of this node may end.
const ENDED: [Ended; 5] = [Ended::Done, Ended::Budget, Ended::Signal, Ended::Refused, Ended::Failed];

/// The clean-ups of a node, and what it knows of retention.
#[derive(Debug)]
pub struct Desk {
    config: Retention,
    is_scheduled: bool,
    stop: CancellationToken,
    tasks: TaskTracker,
    known: Arc<Mutex<Known>>,
}

#[derive(Debug, Default)]
struct Known {
    ended: BTreeMap<&'static str, u64>,
    rows: BTreeMap<&'static str, u64>,
    asked: Option<Instant>,
    backlog: Option<f64>,
}

/// What a node knows of retention at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Standing {
    /// Seconds by which the oldest session that waits is older than the archive cutoff; `None` = not known.
    pub backlog: Option<f64>,
    /// Runs of this node by how they ended.
    pub ended: Vec<(&'static str, u64)>,
    /// Rows that they moved, by rule.
    pub rows: Vec<(&'static str, u64)>,
}

/// What became of a clean-up that was asked for.
#[derive(Debug)]
pub enum Begun {
    /// It works.
    Works(RunId),
    /// It has ended, before it began to work.
    Ended(Box<Outcome>),
    /// It counts rows, or waits for a look at the tables.
    Plans,
}

/// Passes on the number of a run.
struct Told(Mutex<Option<oneshot::Sender<RunId>>>, Waits);

/// Says in the log whom a run waits for: each time that it is somebody else, and once a minute.
#[derive(Debug, Default)]
struct Waits(Mutex<Option<(String, Instant)>>);

/// Between two lines about the same wait.
const SAID_AGAIN: Duration = Duration::from_secs(60);

impl Observer for Waits {
    fn waiting(&self, reason: &str) {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if said.as_ref().is_none_or(|(of, at)| of != reason || at.elapsed() >= SAID_AGAIN) {
            *said = Some((reason.to_owned(), Instant::now()));
            tracing::info!(reason, "a clean-up waits for others");
        }
    }
}

impl Observer for Told {
    fn waiting(&self, reason: &str) {
        self.1.waiting(reason);
    }

    fn started(&self, run: RunId, _: &Plan) {
        if let Some(sender) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // who asked may have gone
            let _ = sender.send(run);
        }
    }
}

impl Desk {
    /// The desk of a node; `is_scheduled`: whether the configuration lets it clean up without being asked.
    #[must_use]
    pub fn new(config: Retention, is_scheduled: bool) -> Self {
        Self { config, is_scheduled, stop: CancellationToken::new(), tasks: TaskTracker::new(), known: Arc::default() }
    }

    /// How it is configured.
    #[must_use]
    pub fn config(&self) -> &Retention {
        &self.config
    }

    /// Whether the configuration lets it clean up without being asked.
    #[must_use]
    pub fn is_scheduled(&self) -> bool {
        self.is_scheduled
    }

    /// Begins a clean-up, which goes on until it is done or the node ends, and tells what becomes of it within `patience`.
    ///
    /// # Errors
    /// [`StoreError`] if it was refused, or could not begin.
    pub async fn begin(
        &self,
        store: Arc<dyn Store>,
        request: &Request,
        cleanup: Cleanup,
        clock: Clock,
        patience: Duration,
    ) -> Result<Begun, StoreError> {
        let (sender, mut told) = oneshot::channel();
        let installation = store.installation().await?;
        let surroundings = Surroundings {
            clock,
            stop: self.stop.child_token(),
            observer: Arc::new(Told(Mutex::new(Some(sender)), Waits::default())),
            installation,
        };
        let order = request.order(&self.config, surroundings);
        let known = Arc::clone(&self.known);
        let (ended_sender, ended) = oneshot::channel();
        self.tasks.spawn(async move {
            let done = store.clean_up(&cleanup, &order).await;
            // tells that nobody is told any more
            drop(order);
            match &done {
                Ok(outcome) => note(&known, outcome),
                Err(error) => tracing::warn!(error = %Chain(error), "a clean-up that was asked for did not begin"),
            }
            let _ = ended_sender.send(done);
        });
        tokio::select! {
            biased;
            Ok(run) = &mut told => Ok(Begun::Works(run)),
            Ok(done) = ended => done.map(|outcome| Begun::Ended(Box::new(outcome))),
            () = tokio::time::sleep(patience) => Ok(Begun::Plans),
            // the task panicked, which its hook has logged
            else => Ok(Begun::Plans),
        }
    }

    /// A clean-up as the schedule asks for it, within some hours of the day: deletes by age only if an age is configured.
    /// Returns when it has ended.
    ///
    /// # Errors
    /// [`StoreError`] if it was refused, or could not begin.
    pub async fn run_scheduled(
        &self,
        store: Arc<dyn Store>,
        clock: Clock,
        windows: Windows,
        stop: CancellationToken,
    ) -> Result<(Document, Outcome), StoreError> {
        let request = Request::scheduled(&self.config);
        let now = present(&*store, clock).await?;
        let cleanup = request.cleanup(now, &self.config).map_err(|error| refused(&error))?;
        let surroundings = Surroundings {
            clock,
            stop,
            observer: Arc::new(Waits::default()),
            installation: store.installation().await?,
        };
        let mut order = request.order(&self.config, surroundings);
        order.stop = order.stop.windows(windows);
        let outcome = store.clean_up(&cleanup, &order).await?;
        note(&self.known, &outcome);
        Ok((Document::of_outcome(&outcome, &cleanup), outcome))
    }

    /// What the schedule's next clean-up would do now.
    ///
    /// # Errors
    /// [`StoreError`] if it would be refused before anything is counted.
    pub async fn plan_scheduled(&self, store: Arc<dyn Store>, clock: Clock) -> Result<(Plan, Cleanup), StoreError> {
        let request = Request::scheduled(&self.config);
        let now = present(&*store, clock).await?;
        let cleanup = request.cleanup(now, &self.config).map_err(|error| refused(&error))?;
        Ok((store.plan_cleanup(&cleanup, request.limits(&self.config), false).await?, cleanup))
    }

    /// What a restore would bring back.
    ///
    /// # Errors
    /// As [`Retention::plan_restore`](tierkeep_learning::store::Retention::plan_restore).
    pub async fn plan_restore(
        &self,
        store: Arc<dyn Store>,
        run: RunId,
        clock: Clock,
    ) -> Result<RestoreReport, StoreError> {
        let order = self.restoring(&store, run, clock).await?;
        store.plan_restore(&order).await
    }

    async fn restoring(&self, store: &Arc<dyn Store>, run: RunId, clock: Clock) -> Result<RestoreOrder, StoreError> {
        let (observer, installation) = (Arc::new(Unobserved), store.installation().await?);
        let surroundings = Surroundings { clock, stop: self.stop.child_token(), observer, installation };
        let request = Request { wait: PATIENCE, ..Request::default() };
        Ok(RestoreOrder {
            scope: Scope::Run(run),
            grace: self.config.restore_grace,
            order: request.order(&self.config, surroundings),
        })
    }

    /// Brings back what a run moved, which goes on until it is done or the node ends; `None` if it works longer than
    /// `patience`.
    ///
    /// # Errors
    /// [`StoreError`] if it was refused, or could not begin.
    pub async fn restore(
        &self,
        store: Arc<dyn Store>,
        run: RunId,
        clock: Clock,
        patience: Duration,
    ) -> Result<Option<Restored>, StoreError> {
        let order = self.restoring(&store, run, clock).await?;
        let working = self.tasks.spawn(async move {
            let done = store.restore(&order).await;
            match &done {
                Ok(restored) => tracing::info!(
                    run = %restored.run, ended = %restored.ended, rows = ?restored.report.rows,
                    "a restore that was asked for has ended"
                ),
                Err(error) => tracing::warn!(error = %Chain(error), "a restore that was asked for did not begin"),
            }
            done
        });
        match tokio::time::timeout(patience, working).await {
            Ok(Ok(done)) => done.map(Some),
            // it works on, or panicked, which its hook has logged
            Ok(Err(_)) | Err(_) => Ok(None),
        }
    }

    /// What is known at this moment. Asks the database once a minute at most.
    pub async fn standing(&self, store: &dyn Store, now: Timestamp) -> Standing {
        if self.is_due() {
            let backlog = tokio::time::timeout(BACKLOG_WAIT, self.backlog(store, now)).await.ok().flatten();
            self.known().backlog = backlog;
        }
        let known = self.known();
        let count = |counts: &BTreeMap<&'static str, u64>, word| (word, counts.get(word).copied().unwrap_or(0));
        Standing {
            backlog: known.backlog,
            ended: ENDED.iter().map(|ended| count(&known.ended, ended.word())).collect(),
            rows: RULES.iter().map(|rule| count(&known.rows, rule)).collect(),
        }
    }

    /// Ends the runs of this node between two batches, and waits for them.
    pub async fn close(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn is_due(&self) -> bool {
        let mut known = self.known();
        let is_due = known.asked.is_none_or(|asked| asked.elapsed() >= BACKLOG_AGE);
        if is_due {
            known.asked = Some(Instant::now());
        }
        is_due
    }

    async fn backlog(&self, store: &dyn Store, now: Timestamp) -> Option<f64> {
        let cutoff = self.config.ages.archive_after.before(now)?;
        match store.retention_backlog(cutoff).await {
            Ok(oldest) => {
                Some(oldest.map_or(SignedDuration::ZERO, |oldest| cutoff.duration_since(oldest)).as_secs_f64())
            }
            Err(error) => {
                tracing::debug!(error = %Chain(&error), "the backlog of retention is not known");
                None
            }
        }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Desk {
    fn default() -> Self {
        Self::new(Retention::default(), true)
    }
}

/// The instant by which things are old: the database's, as it does not depend on the clock of this machine, unless another was
/// given.
///
/// # Errors
/// What the database says.
pub(crate) async fn present(store: &dyn Store, clock: Clock) -> Result<Timestamp, StoreError> {
    match clock {
        Clock::Fixed(now) => Ok(now),
        Clock::Wall => store.database_now().await,
    }
}

fn refused(error: &RequestError) -> StoreError {
    RetentionError::Refused(error.to_string()).into()
}

fn note(known: &Mutex<Known>, outcome: &Outcome) {
    let Outcome { run, ended, reason, report, .. } = outcome;
    tracing::info!(
        %run, %ended, reason = reason.as_deref().unwrap_or_default(), batches = report.batches, rules = ?report.rules,
        "a clean-up has ended"
    );
    let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
    *known.ended.entry(ended.word()).or_default() += 1;
    let Report { rules, .. } = report;
    for rule in RULES {
        if let Some(rows) = rules.get(rule) {
            *known.rows.entry(rule).or_default() += rows;
        }
    }
}
