//! What became of the calls of measured functions.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::nanos::Nanos;
use crate::table::Table;

/// The calls of all measured functions; shown as a table. See [`report`](crate::report()).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Report {
    /// By name.
    pub functions: Vec<FunctionReport>,
}

/// The calls of the functions of one name. Times are of calls that returned, an `Err` included; those of an async function
/// count from its first poll.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FunctionReport {
    /// What `#[measured]` called it.
    pub name: String,
    /// Calls that returned something other than `Err`.
    pub values: u64,
    /// Calls that returned `Err`.
    pub errors: u64,
    /// Calls that panicked.
    pub panics: u64,
    /// Calls of async functions whose future was dropped between its first poll and its end.
    pub cancelled: u64,
    /// The sum of all times; exact.
    pub total: Nanos,
    /// Exact.
    pub mean: Nanos,
    /// Exact; 0 if no call returned.
    pub min: Nanos,
    /// Exact; 0 if no call returned.
    pub max: Nanos,
    /// The median, within [`RELATIVE_ERROR`](crate::RELATIVE_ERROR) as the other percentiles: the smallest time that at
    /// least this share of the calls does not exceed.
    pub p50: Nanos,
    /// See [`FunctionReport::p50`].
    pub p90: Nanos,
    /// See [`FunctionReport::p50`].
    pub p95: Nanos,
    /// See [`FunctionReport::p50`].
    pub p99: Nanos,
    /// For `#[measured(busy = true)]`: the sum of the times in which futures that ended were polled, so did not wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub busy: Option<Nanos>,
}

impl FunctionReport {
    /// All calls, however they ended.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.values + self.errors + self.panics + self.cancelled
    }
}

impl Report {
    /// The function of this name, if it was called.
    #[must_use]
    pub fn function(&self, name: &str) -> Option<&FunctionReport> {
        self.functions.iter().find(|function| function.name == name)
    }

    /// One object with `functions`, each with the fields of [`FunctionReport`]; times are nanoseconds.
    ///
    /// # Errors
    /// None that is known of; those of `serde_json` are passed on.
    pub fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string(self)
    }

    /// A table in Markdown.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        self.table().markdown()
    }

    fn table(&self) -> Table {
        let mut table = Table::new(&[
            "function",
            "calls",
            "errors",
            "panics",
            "cancelled",
            "total",
            "mean",
            "min",
            "p50",
            "p90",
            "p95",
            "p99",
            "max",
        ]);
        for function in &self.functions {
            let counts = [function.calls(), function.errors, function.panics, function.cancelled];
            let times = [function.total, function.mean, function.min, function.p50, function.p90, function.p95];
            let cells = counts.map(|count| count.to_string()).into_iter();
            let cells = cells.chain(times.into_iter().chain([function.p99, function.max]).map(|time| time.to_string()));
            table.row(std::iter::once(function.name.clone()).chain(cells));
        }
        table
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.table().fmt(f)
    }
}
