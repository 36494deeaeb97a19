//! What a node does by itself: the four tasks, and how they are joined with the schedule.
//!
//! [`precompute`] is also what the command of that name does; `archive` is a clean-up by [`Desk`]; `analytics` and `sweep` go
//! through the store. Each stops at the next safe point when it is told to, and says what it did.

mod analytics;
mod archive;
mod notify;
pub mod precompute;
mod sweep;

use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;
use tierkeep_learning::store::{Store, StoreError};
use tierkeep_schedule::{Job, JobError, Scheduler};

use crate::chain::Chain;
use crate::cleanup::Desk;
use crate::clock::Clock;
use crate::config::{Config, TaskKind};
use crate::telemetry;
use crate::tiers::Tiers;

pub use self::notify::Notices;

/// What the tasks work with.
#[derive(Debug, Clone)]
pub struct Workshop {
    /// The statistics behind their tiers.
    pub tiers: Arc<Tiers>,
    /// The clean-ups of this node.
    pub desk: Arc<Desk>,
    /// The present instant.
    pub clock: Clock,
    /// What is told of failures.
    pub notices: Notices,
}

impl Workshop {
    /// The schedule of an installation, on this node; `None` where nothing may be written.
    #[must_use]
    pub fn scheduler(&self, config: &Config) -> Option<Scheduler> {
        let db = self.store().database()?;
        let tasks = TaskKind::ALL.map(|kind| (config.task(kind), telemetry::traced(kind, self.job(kind, config))));
        let scheduler = Scheduler::new(db, tasks.into());
        Some(match &config.notify.on_failure {
            None => scheduler,
            Some(command) => scheduler.on_failure(self.notices.by(command)),
        })
    }

    fn store(&self) -> &Arc<dyn Store> {
        self.tiers.statistics().store()
    }

    fn job(&self, kind: TaskKind, config: &Config) -> Arc<dyn Job> {
        let workshop = self.clone();
        match kind {
            TaskKind::Precompute => Arc::new(precompute::Precompute { workshop, options: config.precompute.clone() }),
            TaskKind::Sweep => Arc::new(sweep::Sweep {
                workshop,
                keep: config.freshness.retention(),
                history: config.schedule.history,
            }),
            TaskKind::Archive => Arc::new(archive::Archive { workshop, zone: config.days.default_zone }),
            TaskKind::Analytics => {
                Arc::new(analytics::Analytics { workshop, days_active: config.precompute.days_active })
            }
        }
    }
}

/// What a task says of itself.
fn output(report: &impl Serialize) -> Result<Value, JobError> {
    serde_json::to_value(report).map_err(|error| JobError::Failed(error.to_string()))
}

/// A store that failed may answer when it is asked again.
fn failed(error: &StoreError) -> JobError {
    JobError::Failed(Chain(error).to_string())
}
