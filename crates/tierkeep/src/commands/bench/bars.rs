//! Percentiles as bars on a terminal.

use std::fmt::Write as _;

use tierkeep_measure::{Measurement, Nanos};

/// The longest bar, in letters.
const WIDTH: f64 = 50.0;
/// Thousandths that are shown, each where there are runs enough for it.
const SHOWN: [(u16, &str); 7] =
    [(0, "min"), (500, "p50"), (900, "p90"), (950, "p95"), (990, "p99"), (999, "p99.9"), (1000, "max")];

/// A bar for each percentile, all to one scale, on which ten times as long is always equally far.
pub(super) fn bars(measurements: &[Measurement]) -> String {
    let measured = || measurements.iter().filter(|measured| measured.runs > 0);
    let positive = |nanos: Nanos| nanos.get().max(1.0);
    let shortest = measured().map(|measured| positive(measured.min)).fold(f64::INFINITY, f64::min);
    let longest = measured().map(|measured| positive(measured.max)).fold(1.0, f64::max);
    let mut text = String::from("latency, logarithmic");
    for measured in measured() {
        // writing to a string cannot fail
        let _ = write!(text, "\n{}", measured.name);
        let shares = SHOWN.map(|(share, _)| share);
        for ((share, name), time) in SHOWN.into_iter().zip(measured.percentiles(&shares)) {
            if !is_known(share, measured.runs) {
                continue;
            }
            // the shortest has a bar as well
            let length =
                if longest > shortest { (positive(time) / shortest).ln() / (longest / shortest).ln() } else { 1.0 };
            let bar = "█".repeat((1.0 + (WIDTH - 1.0) * length).round() as usize);
            let _ = write!(text, "\n  {name:<5}  {time:>8}  {bar}");
        }
    }
    text.push('\n');
    text
}

/// Whether so many runs have this percentile between them: with fewer it is the longest run by another name.
pub(super) fn is_known(per_mille: u16, runs: u64) -> bool {
    matches!(per_mille, 0 | 1000) || runs * u64::from(1000 - per_mille) >= 1000
}

#[cfg(test)]
pub(super) mod tests {
    use std::cell::Cell;
    use std::time::Duration;

    use tierkeep_measure::{Benchmark, Clock};

    use super::*;

    /// A clock that stands still but for what runs take.
    struct Simulated(Cell<u64>);

    impl Clock for &Simulated {
        fn now(&self) -> Duration {
            Duration::from_nanos(self.0.get())
        }
    }

    pub(in crate::commands::bench) fn measured(name: &str, runs: u32, took: impl Fn(u64) -> u64) -> Measurement {
        let (clock, number) = (Simulated(Cell::new(0)), Cell::new(0));
        Benchmark::new(name).runs(runs).warm_up(1).clock(&clock).run(|| {
            clock.0.set(clock.0.get() + took(number.get()));
            number.set(number.get() + 1);
        })
    }

    #[test]
    fn bars_grow_with_the_logarithm() {
        // 1 µs to 1 ms
        let text = bars(&[
            measured("a", 100, |number| if number > 98 { 1_000_000 } else { 1_000 }),
            measured("b", 5, |_| 31_623),
        ]);

        let length = |line: &str| line.matches('█').count();
        let lines: Vec<(String, usize)> =
            text.lines().skip(1).map(|line| (line.split_whitespace().take(1).collect(), length(line))).collect();
        let expected = [
            ("a", 0),
            ("min", 1),
            ("p50", 1),
            ("p90", 1),
            ("p95", 1),
            ("p99", 50),
            ("max", 50),
            ("b", 0),
            ("min", 26),
            ("p50", 26),
            ("max", 26),
        ];
        assert_eq!(lines, expected.map(|(name, length)| (name.to_owned(), length)), "{text}");
    }

    #[test]
    fn percentiles_between_too_few_runs_are_left_out() {
        assert!(is_known(990, 100) && !is_known(990, 99));
        assert!(is_known(999, 1000) && !is_known(999, 999));
        assert!(is_known(1000, 1) && is_known(0, 1));
    }

    #[test]
    fn nothing_measured_is_no_bar() {
        assert_eq!(bars(&[]), "latency, logarithmic\n");
    }
}
