//! The jobs of a cache, and when each has its round.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::crew::{Bounds, Crew};
use super::job::WarmupJob;
use super::report::{Progress, WarmupReport};
use crate::cache::Cache;
use crate::engine::Engine;

/// Keys at once, unless told.
const CONCURRENT: usize = 64;
/// A job at startup waits so long for the bus, without which memory is not served.
const CONTACT: Duration = Duration::from_secs(10);

/// Why a job cannot be added or run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WarmupError {
    /// Two jobs have one name.
    #[error("there are two warm-up jobs called {0:?}")]
    JobExists(String),
    /// No job has this name.
    #[error("there is no warm-up job called {name:?}, there are: {known}")]
    UnknownJob {
        /// The name.
        name: String,
        /// Those that there are.
        known: String,
    },
}

/// The warm-up jobs of a cache. Dropped, it ends them at a key.
///
/// Jobs that run at once share one bound of keys, and take their turns by [`Priority`](super::Priority): while a more
/// urgent one has keys left, the others begin none. A job never runs twice at once; who asks for it meanwhile gets the
/// next run.
pub struct Warmups {
    shared: Arc<Shared>,
    _stop: DropGuard,
}

struct Shared {
    engine: Arc<Engine>,
    crew: Crew,
    jobs: Vec<Entry>,
    stop: CancellationToken,
}

struct Entry {
    job: WarmupJob,
    running: tokio::sync::Mutex<()>,
    last: Mutex<Option<WarmupReport>>,
}

impl fmt::Debug for Warmups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.shared.jobs.iter().map(|entry| &entry.job)).finish()
    }
}

/// Sets warm-ups up; made by [`Warmups::builder`].
#[must_use]
pub struct WarmupsBuilder {
    cache: Cache,
    concurrent: usize,
    jobs: Vec<WarmupJob>,
}

impl WarmupsBuilder {
    /// Keys that all jobs together bring in at once, 1 to 100,000; 64 unless told. A batch has no more keys than this.
    pub fn concurrent(self, keys: usize) -> Self {
        Self { concurrent: keys, ..self }
    }

    /// Adds a job.
    pub fn job(mut self, job: WarmupJob) -> Self {
        self.jobs.push(job);
        self
    }

    /// The warm-ups. Jobs with a schedule begin it on the current runtime.
    ///
    /// # Errors
    /// [`WarmupError::JobExists`].
    ///
    /// # Panics
    /// Outside a tokio runtime, if a job has a schedule.
    pub fn start(self) -> Result<Warmups, WarmupError> {
        for (place, job) in self.jobs.iter().enumerate() {
            if self.jobs[..place].iter().any(|before| before.name == job.name) {
                return Err(WarmupError::JobExists(job.name.to_string()));
            }
        }
        let entry = |job| Entry { job, running: tokio::sync::Mutex::default(), last: Mutex::default() };
        let stop = CancellationToken::new();
        let shared = Arc::new(Shared {
            engine: Arc::clone(&self.cache.engine),
            crew: Crew::new(self.concurrent),
            jobs: self.jobs.into_iter().map(entry).collect(),
            stop: stop.clone(),
        });
        for place in 0..shared.jobs.len() {
            let job = &shared.jobs[place].job;
            if job.at_startup || job.period.is_some() {
                let keeping = Arc::clone(&shared);
                drop(shared.engine.tasks.spawn(async move { keeping.keep_to_schedule(place).await }));
            }
        }
        Ok(Warmups { shared, _stop: stop.drop_guard() })
    }
}

impl Warmups {
    /// Begins the warm-ups of a cache.
    pub fn builder(cache: &Cache) -> WarmupsBuilder {
        WarmupsBuilder { cache: cache.clone(), concurrent: CONCURRENT, jobs: Vec::new() }
    }

    /// Runs a job now, and waits for its end.
    ///
    /// # Errors
    /// [`WarmupError::UnknownJob`]. Keys that fail are in the report.
    pub async fn run(&self, job: &str) -> Result<WarmupReport, WarmupError> {
        self.run_until(job, &CancellationToken::new()).await
    }

    /// As [`run`](Self::run), and ends at a key when it is cancelled.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn run_until(&self, job: &str, stop: &CancellationToken) -> Result<WarmupReport, WarmupError> {
        Ok(self.shared.run(self.entry(job)?, stop).await)
    }

    /// How a job's last run went; `None` before the first has ended.
    ///
    /// # Errors
    /// [`WarmupError::UnknownJob`].
    pub fn last(&self, job: &str) -> Result<Option<WarmupReport>, WarmupError> {
        Ok(self.entry(job)?.last.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// The names of the jobs, in the order in which they were added.
    pub fn jobs(&self) -> impl Iterator<Item = &str> {
        self.shared.jobs.iter().map(|entry| &*entry.job.name)
    }

    fn entry(&self, name: &str) -> Result<&Entry, WarmupError> {
        let found = self.shared.jobs.iter().find(|entry| &*entry.job.name == name);
        found.ok_or_else(|| WarmupError::UnknownJob {
            name: name.to_owned(),
            known: self.jobs().collect::<Vec<_>>().join(", "),
        })
    }
}

impl Shared {
    async fn run(&self, entry: &Entry, stop: &CancellationToken) -> WarmupReport {
        let _alone = entry.running.lock().await;
        let job = &entry.job;
        let stops = [&self.stop, &self.engine.cancel, stop];
        let bounds = Bounds { priority: job.priority, stops, deadline: None };
        let chunks = job.open(self.engine.clock.now(), self.crew.concurrent());
        let observe = |so_far: &WarmupReport| {
            if let Some(observer) = &job.observer {
                observer(&Progress { job: &job.name, so_far });
            }
        };
        let report = self.crew.work(chunks, bounds, observe).await;
        tracing::debug!(job = &*job.name, ?report, "warm-up ended");
        *entry.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(report.clone());
        report
    }

    async fn keep_to_schedule(self: Arc<Self>, place: usize) {
        let entry = &self.jobs[place];
        if entry.job.at_startup {
            if self.unless_stopped(self.engine.contact(Instant::now() + CONTACT)).await.is_none() {
                return;
            }
            self.run(entry, &self.stop).await;
        }
        let Some(period) = entry.job.period else { return };
        loop {
            let most = u64::try_from(entry.job.jitter.as_millis()).unwrap_or(u64::MAX).saturating_add(1);
            let longer = Duration::from_millis(self.engine.entropy.below(most));
            if self.unless_stopped(tokio::time::sleep(period.saturating_add(longer))).await.is_none() {
                return;
            }
            self.run(entry, &self.stop).await;
        }
    }

    async fn unless_stopped<T>(&self, wait: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => None,
            () = self.engine.cancel.cancelled() => None,
            done = wait => Some(done),
        }
    }
}

impl Engine {
    /// Waits until memory is served: what is stored before the first sign of life of the bus is suspect after it.
    pub(super) async fn contact(&self, deadline: Instant) {
        let mut events = self.events.listen();
        while !self.lease.serves(self.clock.now()) {
            let next = tokio::time::timeout_at(deadline, events.next()).await;
            if !matches!(next, Ok(Some(_))) {
                return;
            }
        }
    }
}
