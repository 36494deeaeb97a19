//! What a run did, and how it tells while it works.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::backlog::{Backlog, Remaining};
use crate::batch::Batch;
use crate::error::RetentionError;
use crate::ledger::RunId;
use crate::plan::Plan;

/// What a run has done; it is stored with each batch.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
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
    /// The tables before and after, unless an error ended the run.
    pub tables: Vec<TableReport>,
    /// The file before and after, on SQLite.
    pub file: Option<FileReport>,
    /// Tables that were measured anew for the planner.
    pub analyzed: Vec<String>,
    /// What an operator should do.
    pub advice: Vec<String>,
    /// The oldest row that a rule by age is still about after the run; `None` if there is none, and where looking failed.
    pub backlog: Option<Backlog>,
    /// What is left of the plan, if the run ended before all of it was tried.
    pub remaining: Option<Remaining>,
}

/// A table before and after a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableReport {
    /// The name of the subject.
    pub subject: String,
    /// Its size with its indexes before, in bytes. On SQLite only of a run that looks after the tables, as it takes reading
    /// them.
    pub bytes_before: Option<u64>,
    /// The same after.
    pub bytes_after: Option<u64>,
    /// Rows that were counted before, of tables that have rules.
    pub rows_before: Option<u64>,
    /// The same less what this run took away, and more what it brought. What others wrote meanwhile is not in it.
    pub rows_after: Option<u64>,
}

/// A database file before and after a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileReport {
    /// Its size before, in bytes.
    pub bytes_before: u64,
    /// Its size after. Deleted rows leave free pages in it.
    pub bytes_after: u64,
    /// Bytes of free pages after, which new rows will use.
    pub bytes_free: u64,
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
