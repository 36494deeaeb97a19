//! A function that is called many times.

mod closed;
mod load;
mod open;
mod plan;
mod rate;

use std::hint::black_box;

pub use self::closed::ClosedLoop;
pub use self::open::OpenLoop;
use self::plan::Plan;
pub use self::rate::{Rate, RateError};
use crate::clock::{Clock, Monotonic};
use crate::measurement::{Measurement, Raw};

/// The most runs of one benchmark: every one is kept until its end, as percentiles are exact.
pub const MAX_RUNS: u32 = 1_000_000;
/// Runs unless told.
const RUNS: u32 = 100;
/// The most calls before the runs unless told.
const WARM_UP: u32 = 10;

/// A benchmark of a function: some calls that do not count, then runs that do.
///
/// ```
/// use tierkeep_measure::Benchmark;
///
/// let words = "the quick brown fox ".repeat(100);
/// let measurement = Benchmark::new("words").runs(500).warm_up(20).run(|| words.split(' ').count());
///
/// assert_eq!(measurement.runs, 500);
/// assert!(measurement.min <= measurement.median && measurement.median <= measurement.max);
/// println!("{measurement}\n{}", measurement.to_markdown());
/// ```
///
/// The result of each call goes through [`black_box`]; whether what the closure captures is known to the compiler is the
/// caller's business.
#[derive(Clone, Debug)]
pub struct Benchmark<C = Monotonic> {
    name: String,
    runs: u32,
    warm_up: Option<u32>,
    clock: C,
}

impl Benchmark {
    /// A benchmark of 100 runs, on the machine's clock.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), runs: RUNS, warm_up: None, clock: Monotonic::new() }
    }
}

impl<C: Clock> Benchmark<C> {
    /// How many runs count, 1 to [`MAX_RUNS`]; what lies beyond is taken for the nearer of the two.
    #[must_use]
    pub fn runs(self, runs: u32) -> Self {
        Self { runs: runs.clamp(1, MAX_RUNS), ..self }
    }

    /// How many calls come before, which fill caches and do not count; a tenth of the runs but 10 at most unless told.
    #[must_use]
    pub fn warm_up(self, calls: u32) -> Self {
        Self { warm_up: Some(calls), ..self }
    }

    /// Takes the time from another clock.
    #[must_use]
    pub fn clock<D: Clock>(self, clock: D) -> Benchmark<D> {
        Benchmark { name: self.name, runs: self.runs, warm_up: self.warm_up, clock }
    }

    /// Calls the function, one call after the other.
    ///
    /// A function that takes less than ten times what the clock can tell apart is called several times for each run, so that a run takes
    /// a hundred times that: [`Measurement::iterations`] says how often, and times are those of a call, on the average
    /// of its run. How often that must be is tried after the warm-up.
    pub fn run<T>(self, mut function: impl FnMut() -> T) -> Measurement {
        let mut plan = Plan::new(self.runs, self.warm_up_calls(), resolution(&self.clock));
        while let Some(calls) = plan.calls() {
            let from = self.clock.now();
            for _ in 0..calls {
                black_box(function());
            }
            plan.took(self.clock.now().saturating_sub(from));
        }
        self.finish(plan)
    }

    /// Calls an async function and awaits it, one call after the other; otherwise as [`Benchmark::run`]. Dropping the future
    /// ends the benchmark.
    pub async fn run_async<T>(self, mut function: impl AsyncFnMut() -> T) -> Measurement {
        let mut plan = Plan::new(self.runs, self.warm_up_calls(), resolution(&self.clock));
        while let Some(calls) = plan.calls() {
            let from = self.clock.now();
            for _ in 0..calls {
                black_box(function().await);
            }
            plan.took(self.clock.now().saturating_sub(from));
        }
        self.finish(plan)
    }

    /// The same with this many callers at a time, each of which calls again when it was answered: 1 to 1,024, and what lies
    /// beyond is taken for the nearer of the two.
    #[must_use]
    pub fn concurrency(self, callers: u32) -> ClosedLoop<C> {
        ClosedLoop::new(self, callers)
    }

    /// The same with calls that come at this rate, whether or not earlier ones were answered.
    #[must_use]
    pub fn rate(self, rate: Rate) -> OpenLoop<C> {
        OpenLoop::new(self, rate)
    }

    fn warm_up_calls(&self) -> u32 {
        self.warm_up.unwrap_or((self.runs / 10).min(WARM_UP))
    }

    fn finish(self, plan: Plan) -> Measurement {
        let (iterations, times) = plan.finish();
        let elapsed = times.iter().sum::<f64>() * iterations as f64;
        Measurement::of(self.name, Raw { iterations, times, elapsed, failed: 0, unanswered: 0 })
    }
}

/// What the clock can tell apart, in nanoseconds: the least time that passes between two readings.
fn resolution(clock: &impl Clock) -> f64 {
    const READINGS: usize = 200;
    let mut last = clock.now();
    let mut least = f64::INFINITY;
    for _ in 0..READINGS {
        let now = clock.now();
        let passed = now.saturating_sub(last).as_nanos() as f64;
        if passed > 0.0 {
            least = least.min(passed);
        }
        last = now;
    }
    // a clock that stands still, as in a simulation, is exact
    if least.is_finite() { least } else { 1.0 }
}

#[cfg(test)]
mod tests;
