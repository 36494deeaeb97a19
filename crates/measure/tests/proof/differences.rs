//! Differences that are found, and differences that are not there.

use tierkeep_measure::{Nanos, Series, Verdict, compare};

use crate::variates::{Shape, series, times};

/// Seeds that are tried for each claim.
const SEEDS: u64 = 100;
/// Runs of each series: with as many, a difference of 5 % is found.
const RUNS: usize = 2000;
const ALL: [Shape; 4] = [Shape::Lognormal, Shape::Bimodal, Shape::Outliers, Shape::Neighbours];

/// In how many of the seeds two series, the later one multiplied, come to this verdict.
fn verdicts(shape: Shape, runs: usize, factor: f64, verdict: Verdict) -> usize {
    let comes_to = |seed: &u64| {
        let (before, now) = (series(shape, runs, 1.0, 2 * seed), series(shape, runs, factor, 2 * seed + 1));
        compare(&before, &now).unwrap().verdict() == verdict
    };
    (0..SEEDS).filter(comes_to).count()
}

#[test]
fn equal_code_is_found_to_differ_in_at_most_five_of_a_hundred() {
    for shape in ALL {
        for runs in [250, RUNS] {
            let found = verdicts(shape, runs, 1.0, Verdict::NoDifference);

            assert!(found >= 95, "{shape:?}, {runs} runs: {found}");
        }
    }
}

#[test]
fn a_slowdown_of_five_percent_is_found_in_95_of_a_hundred() {
    for shape in ALL {
        let found = verdicts(shape, RUNS, 1.05, Verdict::Slower);

        assert!(found >= 95, "{shape:?}: {found}");
    }
}

#[test]
fn what_is_five_percent_faster_is_found_as_well() {
    let found = verdicts(Shape::Lognormal, RUNS, 1.0 / 1.05, Verdict::Faster);

    assert!(found >= 95, "{found}");
}

#[test]
fn the_interval_holds_the_true_ratio() {
    for shape in [Shape::Outliers, Shape::Neighbours] {
        let holds = |seed: &u64| {
            let (before, now) = (series(shape, RUNS, 1.0, 2 * seed), series(shape, RUNS, 1.2, 2 * seed + 1));
            let interval = compare(&before, &now).unwrap().interval();
            (interval.low..=interval.high).contains(&1.2)
        };
        let held = (0..SEEDS).filter(holds).count();

        // promised are 99
        assert!(held >= 96, "{shape:?}: {held}");
    }
}

/// The control: who compares means. Outliers decide, so that equal code differs, and a slowdown is lost among them.
#[test]
fn means_err_where_there_are_outliers() {
    let means = |seed: u64, factor: f64| {
        let mean = |times: &[f64]| times.iter().sum::<f64>() / times.len() as f64;
        let variance = |times: &[f64]| {
            let mean = mean(times);
            times.iter().map(|time| (time - mean).powi(2)).sum::<f64>() / (times.len() - 1) as f64 / times.len() as f64
        };
        let before = times(Shape::Outliers, RUNS, 2 * seed);
        let now: Vec<f64> = times(Shape::Outliers, RUNS, 2 * seed + 1).iter().map(|time| time * factor).collect();
        let ratio = mean(&now) / mean(&before);
        let t = (mean(&now) - mean(&before)) / (variance(&now) + variance(&before)).sqrt();
        (ratio, t)
    };

    let differ_by_two_percent = (0..SEEDS).filter(|seed| (means(*seed, 1.0).0 - 1.0).abs() > 0.02).count();
    let found_by_t = (0..SEEDS).filter(|seed| means(*seed, 1.05).1 > 2.58).count();

    assert!(differ_by_two_percent >= 50, "means of equal code differ in {differ_by_two_percent} of {SEEDS}");
    assert!(found_by_t <= 50, "a t-test finds the slowdown in {found_by_t} of {SEEDS}");
}

/// The control: the same test without blocks, which it gets by having neighbours shuffled away from each other.
#[test]
fn neighbours_that_count_as_independent_make_differences() {
    let shuffled = |seed: u64| {
        let times = times(Shape::Neighbours, RUNS, seed);
        // far apart: each block then is a sample of the whole series
        let step = 1_237;
        let times = (0..RUNS).map(|place| Nanos::new(times[place * step % RUNS]).unwrap());
        Series::new("shuffled", times.collect()).unwrap()
    };
    let differs = |seed: &u64| {
        let comparison = compare(&shuffled(2 * seed), &shuffled(2 * seed + 1)).unwrap();
        comparison.interval().low > 1.0 || comparison.interval().high < 1.0
    };
    let in_order = |seed: &u64| {
        let neighbours = |seed| series(Shape::Neighbours, RUNS, 1.0, seed);
        let comparison = compare(&neighbours(2 * seed), &neighbours(2 * seed + 1)).unwrap();
        comparison.interval().low > 1.0 || comparison.interval().high < 1.0
    };

    let without = (0..SEEDS).filter(differs).count();
    let with = (0..SEEDS).filter(in_order).count();

    assert!(without >= 20, "without blocks {without} of {SEEDS} differ");
    assert!(with <= 5, "with blocks {with} of {SEEDS} differ");
}
