//! What a restore did, as a document.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use tierkeep_retention::{Ended, RestoreReport, Restored, RunId};
use utoipa::ToSchema;

/// What came back, or would.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RestoreDocument {
    /// The number of the restore itself; null if nothing was begun.
    #[schema(value_type = Option<i64>, required)]
    pub run_id: Option<RunId>,
    /// Whether this is what would come back.
    pub dry_run: bool,
    /// Rows that came back, by the table they are in now.
    pub rows: BTreeMap<String, u64>,
    /// References that were turned back to them.
    pub repointed: u64,
    /// Rows that cannot come back, and stay where they are.
    pub stayed: u64,
    /// The first hundred of these.
    pub stays: Vec<StayDocument>,
    /// Rows that others held; the same restore brings them back later.
    pub left: u64,
    /// Batches that were committed.
    pub batches: u64,
    /// Time it took.
    pub seconds: f64,
    /// `done`, `budget`, `signal` or `failed`.
    pub ended: &'static str,
    /// Why, unless it is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A row that cannot come back.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct StayDocument {
    /// The table it would go to.
    pub source: String,
    /// Its id.
    pub key: String,
    /// Why it cannot.
    pub why: String,
}

impl RestoreDocument {
    /// What would come back.
    #[must_use]
    pub fn of_plan(report: RestoreReport, took: Duration) -> Self {
        Self { dry_run: true, ..Self::of(None, report, Ended::Done, took) }
    }

    /// What came back.
    #[must_use]
    pub fn of_restored(restored: &Restored) -> Self {
        let Restored { run, report, ended, reason, took } = restored;
        Self { reason: reason.clone(), ..Self::of(Some(*run), report.clone(), *ended, *took) }
    }

    fn of(run_id: Option<RunId>, report: RestoreReport, ended: Ended, took: Duration) -> Self {
        let RestoreReport { rows, repointed, stayed, stays, left, batches } = report;
        let stays = stays.into_iter();
        Self {
            run_id,
            dry_run: false,
            rows,
            repointed,
            stayed,
            stays: stays.map(|stay| StayDocument { source: stay.source, key: stay.key, why: stay.why }).collect(),
            left,
            batches,
            seconds: took.as_secs_f64(),
            ended: ended.word(),
            reason: None,
        }
    }
}
