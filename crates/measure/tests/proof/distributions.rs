//! Numbers of distributions that are known.

use std::cell::Cell;
use std::time::Duration;

use tierkeep_measure::{Benchmark, Clock, Measurement};

use crate::variates::{Shape, times};

/// A clock that stands still but for what the function takes.
#[derive(Default)]
struct Simulated(Cell<u64>);

impl Clock for &Simulated {
    fn now(&self) -> Duration {
        Duration::from_nanos(self.0.get())
    }
}

/// A benchmark of a function that takes these times, one after the other, in whole nanoseconds.
fn measured(times: &[f64]) -> (Measurement, Vec<f64>) {
    let clock = Simulated::default();
    let mut whole = times.iter().map(|time| time.round() as u64);
    let benchmark = Benchmark::new("known").runs(u32::try_from(times.len() - 1).unwrap()).warm_up(1).clock(&clock);
    let measurement = benchmark.run(|| clock.0.set(clock.0.get() + whole.next().unwrap()));
    let mut sorted: Vec<f64> = times[1..].iter().map(|time| time.round()).collect();
    sorted.sort_by(f64::total_cmp);
    (measurement, sorted)
}

#[test]
fn percentiles_are_exactly_those_of_what_was_drawn() {
    for shape in [Shape::Lognormal, Shape::Bimodal, Shape::Outliers, Shape::Neighbours] {
        let (measurement, sorted) = measured(&times(shape, 5_001, 7));

        let rank = |per_mille: usize| sorted[(sorted.len() * per_mille).div_ceil(1000) - 1];
        let found = [measurement.p90, measurement.p95, measurement.p99, measurement.max];
        assert_eq!(found.map(f64::from), [900, 950, 990, 1000].map(rank), "{shape:?}");
        assert_eq!(measurement.median.get(), (sorted[2_499] + sorted[2_500]) / 2.0);
        let mean = sorted.iter().sum::<f64>() / 5_000.0;
        assert!((measurement.mean.get() / mean - 1.0).abs() < 1e-12);
    }
}

#[test]
fn percentiles_are_near_those_of_the_distribution() {
    let (measurement, _) = measured(&times(Shape::Lognormal, 200_001, 11));

    // of a log-normal distribution with σ = 0.3 around 50 µs
    for (found, normal) in [(measurement.median, 0.0), (measurement.p90, 1.2816), (measurement.p99, 2.3263)] {
        let exact = 50_000.0 * (0.3_f64 * normal).exp();
        assert!((found.get() / exact - 1.0).abs() < 0.01, "{found} for {exact}");
    }
    let deviation = 50_000.0 * ((0.09_f64.exp() - 1.0) * 0.09_f64.exp()).sqrt();
    assert!((measurement.standard_deviation.get() / deviation - 1.0).abs() < 0.02);
}
