//! What a run did, and how it tells while it works.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::batch::Batch;
use crate::error::RetentionError;
use crate::ledger::RunId;
use crate::plan::Plan;

/// What a run has done; it is stored with each batch.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Rows that went by each rule.
    pub rules: BTreeMap<String, u64>,
    /// Rows of other subjects that went with those of a rule, by rule and subject.
    pub dependants: BTreeMap<String, BTreeMap<String, u64>>,
    /// References that were turned to another row, by rule.
    pub repointed: BTreeMap<String, u64>,
    /// Rows that were planned for and passed over at every attempt: others held locks on them, or had changed them.
    pub left: BTreeMap<String, u64>,
    /// Batches that were committed.
    pub batches: u64,
    /// Files that rows were exported to before they were deleted.
    pub files: Vec<String>,
    /// The tables before and after, if the run came to its end.
    pub tables: Vec<TableReport>,
    /// Tables that were measured anew for the planner.
    pub analyzed: Vec<String>,
    /// What an operator should do.
    pub advice: Vec<String>,
}

/// A table before and after a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableReport {
    /// The name of the subject.
    pub subject: String,
    /// Its size with its indexes before, in bytes.
    pub bytes_before: Option<u64>,
    /// The same after.
    pub bytes_after: Option<u64>,
}

impl Report {
    /// With a batch that is about to be committed.
    pub(crate) fn with(&self, batch: &Batch, name: &str) -> Self {
        let mut report = self.clone();
        report.batches += 1;
        for (kind, rows) in &batch.kinds {
            *report.rules.entry(kind.clone()).or_default() += rows;
        }
        if batch.repointed > 0 {
            *report.repointed.entry(name.to_owned()).or_default() += batch.repointed;
        }
        report
    }

    pub(crate) fn to_json(&self) -> Result<serde_json::Value, RetentionError> {
        serde_json::to_value(self).map_err(|error| RetentionError::Mismatch(error.to_string()))
    }

    /// Rows that went by a rule.
    #[must_use]
    pub fn rows(&self, rule: &str) -> u64 {
        self.rules.get(rule).copied().unwrap_or(0)
    }

    /// Rows of a subject that went with those of a rule.
    #[must_use]
    pub fn dependants_of(&self, rule: &str, subject: &str) -> u64 {
        self.dependants.get(rule).and_then(|subjects| subjects.get(subject)).copied().unwrap_or(0)
    }
}

/// Is told how a run goes on. Called between batches, so it must return soon.
pub trait Observer: Send + Sync {
    /// The run is recorded under this number, and nothing speaks against its plan: it begins to work.
    fn started(&self, run: RunId, plan: &Plan) {
        let _ = (run, plan);
    }

    /// A rule, or several that are carried out together, is begun: about so many rows.
    fn begun(&self, name: &str, rows: u64) {
        let _ = (name, rows);
    }

    /// A batch was committed: how many rows of the rule have gone.
    fn moved(&self, name: &str, rows: u64) {
        let _ = (name, rows);
    }

    /// The run waits, for this reason.
    fn waiting(&self, reason: &str) {
        let _ = reason;
    }
}

/// Tells nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unobserved;

impl Observer for Unobserved {}
