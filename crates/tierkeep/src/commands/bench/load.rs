//! How often a thing is asked, and by how many.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, anyhow};
use serde_json::{Value, json};
use tierkeep_measure::{Benchmark, MAX_RUNS, Measurement, Rate, Timer};

use crate::cli::LoadArgs;

/// Runs of a closed loop unless told.
const RUNS: u32 = 1000;
/// How long after the last one answers are waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often each thing is asked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Load {
    /// By callers who wait for their answers.
    Closed { callers: u32, runs: u32, lasting: Duration },
    /// At times that are fixed before.
    Open { rate: Rate, runs: u32 },
}

impl Load {
    /// # Errors
    /// More runs than one benchmark keeps.
    pub(super) fn new(arguments: &LoadArgs) -> Result<Self> {
        let LoadArgs { runs, seconds, concurrency, rate } = *arguments;
        let Some(rate) = rate else {
            let lasting = Duration::from_secs(u64::from(seconds));
            return Ok(Self::Closed { callers: concurrency, runs: runs.unwrap_or(RUNS), lasting });
        };
        let held = (rate.get() * f64::from(seconds)).round().max(1.0);
        let wanted = runs.map_or(held, |runs| held.min(f64::from(runs)));
        if wanted > f64::from(MAX_RUNS) {
            return Err(anyhow!("{rate} for {seconds} s are {held} calls; accepted: at most {MAX_RUNS}"));
        }
        // it is between 1 and a million
        Ok(Self::Open { rate, runs: wanted as u32 })
    }

    /// Asks; also gives what the first call that failed said. Calls are spread over threads where several are under way, and stay in this
    /// task where they are not, as handing over costs more than an answer from memory.
    pub(super) async fn run<F>(
        self,
        name: &str,
        warm_up: usize,
        timer: impl Timer,
        ask: impl Fn(usize) -> F,
    ) -> (Measurement, Option<String>)
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        let first: Arc<Mutex<Option<String>>> = Arc::default();
        let spread = !matches!(self, Self::Closed { callers: 1, .. });
        let call = |number: u32| {
            let (asked, first) = (ask(number as usize), Arc::clone(&first));
            async move {
                let answered = if spread {
                    tokio::spawn(asked).await.unwrap_or_else(|panic| Err(panic.to_string()))
                } else {
                    asked.await
                };
                answered.inspect_err(|failure| {
                    first.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| failure.clone());
                })
            }
        };
        let warm_up = u32::try_from(warm_up).unwrap_or(u32::MAX);
        let benchmark = |runs| Benchmark::new(name).runs(runs).warm_up(warm_up).clock(timer);
        let measurement = match self {
            Self::Closed { callers, runs, lasting } => {
                benchmark(runs).concurrency(callers).lasting(lasting).run_async(call).await
            }
            Self::Open { rate, runs } => benchmark(runs).rate(rate).patience(PATIENCE).run_async(call).await,
        };
        let failure = first.lock().unwrap_or_else(PoisonError::into_inner).take();
        (measurement, failure)
    }

    pub(super) fn json(self) -> Value {
        match self {
            Self::Closed { callers, runs, lasting } => {
                json!({ "loop": "closed", "concurrency": callers, "runs": runs, "seconds": lasting.as_secs() })
            }
            Self::Open { rate, runs } => json!({ "loop": "open", "rate": rate.get(), "runs": runs }),
        }
    }
}

#[cfg(test)]
mod tests {
    use tierkeep_measure::TokioTimer;

    use super::*;

    fn arguments(runs: Option<u32>, seconds: u32, rate: Option<&str>) -> LoadArgs {
        LoadArgs { runs, seconds, concurrency: 3, rate: rate.map(|rate| rate.parse().unwrap()) }
    }

    #[test]
    fn a_rate_asks_for_its_seconds_or_fewer_runs() {
        let runs = |runs, seconds, rate| match Load::new(&arguments(runs, seconds, Some(rate))).unwrap() {
            Load::Open { runs, .. } => runs,
            closed @ Load::Closed { .. } => panic!("{closed:?}"),
        };

        assert_eq!(runs(None, 4, "50"), 200);
        assert_eq!(runs(Some(30), 4, "50"), 30);
        assert_eq!(runs(Some(300), 4, "50"), 200);
        assert_eq!(runs(None, 1, "0.1"), 1);
        let error = Load::new(&arguments(None, 3600, Some("1000"))).unwrap_err().to_string();
        assert!(error.ends_with("3600000 calls; accepted: at most 1000000"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_failed_first_is_told_and_failures_are_counted() {
        let ask = |number| async move {
            tokio::time::sleep(Duration::from_millis(10)).await;
            if number % 4 == 3 { Err(format!("number {number}")) } else { Ok(()) }
        };

        for load in [
            Load::new(&arguments(Some(20), 10, None)).unwrap(),
            Load::new(&arguments(Some(20), 10, Some("50"))).unwrap(),
        ] {
            let (measurement, failure) = load.run("some", 0, TokioTimer::new(), ask).await;

            assert_eq!((measurement.runs, measurement.failed), (15, 5), "{load:?}");
            assert_eq!(failure.as_deref(), Some("number 3"));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_closed_loop_ends_when_its_seconds_are_over() {
        let ask = |_| async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok(())
        };

        let load = Load::new(&arguments(None, 5, None)).unwrap();
        let (measurement, _) = load.run("slow", 0, TokioTimer::new(), ask).await;

        assert_eq!(measurement.runs, 15);
    }
}
