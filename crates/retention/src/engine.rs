//! From rules to a plan, from a plan to a run.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tierkeep_db::Database;
use tokio_util::sync::CancellationToken;

use crate::companion::Companion;
use crate::count::{counting, counting_dependants};
use crate::crash_points::reach;

use crate::error::RetentionError;
use crate::lease::Hold;
use crate::ledger::{Ended, Ledger, RunId};
use crate::pace::{BatchSize, Pace, Share};
use crate::plan::{Plan, PlanLimits, TablePlan, Tally};
use crate::preflight::Intent;
use crate::report::{Observer, Report, Unobserved};
use crate::rule::{Action, Policy};
use crate::running::{Running, Stop};
use crate::stop_sign::{Ending, StopSign};
use crate::survey::Survey;

/// Rules, the database they are about, and who knows what its rows mean.
#[derive(Clone)]
pub struct Engine {
    pub(crate) db: Database,
    pub(crate) policy: Policy,
    pub(crate) companion: Arc<dyn Companion>,
    /// Whether runs look after the tables once their rules are carried out.
    pub(crate) is_optimizing: bool,
}

/// How a run is to work.
#[derive(Clone)]
pub struct Order {
    /// What it is called in the list of runs.
    pub command: String,
    /// How many rows a batch has.
    pub batch: BatchSize,
    /// How long a batch is to take, with an adaptive size; `None`: 200 ms, and 50 ms on SQLite. Locks are held for that long,
    /// and on SQLite it is the write lock of the whole file.
    pub batch_time: Option<Duration>,
    /// Share of the time that is spent working, 1 to 100 percent; the rest is left to others.
    pub share: Share,
    /// Share of a table's rows, 0 to 1, above which a plan is refused.
    pub max_fraction: f64,
    /// Whether a plan is carried out all the same.
    pub is_forced: bool,
    /// How long to wait for another run.
    pub wait: Duration,
    /// Longest wait for a lock.
    pub lock_timeout: Duration,
    /// Where rows go before they are deleted; `None`: nowhere.
    pub export: Option<PathBuf>,
    /// A command that must succeed before anything is deleted, run by `sh -c`.
    pub before_delete: Option<String>,
    /// What keeps a run from harming others.
    pub throttle: crate::throttle::Limits,
    /// The name of the database, for the manifest of an export.
    pub installation: Option<String>,
    /// When it is to end early.
    pub stop: StopSign,
    /// The clock that windows of the day go by.
    pub clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// Who is told how it goes.
    pub observer: Arc<dyn Observer>,
}

/// What became of a run.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Its number.
    pub run: RunId,
    /// What it was to do.
    pub plan: Plan,
    /// What it did.
    pub report: Report,
    /// How it ended; `failed` is one that met an error between two batches.
    pub ended: Ended,
    /// Why, in words, unless it is done.
    pub reason: Option<String>,
    /// How long it took.
    pub took: Duration,
}

impl Order {
    /// An order by its name, with the present by its clock: adaptive batches at full speed, refused above a fifth
    /// of a table, patient for a minute with other runs and for two seconds with locks. Nothing is exported.
    #[must_use]
    pub fn new(command: &str, clock: Arc<dyn Fn() -> Timestamp + Send + Sync>) -> Self {
        Self {
            command: command.to_owned(),
            batch: BatchSize::default(),
            batch_time: None,
            share: Share::ALL,
            max_fraction: 0.2,
            is_forced: false,
            wait: Duration::from_secs(60),
            lock_timeout: Duration::from_secs(2),
            export: None,
            before_delete: None,
            throttle: crate::throttle::Limits::default(),
            installation: None,
            stop: StopSign::new(CancellationToken::new()),
            clock,
            observer: Arc::new(Unobserved),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        (self.clock)()
    }
}

impl Engine {
    /// An engine for a database that has the tables of [`TABLES_POSTGRES`](crate::TABLES_POSTGRES) or
    /// [`TABLES_SQLITE`](crate::TABLES_SQLITE).
    #[must_use]
    pub fn new(db: Database, policy: Policy, companion: Arc<dyn Companion>) -> Self {
        Self { db, policy, companion, is_optimizing: false }
    }

    /// The same, whose runs look after the tables as well once their rules are carried out: tables whose rows changed much are
    /// measured anew for the planner, and the report has advice about space.
    #[must_use]
    pub fn optimizing(self, is_optimizing: bool) -> Self {
        Self { is_optimizing, ..self }
    }

    /// What a run would do now, and with `is_forced` although much speaks against it. Writes nothing, and needs SELECT only.
    ///
    /// # Errors
    /// [`RetentionError::Refused`] if the tables are not fit for it.
    pub async fn plan(&self, limits: PlanLimits, is_forced: bool) -> Result<Plan, RetentionError> {
        let survey = Survey::take(&self.db, &self.policy, Intent::Preview, is_forced).await?;
        self.plan_of(&survey, limits).await
    }

    async fn plan_of(&self, survey: &Survey, limits: PlanLimits) -> Result<Plan, RetentionError> {
        let mut tallies = Vec::new();
        for subject in &self.policy.subjects {
            if !survey.has(subject.name) || !self.policy.rules.iter().any(|rule| rule.subject == subject.name) {
                continue;
            }
            let found = survey.found(&self.policy, subject.name)?;
            let counted = survey.count(&self.db, &counting(&self.policy, &found)?).await?;
            let table = TablePlan {
                subject: subject.name.to_owned(),
                table: found.table(),
                rows: counted.iter().map(|counted| counted.rows).sum(),
                bytes: survey.bytes(subject.name),
            };
            tallies.push(Tally { table, counted });
        }
        let mut dependants = Vec::new();
        for (number, rule) in self.policy.rules.iter().enumerate() {
            if !matches!(rule.action, Action::DeleteDependants { .. }) {
                continue;
            }
            for dependant in &self.policy.subject(rule.subject).dependants {
                let child = survey.found(&self.policy, dependant.subject)?;
                if let Some(text) = counting_dependants(&self.policy, rule, &child, &dependant.column)? {
                    let rows = survey.number(&self.db, &text).await?;
                    let rows = u64::try_from(rows).unwrap_or(0);
                    dependants.push((number, dependant.subject.to_owned(), rows));
                }
            }
        }
        Ok(Plan::make(&self.policy, &tallies, dependants, limits))
    }

    /// Plans, and carries the plan out.
    ///
    /// Each batch is one transaction with its record, so whatever ends this, also a dropped future, ends it between two
    /// batches: what was committed is complete and listed, and the next run goes on.
    ///
    /// # Errors
    /// [`RetentionError::Refused`] before anything was touched; [`RetentionError::Busy`] if another run works;
    /// [`RetentionError::Fenced`] if another run has taken over. Any other error after the first batch is in the
    /// [`Outcome`].
    pub async fn run(&self, order: &Order) -> Result<Outcome, RetentionError> {
        let begun = Instant::now();
        let hold = Hold::take(&self.db, order.wait, &order.stop.signal()).await?;
        reach("lease-taken");
        let done = self.run_held(order, &hold, begun).await;
        match hold.release().await {
            // the lease had passed on: whoever has it looks after what is left
            Err(RetentionError::Fenced) | Ok(()) => {}
            Err(error) => tracing::warn!(%error, "the lease of the retention run could not be given back"),
        }
        reach("lease-released");
        done
    }

    async fn run_held(&self, order: &Order, hold: &Hold, begun: Instant) -> Result<Outcome, RetentionError> {
        let limits = PlanLimits {
            max_fraction: order.max_fraction,
            batch_rows: u64::from(Pace::new(order.batch, Pace::target(&self.db)).next_rows().get()),
        };
        let survey = Survey::take(&self.db, &self.policy, Intent::Run, order.is_forced).await?;
        let survey = survey.followed(&self.db, &self.policy, order.is_forced).await?;
        // counting may take longer than the lease
        let plan = hold.while_renewing(self.plan_of(&survey, limits)).await?;
        let ledger = Ledger::new(&self.db);
        let written = serde_json::to_value(&plan).map_err(|error| RetentionError::Mismatch(error.to_string()))?;
        let run = ledger.begin(hold, &order.command, &written).await?;
        reach("run-recorded");
        let mut running = Running::new(self, order, hold, &survey, run, plan).await?;
        let stop = match running.objection() {
            Some(objection) => Err(Stop::Ending(Ending::Refused(objection))),
            None => {
                order.observer.started(run, &running.plan);
                running.work_measured().await
            }
        };
        reach("work-done");
        let took = begun.elapsed();
        let (ended, reason) = over(stop, "what was committed stays, and the next run goes on")?;
        let (plan, report) = running.into_parts();
        ledger.finish(hold, run, ended, reason.as_deref(), &report.to_json()?).await?;
        reach("run-finished");
        Ok(Outcome { run, plan, report, ended, reason, took })
    }
}

/// How work ended, and why in words unless it is done. `afterwards` says what becomes of it after an error.
pub(crate) fn over(stop: Result<(), Stop>, afterwards: &str) -> Result<(Ended, Option<String>), RetentionError> {
    Ok(match stop {
        Ok(()) => (Ended::Done, None),
        Err(Stop::Ending(ending)) => (ended(&ending), Some(why(&ending))),
        Err(Stop::Error(RetentionError::Fenced)) => return Err(RetentionError::Fenced),
        Err(Stop::Error(RetentionError::Stopped(reason))) => {
            (Ended::Signal, Some(RetentionError::Stopped(reason).to_string()))
        }
        Err(Stop::Error(error)) => (Ended::Failed, Some(format!("{}; {afterwards}", chain(&error)))),
    })
}

fn ended(ending: &Ending) -> Ended {
    match ending.word() {
        "done" => Ended::Done,
        "budget" => Ended::Budget,
        "signal" => Ended::Signal,
        _ => Ended::Refused,
    }
}

fn why(ending: &Ending) -> String {
    match ending {
        Ending::Refused(reason) => reason.clone(),
        other => other.to_string(),
    }
}

/// An error with its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}
