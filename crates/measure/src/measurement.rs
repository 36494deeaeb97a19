//! What a benchmark found.

use std::fmt;

use serde::Serialize;

use crate::baseline::Series;
use crate::nanos::Nanos;
use crate::quantile::{median, nearest_rank, sorted};
use crate::table::Table;

/// What a benchmark found; shown as a table of one row. Percentiles are exact: the smallest time that at least this share of
/// the runs does not exceed.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Measurement {
    /// What the benchmark is called.
    pub name: String,
    /// How many runs were timed.
    pub runs: u64,
    /// Calls to a run; more than 1 where a call is too short for the clock. All times are those of a call, on the average
    /// of its run.
    pub iterations: u64,
    /// Calls of a load that returned `Err`; they are not timed.
    pub failed: u64,
    /// Calls of an open loop that were given up; they are timed with what they waited.
    pub unanswered: u64,
    /// The sum of the times of all calls.
    pub total: Nanos,
    /// The mean time of a call.
    pub mean: Nanos,
    /// The middle time, or the mean of the middle two.
    pub median: Nanos,
    /// The shortest.
    pub min: Nanos,
    /// The longest.
    pub max: Nanos,
    /// Of the runs, as a sample (divided by one less than their number); 0 for a single run.
    pub standard_deviation: Nanos,
    /// The 90th percentile.
    pub p90: Nanos,
    /// The 95th percentile.
    pub p95: Nanos,
    /// The 99th percentile.
    pub p99: Nanos,
    /// Calls that were answered, by the seconds that all of it took; under load those of a wall clock.
    pub per_second: f64,
    /// Times of a call in each run in nanoseconds, in the order in which the runs ended.
    #[serde(skip)]
    times: Vec<f64>,
}

/// What was timed.
#[derive(Debug)]
pub(crate) struct Raw {
    pub(crate) iterations: u64,
    /// Nanoseconds of a call, in the order of the runs.
    pub(crate) times: Vec<f64>,
    /// Nanoseconds from the first call to the last answer.
    pub(crate) elapsed: f64,
    pub(crate) failed: u64,
    pub(crate) unanswered: u64,
}

impl Measurement {
    /// All numbers of these times; zeros, if there are none.
    pub(crate) fn of(name: String, raw: Raw) -> Self {
        let Raw { iterations, times, elapsed, failed, unanswered } = raw;
        let sorted = sorted(&times);
        let sum: f64 = times.iter().sum();
        let mean = sum / times.len().max(1) as f64;
        let squares: f64 = times.iter().map(|time| (time - mean).powi(2)).sum();
        let deviation = (squares / times.len().saturating_sub(1).max(1) as f64).sqrt();
        let calls = (times.len() as u64 - unanswered) * iterations;
        let at = |per_mille| Nanos::computed(nearest_rank(&sorted, per_mille));
        Self {
            name,
            runs: times.len() as u64,
            iterations,
            failed,
            unanswered,
            total: Nanos::computed(sum * iterations as f64),
            mean: Nanos::computed(mean),
            median: Nanos::computed(median(&sorted)),
            min: at(0),
            max: at(1000),
            standard_deviation: Nanos::computed(deviation),
            p90: at(900),
            p95: at(950),
            p99: at(990),
            per_second: if elapsed > 0.0 { calls as f64 * 1e9 / elapsed } else { 0.0 },
            times,
        }
    }

    /// Exact percentiles for a plot, in thousandths from 0 (the shortest) to 1000 (the longest). Sorts all runs.
    #[must_use]
    pub fn percentiles(&self, per_mille: &[u16]) -> Vec<Nanos> {
        let sorted = sorted(&self.times);
        per_mille.iter().map(|share| Nanos::computed(nearest_rank(&sorted, usize::from(*share).min(1000)))).collect()
    }

    /// The times of the runs in their order, thinned evenly to at most [`MAX_KEPT`](crate::MAX_KEPT), to be kept and compared.
    #[must_use]
    pub fn series(&self) -> Series {
        Series::thinned(&self.name, &self.times)
    }

    /// An object with the fields of this; times are nanoseconds.
    ///
    /// # Errors
    /// None that is known of; those of `serde_json` are passed on.
    pub fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string(self)
    }

    /// A table of one row in Markdown.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        Self::table([self]).markdown()
    }

    /// Several measurements in one table, as aligned text.
    #[must_use]
    pub fn text_of(measurements: &[Self]) -> String {
        Self::table(measurements).to_string()
    }

    /// Several measurements in one table, in Markdown.
    #[must_use]
    pub fn markdown_of(measurements: &[Self]) -> String {
        Self::table(measurements).markdown()
    }

    fn table<'a>(measurements: impl IntoIterator<Item = &'a Self>) -> Table {
        let mut table = Table::new(&[
            "benchmark",
            "runs",
            "failed",
            "total",
            "mean",
            "median",
            "min",
            "max",
            "deviation",
            "p90",
            "p95",
            "p99",
            "per second",
        ]);
        for measured in measurements {
            let runs = match measured.iterations {
                1 => measured.runs.to_string(),
                iterations => format!("{} of {iterations} calls", measured.runs),
            };
            let failed = match measured.unanswered {
                0 => measured.failed.to_string(),
                unanswered => format!("{} and {unanswered} unanswered", measured.failed),
            };
            let Self { total, mean, median, min, max, standard_deviation, p90, p95, p99, .. } = measured;
            let times = [total, mean, median, min, max, standard_deviation, p90, p95, p99].map(Nanos::to_string);
            let before = [measured.name.clone(), runs, failed];
            table.row(before.into_iter().chain(times).chain([format!(
                "{:.*}",
                decimals(measured.per_second),
                measured.per_second
            )]));
        }
        table
    }
}

/// Decimals that a rate is shown with.
fn decimals(per_second: f64) -> usize {
    if per_second < 100.0 { 2 } else { 0 }
}

impl fmt::Display for Measurement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Self::table([self]).fmt(f)
    }
}

#[cfg(test)]
mod tests;
