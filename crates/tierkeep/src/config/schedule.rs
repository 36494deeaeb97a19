//! `[schedule]`, `[precompute]` and `[notify]`: what a node does by itself, when, and who is told if it fails.

use std::time::Duration;

use jiff::SignedDuration;
use tierkeep_learning::statistic::StatisticKind;
use tierkeep_learning::store::ActiveWithin;
use tierkeep_schedule::{Missed, Retries, Task, Timing};

use super::Config;

/// What is done at times, by the names that operators know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TaskKind {
    /// Answers about active learners are computed before anybody asks.
    Precompute,
    /// What is stored and of no use any more goes.
    Sweep,
    /// The scheduled clean-up.
    Archive,
    /// Each active learner's day that has ended is written where the platform can read it.
    Analytics,
}

impl TaskKind {
    /// All of them, in the order in which they are listed.
    pub const ALL: [Self; 4] = [Self::Precompute, Self::Sweep, Self::Archive, Self::Analytics];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Precompute => "precompute-active-cache",
            Self::Sweep => "cleanup-expired-cache",
            Self::Archive => "archive-old-data",
            Self::Analytics => "update-analytics",
        }
    }
}

/// When tasks are due, and what becomes of those that fail.
#[derive(Debug, Clone)]
pub struct Schedule {
    plans: [Plan; TaskKind::ALL.len()],
    /// What happens after a failed attempt.
    pub retries: Retries,
    /// An attempt that takes longer is asked to stop.
    pub time_limit: Duration,
    /// How long runs are listed.
    pub history: Duration,
}

/// When one task is due.
#[derive(Debug, Clone)]
pub struct Plan {
    /// When, in `days.time_zone`.
    pub timing: Timing,
    /// What becomes of the times at which no node ran.
    pub missed: Missed,
    /// A run begins up to this long after it is due.
    pub jitter: Duration,
}

impl Schedule {
    /// When a task is due.
    #[must_use]
    pub fn plan(&self, kind: TaskKind) -> &Plan {
        &self.plans[kind as usize]
    }

    pub(super) fn plan_mut(&mut self, kind: TaskKind) -> &mut Plan {
        &mut self.plans[kind as usize]
    }
}

impl Default for Schedule {
    fn default() -> Self {
        let every = |seconds| Timing::Every(SignedDuration::from_secs(seconds));
        let daily = |text: &str| text.parse().expect("a cron expression that a test reads");
        let plan = |timing, missed, jitter| Plan { timing, missed, jitter: Duration::from_secs(jitter) };
        Self {
            plans: [
                plan(every(300), Missed::Skip, 0),
                plan(every(3600), Missed::Skip, 0),
                // a node that was down at two archives when it is up again, as long as retention.windows allow
                plan(daily("0 2 * * *"), Missed::Once, 0),
                plan(daily("0 3 * * *"), Missed::Once, 0),
            ],
            retries: Retries::default(),
            time_limit: Duration::from_hours(6),
            history: Duration::from_hours(90 * 24),
        }
    }
}

/// Whom the precomputing task is about, and what it computes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Precompute {
    /// A learner with a valid session within so many local days is active.
    pub days_active: ActiveWithin,
    /// What is computed about each of them.
    pub statistics: Vec<StatisticKind>,
}

impl Default for Precompute {
    fn default() -> Self {
        use StatisticKind::{Analytics, Daily, Weekly};
        Self { days_active: ActiveWithin::WEEK, statistics: vec![Daily, Weekly, Analytics] }
    }
}

/// Who is told of failures.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notify {
    /// A command for `sh`, run when a task has failed and is not tried again.
    pub on_failure: Option<String>,
}

impl Config {
    /// A task as the scheduler knows it.
    #[must_use]
    pub fn task(&self, kind: TaskKind) -> Task {
        let Plan { timing, missed, jitter } = self.schedule.plan(kind).clone();
        Task {
            name: kind.name().parse().expect("the names above are names of tasks"),
            timing,
            zone: self.days.default_zone.time_zone().clone(),
            missed,
            jitter,
            retries: self.schedule.retries,
            time_limit: self.schedule.time_limit,
            is_enabled: kind != TaskKind::Archive || self.retention.is_enabled(&self.mapping),
        }
    }
}
