//! Whether two benchmarks differ, and by how much.
//!
//! The test is that of Brunner and Munzel on *blocks* of runs. It asks how likely a run of one series is longer than one of
//! the other, so one run that took a thousand times as long weighs as much as any other that is the longest; it does not ask
//! that both have one shape or spread; and it counts ties. Runs that follow each other resemble each other, though, and a test that
//! takes them for independent finds differences where there are none. So a series is cut into blocks of neighbours, and what
//! varies is the mean of a block.
//!
//! The ratio is the one at which the test is most content: one series times this ratio is as often above as below the other
//! (Hodges and Lehmann's estimate, of a factor). The interval holds the ratios that the test does not reject. So the verdict
//! and the interval cannot contradict each other, nothing is drawn by lot, and equal input gives equal output.

mod placement;

use std::fmt;

use self::placement::Sample;
use crate::baseline::Series;

/// The fewest runs of a series that can be compared: ten blocks of five.
pub const MIN_RUNS: usize = 50;

/// A difference below this is not named unless told, as a share: 2 %. What two builds of equal code differ by, since they
/// lie differently in memory, is of this size.
pub const SMALLEST_NAMED: f64 = 0.02;

/// The normal distribution is beyond this, on either side, in a hundredth: of series that do not differ so many are found to,
/// before small differences are left out.
const NORMAL_QUANTILE: f64 = 2.575_829_303_548_901;

/// What a comparison comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is none, or it is too small to be named, or there are too few runs to tell.
    NoDifference,
    /// The later one takes less time.
    Faster,
    /// The later one takes more time.
    Slower,
}

/// Ratios with which the measurements go well.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Interval {
    /// The smallest.
    pub low: f64,
    /// The greatest.
    pub high: f64,
}

/// How a benchmark compares with an earlier one; shown as a sentence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Comparison {
    ratio: f64,
    interval: Interval,
    verdict: Verdict,
}

/// Why two series cannot be compared.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CompareError {
    /// One of them is too short.
    #[error("{name} has {runs} runs; accepted: {MIN_RUNS} or more")]
    TooFewRuns {
        /// What it is called.
        name: String,
        /// Its length.
        runs: usize,
    },
    /// The smallest difference is none.
    #[error("{0} is no smallest difference; accepted: a share from 0 to below 1, such as 0.02")]
    NoShare(f64),
}

impl Comparison {
    /// How long the later one takes, as a multiple of the earlier one's time.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        self.ratio
    }

    /// The ratios that the measurements do not rule out, at 99 %.
    #[must_use]
    pub fn interval(&self) -> Interval {
        self.interval
    }

    /// What it comes to.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Interval { low, high } = self.interval;
        let percent = |ratio: f64| (ratio - 1.0) * 100.0;
        match self.verdict {
            Verdict::NoDifference => write!(f, "no difference")?,
            Verdict::Faster => write!(f, "faster: {:.1} % of the time", self.ratio * 100.0)?,
            Verdict::Slower => write!(f, "slower: {:.1} % of the time", self.ratio * 100.0)?,
        }
        write!(f, " ({:+.1} % to {:+.1} %)", percent(low), percent(high))
    }
}

/// Compares a later series with an earlier one, and names differences from [`SMALLEST_NAMED`] on.
///
/// Of pairs of equal series about one in a hundred is found to differ; some more where there are few runs that resemble their
/// neighbours over more than a tenth of the series. A difference of 5 % is found in 95 of 100 pairs where a
/// run's time is spread by a third (log-normal, σ = 0.3) and there are 2,000 runs of each. What both cannot tell: that the
/// machine was slower for the whole of one series. Where that matters, let both take turns.
///
/// Costs some hundred passes over both series, so milliseconds for 10,000 runs.
///
/// # Errors
/// [`CompareError::TooFewRuns`] below [`MIN_RUNS`].
pub fn compare(before: &Series, now: &Series) -> Result<Comparison, CompareError> {
    compare_above(before, now, SMALLEST_NAMED)
}

/// Compares, and names differences from this share on: with 0.1, ratios of 1.1 or more, and of 1/1.1 or less.
///
/// # Errors
/// As [`compare`]; [`CompareError::NoShare`] for a share below 0 or from 1 on.
pub fn compare_above(before: &Series, now: &Series, smallest: f64) -> Result<Comparison, CompareError> {
    if !(0.0..1.0).contains(&smallest) {
        return Err(CompareError::NoShare(smallest));
    }
    let (earlier, later) = (sample(before)?, sample(now)?);
    let at = |wanted: f64| placement::ratio_where(&earlier, &later, |placed| placed.lead(NORMAL_QUANTILE) - wanted);
    let ratio = placement::ratio_where(&earlier, &later, |placed| placed.surplus());
    // rounding may put the estimate a hair outside of an interval that is a point
    let interval = Interval { low: at(1.0).min(ratio), high: at(-1.0).max(ratio) };
    let verdict = if interval.low > 1.0 && ratio >= 1.0 + smallest {
        Verdict::Slower
    } else if interval.high < 1.0 && ratio <= 1.0 / (1.0 + smallest) {
        Verdict::Faster
    } else {
        Verdict::NoDifference
    };
    Ok(Comparison { ratio, interval, verdict })
}

fn sample(series: &Series) -> Result<Sample, CompareError> {
    let runs = series.times().len();
    if runs < MIN_RUNS {
        return Err(CompareError::TooFewRuns { name: series.name().to_owned(), runs });
    }
    Ok(Sample::new(series.times(), blocks(runs)))
}

/// Into how many blocks of neighbours a series is cut: enough to know how much their means vary, few enough that a
/// block is longer than what neighbours have in common.
fn blocks(runs: usize) -> usize {
    (runs / 50).clamp(10, 40)
}

#[cfg(test)]
mod tests;
