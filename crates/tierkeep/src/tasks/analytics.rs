//! `update-analytics`: the day that has ended, of each active learner, where the platform can read it by SQL.

use async_trait::async_trait;
use serde::Serialize;
use serde_json::Value;
use tierkeep_learning::store::ActiveWithin;
use tierkeep_schedule::{Attempt, Job, JobError};

use super::{Workshop, failed, output};
use crate::upkeep;

/// Learners of a batch, which is one transaction.
const BATCH: u32 = 500;

/// The task.
pub(super) struct Analytics {
    pub(super) workshop: Workshop,
    pub(super) days_active: ActiveWithin,
}

/// What was written.
#[derive(Debug, Default, Serialize)]
struct Report {
    /// Learners whose rows were looked at.
    learners: u64,
    /// Rows that are new or were wrong.
    written: u64,
    /// Rows that were right.
    unchanged: u64,
    /// Rows of days on which the learner was not active after all.
    removed: u64,
}

#[async_trait]
impl Job for Analytics {
    async fn run(&self, attempt: &Attempt) -> Result<Value, JobError> {
        let store = self.workshop.store();
        // rows come from stored summaries
        if !upkeep::settle(&**store, &attempt.stop, drop).await.map_err(|error| failed(&error))? {
            return Err(JobError::Stopped);
        }
        let days = u32::from(self.days_active.get());
        let (now, mut report, mut after) = (self.workshop.clock.now(), Report::default(), None);
        loop {
            if attempt.stop.is_cancelled() {
                return Err(JobError::Stopped);
            }
            let batch = store.update_analytics(now, days, after, BATCH, Some(&attempt.fence)).await;
            let batch = batch.map_err(|error| failed(&error))?;
            report.learners += batch.learners;
            report.written += batch.rows_written;
            report.unchanged += batch.rows_unchanged;
            report.removed += batch.rows_removed;
            match batch.last {
                Some(last) => after = Some(last),
                None => return output(&report),
            }
        }
    }
}
