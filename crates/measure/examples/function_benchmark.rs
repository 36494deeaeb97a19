//! How long a function takes, and whether a change of it is a difference.
//!
//! `cargo run --release -p tierkeep-measure --example function_benchmark`

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::hint::black_box;

use tierkeep_measure::{Baseline, Benchmark, Machine, Measurement, Verdict, compare};

/// Runs of each benchmark. With 50 and more two of them can be compared.
const RUNS: u32 = 500;

fn measured(times: u64) -> Measurement {
    let words = "the quick brown fox jumps over the lazy dog ".repeat(20);
    let count = || (0..times).map(|_| black_box(&words).split(' ').count()).sum::<usize>();
    Benchmark::new("words").runs(RUNS).run(count)
}

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("words.json");

    let before = measured(1);
    println!("{before}");
    assert!(before.min <= before.median && before.median <= before.p99 && before.p99 <= before.max);
    // when it was taken is for people, and so an argument
    Baseline::new("2026-01-31T09:00:00Z", Machine::read(), &[before]).save(&file)?;

    let baseline = Baseline::load(&file)?;
    let kept = baseline.series("words").ok_or("it was saved")?;
    // the same code again: here the verdict is nearly always that there is no difference
    println!("\nthe same code: {}", compare(kept, &measured(1).series())?);

    let slower = compare(kept, &measured(4).series())?;
    println!("four times the work: {slower}");
    assert_eq!(slower.verdict(), Verdict::Slower);
    Ok(())
}
