//! `cleanup-expired-cache`: what is stored and of no use any more.

use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;
use serde_json::Value;
use tierkeep_learning::store::{StoreError, Swept};
use tierkeep_schedule::{Attempt, Job, JobError, ScheduleError, Scheduler};

use super::{Workshop, failed, output};
use crate::chain::Chain;
use crate::doctor::{note_sizes, note_statements};
use crate::upkeep::{self, Retention};

/// Rows of a batch.
const BATCH: u32 = 1000;
/// Runs of a task that are listed at most: ten months of one that is due every five minutes.
const RUNS_KEPT: u32 = 100_000;

/// The task.
pub(super) struct Sweep {
    pub(super) workshop: Workshop,
    pub(super) keep: Retention,
    /// How long runs are listed.
    pub(super) history: Duration,
}

/// What went.
#[derive(Debug, Default, Serialize)]
struct Report {
    /// Changes that everybody was told.
    changes: u64,
    /// Answers to writes that nobody will ask for again.
    idempotency_keys: u64,
    /// Stored summaries, and what is derived from them, that count for nobody.
    summaries: u64,
    /// Runs of tasks.
    runs: u64,
    /// Answers in this node's memory whose life was over.
    answers: u64,
    /// Tables whose size was noted, once a day.
    table_samples: u64,
    /// Statements that this node ran on SQLite and has noted, by text.
    statements: u64,
}

#[async_trait]
impl Job for Sweep {
    async fn run(&self, attempt: &Attempt) -> Result<Value, JobError> {
        let Workshop { tiers, clock, .. } = &self.workshop;
        let store = self.workshop.store();
        let answers = tiers.sweep();
        let pruned = upkeep::prune(&**store, self.keep, *clock, &attempt.stop).await.map_err(|error| failed(&error))?;
        let summaries = self.sweep_summaries(attempt).await.map_err(|error| failed(&error))?;
        let runs = match store.database() {
            Some(db) => Scheduler::new(db, Vec::new())
                .prune_history(self.history, RUNS_KEPT)
                .await
                .map_err(|error| unpruned(&error))?,
            None => 0,
        };
        if attempt.stop.is_cancelled() {
            return Err(JobError::Stopped);
        }
        let (table_samples, statements) = match store.database() {
            Some(db) => {
                let failed = |error| JobError::Failed(Chain(&error).to_string());
                (note_sizes(&db).await.map_err(failed)?, note_statements(&db).await.map_err(failed)?)
            }
            None => (0, 0),
        };
        let (changes, idempotency_keys) = (pruned.changes, pruned.keys);
        output(&Report { changes, idempotency_keys, summaries, runs, answers, table_samples, statements })
    }
}

impl Sweep {
    async fn sweep_summaries(&self, attempt: &Attempt) -> Result<u64, StoreError> {
        let (store, mut sum) = (self.workshop.store(), 0);
        while !attempt.stop.is_cancelled() {
            // rows that a platform reads by SQL stay for as long as their learner is there
            let Swept { learners, nightly_rows, answers, snapshots, more } = store.sweep_summaries(None, BATCH).await?;
            sum += learners + nightly_rows + answers + snapshots;
            if !more {
                break;
            }
        }
        Ok(sum)
    }
}

fn unpruned(error: &ScheduleError) -> JobError {
    JobError::Failed(Chain(error).to_string())
}
