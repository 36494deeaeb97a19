//! Tasks, the jobs that they do, and the tables that say who does which when.

use std::collections::BTreeSet;
use std::hash::{BuildHasher as _, Hash as _, Hasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tierkeep_db::{Database, Error};
use tokio_util::sync::CancellationToken;

use crate::error::is_locked;
use crate::presence::{Presence, prove};
use crate::rows::{Rows as _, read, sql, transaction};
use crate::run::instant;
use crate::tables::{self, Asker};
use crate::{Job, RunEntry, RunId, RunState, ScheduleError, Task, TaskCounts, TaskName, TaskState};
use counts::Counts;

mod attempt;
pub(crate) mod counts;
mod follow;
mod names;

/// How often somebody is let to finish who has a task locked, each for a quarter of a second.
const TRIES: u32 = 20;

/// How fast a scheduler looks and how long it waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// How long an attempt keeps its run without a renewal, which comes at every third of it. It is how long a node that stands
    /// still keeps others out; one that is gone is replaced at the next look.
    pub lease: Duration,
    /// Between two looks if something is to be done.
    pub shortest: Duration,
    /// Between two looks if nothing is: how late a run that was asked for elsewhere may begin.
    pub longest: Duration,
    /// How long a job that was asked to stop, because its time is over or its lease is lost, has to do so.
    pub grace: Duration,
}

impl Default for Pace {
    /// A lease of 30 s, looks every 250 ms to 5 s, 30 s to stop.
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(30),
            shortest: Duration::from_millis(250),
            longest: Duration::from_secs(5),
            grace: Duration::from_secs(30),
        }
    }
}

/// What is told of a run that failed, or that a guard refused.
type Observer = Arc<dyn Fn(&RunEntry) + Send + Sync>;

/// The tasks of an installation, on one node.
///
/// On PostgreSQL it takes one connection of the pool while anything works, so the pool must be allowed two or more.
pub struct Scheduler {
    node: Node,
}

/// What everything that works on this node shares; cheap to clone.
#[derive(Clone)]
struct Node {
    db: Database,
    tasks: Arc<[Arc<Known>]>,
    pace: Pace,
    /// Of this start of this process: a restarted one is another.
    name: Arc<str>,
    seed: u64,
    counts: Arc<Counts>,
    on_failure: Option<Observer>,
}

/// A task with its job.
pub(crate) struct Known {
    pub(crate) task: Task,
    job: Arc<dyn Job>,
    disagrees: AtomicBool,
}

impl Known {
    /// Whether this is the first time that another node was seen to say otherwise.
    pub(crate) fn disagrees(&self) -> bool {
        !self.disagrees.swap(true, Ordering::Relaxed)
    }

    /// How long after an instant a run begins, by chance: the same whoever asks with the same seed.
    pub(crate) fn jitter(&self, seed: Option<u64>, due: Timestamp) -> SignedDuration {
        let Some(seed) = seed else { return SignedDuration::ZERO };
        let mut hasher = std::hash::DefaultHasher::new();
        (seed, self.task.name.as_str(), due.as_microsecond()).hash(&mut hasher);
        let most = u64::try_from(self.task.jitter.as_micros()).unwrap_or(u64::MAX);
        let by = hasher.finish() % most.saturating_add(1).max(1);
        SignedDuration::from_micros(i64::try_from(by).unwrap_or(i64::MAX))
    }
}

impl Scheduler {
    /// Tasks on a database whose tables are there ([`crate::TABLES_POSTGRES`]). Of two tasks of one name the first counts.
    #[must_use]
    pub fn new(db: Database, tasks: Vec<(Task, Arc<dyn Job>)>) -> Self {
        let mut names = BTreeSet::new();
        let tasks = tasks.into_iter().filter(|(task, _)| names.insert(task.name.clone()));
        let tasks: Arc<[_]> =
            tasks.map(|(task, job)| Arc::new(Known { task, job, disagrees: AtomicBool::new(false) })).collect();
        let seed = RandomState::new().build_hasher().finish();
        let name = format!("process {}, start {:08x}", std::process::id(), seed >> 32).into();
        let counts = Arc::new(Counts::new(tasks.iter().map(|known| known.task.name.clone())));
        Self { node: Node { db, tasks, pace: Pace::default(), name, seed, counts, on_failure: None } }
    }

    /// At another pace than the usual one.
    #[must_use]
    pub fn pace(mut self, pace: Pace) -> Self {
        self.node.pace = pace;
        self
    }

    /// Has a function called whenever a run ends on this node as failed or refused. It is called between runs: it must not wait.
    #[must_use]
    pub fn on_failure(mut self, observer: Arc<dyn Fn(&RunEntry) + Send + Sync>) -> Self {
        self.node.on_failure = Some(observer);
        self
    }

    /// What ended on this node since it started, of each task. Costs nothing but a lock.
    #[must_use]
    pub fn counts(&self) -> Vec<TaskCounts> {
        self.node.counts.all()
    }

    /// Runs what is due, until `stop`; then asks what works to stop, and waits for it up to `patience`.
    ///
    /// While the database cannot be reached it tries again, up to 30 s later each time, and says so once; what works goes on
    /// until its lease is over. What did not end within `patience` is dropped, and waits for another node.
    ///
    /// # If the future is dropped
    ///
    /// What works is dropped where it stands, as if the process had been killed: another node takes it over at once.
    pub async fn follow(&self, stop: CancellationToken, patience: Duration) {
        follow::follow(&self.node, stop, patience).await;
    }

    /// Runs what is due now, and returns when it is done: for a cron of somebody else's. Chance delays nothing here.
    ///
    /// # Errors
    /// [`ScheduleError::Database`] and its likes, after what had begun has ended.
    pub async fn run_due(&self, stop: &CancellationToken) -> Result<Vec<RunEntry>, ScheduleError> {
        follow::run_due(&self.node, stop).await
    }

    /// Runs a task now, on this node, whether or not it is on, and returns when it is done. There is one attempt.
    ///
    /// # Errors
    /// [`ScheduleError`]: unknown, at work already, the database. A run that fails is no error: the entry says so.
    pub async fn run_now(&self, name: &str, stop: &CancellationToken) -> Result<RunEntry, ScheduleError> {
        let known = self.known(name)?;
        let node = &self.node;
        let presence = Arc::new(Presence::default());
        let proof = prove(&node.db, &presence, &known.task.name).await;
        let asker = Asker { session: proof.show(), ..node.asker() };
        let began = tokio::time::Instant::now();
        let mut tries = 0;
        let taken = loop {
            tries += 1;
            let (task, asker) = (known.task.clone(), asker.clone());
            let begun =
                async { Ok::<_, Error>(transaction!(&node.db, rows => tables::begin_here(rows, &task, &asker))) };
            match begun.await {
                Err(error) if is_locked(&error) && tries < TRIES && !stop.is_cancelled() => {}
                begun => break begun?,
            }
        };
        let taken = taken.map_err(|run| ScheduleError::Busy { task: known.task.name.clone(), run })?;
        let run = taken.run;
        let work = attempt::work(node, known, taken, began, proof, stop, node.pace.grace);
        match Box::pin(work).await? {
            Some(entry) => Ok(entry),
            // It has passed to somebody else, who says how it ended.
            None => self.entry(run).await?.ok_or_else(|| ScheduleError::Busy { task: known.task.name.clone(), run }),
        }
    }

    /// Asks for a run of a task at once, on whichever node comes first, whether or not it is on.
    ///
    /// # Errors
    /// [`ScheduleError`]: unknown, at work or asked for already, the database.
    pub async fn ask_for(&self, name: &str) -> Result<RunId, ScheduleError> {
        let known = self.known(name)?;
        let (task, asker) = (known.task.clone(), self.node.asker());
        let asked = async { Ok::<_, Error>(transaction!(&self.node.db, rows => tables::ask(rows, &task, &asker))) };
        asked.await?.map_err(|run| ScheduleError::Busy { task: known.task.name.clone(), run })
    }

    /// Switches a task on or off, for all nodes, until it is switched again. What works goes on; what was due while it was off
    /// is not made up for.
    ///
    /// # Errors
    /// [`ScheduleError`]: unknown, the database.
    pub async fn set_enabled(&self, name: &str, is_enabled: bool) -> Result<(), ScheduleError> {
        let task = self.known(name)?.task.clone();
        let switched = async {
            transaction!(&self.node.db, rows => tables::switch(rows, &task, is_enabled));
            Ok::<_, Error>(())
        };
        Ok(switched.await?)
    }

    /// The tasks, in their order. Those that no node has started with yet are as they are configured here.
    ///
    /// # Errors
    /// [`ScheduleError::Database`] and its likes.
    pub async fn tasks(&self) -> Result<Vec<TaskState>, ScheduleError> {
        let (rows, runs, now) = Box::pin(async {
            let rows = read!(&self.node.db, rows => rows.query(sql!("tasks"), &[]));
            let runs = read!(&self.node.db, rows => rows.query(sql!("tasks_runs"), &[]));
            Ok::<_, Error>((rows, runs, read!(&self.node.db, rows => tables::now(rows))))
        })
        .await?;
        let runs: Vec<RunEntry> = runs.iter().filter_map(RunEntry::read).collect();
        let state = |known: &Arc<Known>| {
            let task = &known.task;
            let of_task = |works: bool| {
                runs.iter().find(|run| run.task == task.name && (run.state == RunState::Works) == works).cloned()
            };
            let row = rows.iter().find(|row| row.text(0) == Some(task.name.as_str()));
            TaskState {
                name: task.name.clone(),
                timing: row.and_then(|row| row.text(2)).map_or_else(|| task.timing.to_string(), str::to_owned),
                zone: row
                    .and_then(|row| row.text(3))
                    .map_or_else(|| crate::claim::zone_name(&task.zone), str::to_owned),
                is_enabled: row.map_or(task.is_enabled, |row| row.flag(1)),
                next_at: match row {
                    Some(row) => row.int(4).map(instant),
                    None => task.timing.next_after(now, &task.zone).filter(|_| task.is_enabled),
                },
                last: of_task(false),
                succeeded_at: row.and_then(|row| row.int(5)).map(instant),
                failures: row.map_or(0, |row| row.number(6).unsigned_abs()),
                works: of_task(true),
            }
        };
        Ok(self.node.tasks.iter().map(state).collect())
    }

    /// Runs, the newest first; of one task or of all, at most `limit`.
    ///
    /// # Errors
    /// [`ScheduleError`]: unknown, the database.
    pub async fn history(&self, name: Option<&str>, limit: u32) -> Result<Vec<RunEntry>, ScheduleError> {
        let name = name.map(|name| self.known(name)).transpose()?.map_or("", |known| known.task.name.as_str());
        let values = [name.into(), i64::from(limit).into()];
        let found = async { Ok::<_, Error>(read!(&self.node.db, rows => rows.query(sql!("history"), &values))) };
        Ok(found.await?.iter().filter_map(RunEntry::read).collect())
    }

    /// A run by its number.
    ///
    /// # Errors
    /// [`ScheduleError::Database`] and its likes.
    pub async fn entry(&self, run: RunId) -> Result<Option<RunEntry>, ScheduleError> {
        let values = [run.get().into()];
        let found = async { Ok::<_, Error>(read!(&self.node.db, rows => rows.first(sql!("run_one"), &values))) };
        Ok(found.await?.as_ref().and_then(RunEntry::read))
    }

    /// Removes runs that ended more than `keep` ago, and all but the last `most_per_task` of each task; never the last that was
    /// done, nor what waits or works. Returns how many. In batches, each a transaction of its own.
    ///
    /// # Errors
    /// [`ScheduleError::Database`] and its likes; what was removed before stays so.
    pub async fn prune_history(&self, keep: Duration, most_per_task: u32) -> Result<u64, ScheduleError> {
        let mut removed = 0;
        loop {
            let batch =
                async { Ok::<_, Error>(transaction!(&self.node.db, rows => tables::prune(rows, keep, most_per_task))) };
            let (count, is_more) = batch.await?;
            removed += count;
            if !is_more {
                return Ok(removed);
            }
        }
    }

    fn known(&self, name: &str) -> Result<&Arc<Known>, ScheduleError> {
        self.node.tasks.iter().find(|known| known.task.name.as_str() == name).ok_or_else(|| {
            let known = self.node.tasks.iter().map(|known| known.task.name.as_str());
            ScheduleError::UnknownTask { given: name.to_owned(), accepted: names::by_likeness(name, known) }
        })
    }
}

impl std::fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&TaskName> = self.node.tasks.iter().map(|known| &known.task.name).collect();
        f.debug_struct("Scheduler").field("node", &self.node.name).field("tasks", &names).finish_non_exhaustive()
    }
}

impl Node {
    fn asker(&self) -> Asker {
        Asker { node: self.name.to_string(), session: None, lease: self.pace.lease, seed: None }
    }

    /// Tells whoever wants to know of a run that ended badly.
    fn tell(&self, entry: &RunEntry) {
        if matches!(entry.state, RunState::Failed | RunState::Refused) {
            let error = entry.error.as_deref().unwrap_or_default();
            tracing::error!(task = %entry.task, run = %entry.id, attempts = entry.attempts, error, "a run failed");
            if let Some(observer) = &self.on_failure {
                observer(entry);
            }
        }
    }
}
