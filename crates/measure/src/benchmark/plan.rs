//! Which calls come next: the warm-up, the search for how many calls make a run, and the runs.

use std::time::Duration;

use crate::nanos::whole_nanoseconds;

/// A run that takes less than this many times the clock's resolution is made longer.
const TOO_SHORT: f64 = 10.0;
/// How many times the clock's resolution it takes then: reading the clock is a hundredth of it.
const LONG_ENOUGH: f64 = 100.0;
/// Calls to a run at most: a function that the compiler has removed takes no time however often it is called.
const MAX_ITERATIONS: u64 = 1 << 20;

/// The order of calls, for functions that are async and those that are not.
#[derive(Debug)]
pub(super) struct Plan {
    resolution: f64,
    runs: u32,
    stage: Stage,
    times: Vec<f64>,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    /// The shortest call so far, in nanoseconds.
    WarmUp {
        left: u32,
        shortest: f64,
    },
    Trying {
        iterations: u64,
    },
    Running {
        iterations: u64,
    },
}

impl Plan {
    pub(super) fn new(runs: u32, warm_up: u32, resolution: f64) -> Self {
        let stage = match warm_up {
            0 => Stage::Trying { iterations: 1 },
            left => Stage::WarmUp { left, shortest: f64::INFINITY },
        };
        Self { resolution, runs, stage, times: Vec::with_capacity(runs as usize) }
    }

    /// How many calls are to be made and timed together next.
    pub(super) fn calls(&self) -> Option<u64> {
        match self.stage {
            Stage::WarmUp { .. } => Some(1),
            Stage::Trying { iterations } => Some(iterations),
            Stage::Running { iterations } => (self.times.len() < self.runs as usize).then_some(iterations),
        }
    }

    /// How long they took.
    pub(super) fn took(&mut self, took: Duration) {
        let took = whole_nanoseconds(took) as f64;
        self.stage = match self.stage {
            Stage::WarmUp { left: 1, shortest } => self.after(1, took.min(shortest)),
            Stage::WarmUp { left, shortest } => Stage::WarmUp { left: left - 1, shortest: took.min(shortest) },
            Stage::Trying { iterations } => self.after(iterations, took),
            Stage::Running { iterations } => {
                self.times.push(took / iterations as f64);
                Stage::Running { iterations }
            }
        };
    }

    /// What follows when this many calls took this long together.
    fn after(&self, iterations: u64, took: f64) -> Stage {
        let wanted = if iterations == 1 { TOO_SHORT } else { LONG_ENOUGH };
        if took >= wanted * self.resolution || iterations >= MAX_ITERATIONS {
            Stage::Running { iterations }
        } else {
            Stage::Trying { iterations: iterations * 2 }
        }
    }

    /// Calls to a run, and the time of a call in each run, in nanoseconds, in the order of the runs.
    pub(super) fn finish(self) -> (u64, Vec<f64>) {
        let iterations = match self.stage {
            Stage::Running { iterations } | Stage::Trying { iterations } => iterations,
            Stage::WarmUp { .. } => 1,
        };
        (iterations, self.times)
    }
}
