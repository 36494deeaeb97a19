//! Medians of interleaved rounds and the ratios between contestants.

use std::time::Duration;

/// Timings of contestants that took turns.
#[derive(Default)]
pub(crate) struct Contest {
    contestants: Vec<(String, Vec<Duration>)>,
}

impl Contest {
    pub(crate) fn add(&mut self, name: &str, took: Duration) {
        match self.contestants.iter_mut().find(|(known, _)| known == name) {
            Some((_, rounds)) => rounds.push(took),
            None => self.contestants.push((name.to_owned(), vec![took])),
        }
    }

    pub(crate) fn median(&self, name: &str) -> Duration {
        let mut rounds = self.contestants.iter().find(|(known, _)| known == name).expect("it took part").1.clone();
        rounds.sort();
        rounds[rounds.len() / 2]
    }

    /// Prints every contestant; `units` things were done in each round.
    #[expect(clippy::print_stdout, reason = "a benchmark is read by the person who runs it")]
    pub(crate) fn print(&self, title: &str, units: f64, unit: &str) {
        println!("\n{title}");
        for (name, rounds) in &self.contestants {
            let median = self.median(name).as_secs_f64();
            println!(
                "  {name:<44} {:>12.1} µs a {unit}  {:>12.0} {unit}s/s  ({} rounds)",
                median * 1e6 / units,
                units / median,
                rounds.len()
            );
        }
    }

    /// Prints how much longer `a` took than `b`.
    #[expect(clippy::print_stdout, reason = "a benchmark is read by the person who runs it")]
    pub(crate) fn ratio(&self, a: &str, b: &str, wanted: &str) {
        let ratio = self.median(a).as_secs_f64() / self.median(b).as_secs_f64();
        println!("  {a} / {b}: {ratio:.2} in time, {:.2} in speed  (wanted: {wanted})", 1.0 / ratio);
    }
}

/// A whole number that follows `--name` on the command line, else `default`.
pub(crate) fn argument(name: &str, default: u64) -> u64 {
    let mut arguments = std::env::args();
    while let Some(argument) = arguments.next() {
        if argument == name {
            return arguments.next().and_then(|value| value.parse().ok()).unwrap_or(default);
        }
    }
    default
}
