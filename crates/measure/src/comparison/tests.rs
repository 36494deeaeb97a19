//! Small cases whose answer is known.

use super::*;
use crate::nanos::Nanos;

fn series(times: impl IntoIterator<Item = f64>) -> Series {
    Series::new("s", times.into_iter().map(|time| Nanos::new(time).unwrap()).collect()).unwrap()
}

/// Times that are all different, in no order.
fn scattered(count: usize) -> impl Iterator<Item = f64> {
    (0..count).map(move |place| 1000.0 + (place * 7919 % count) as f64)
}

#[test]
fn a_series_does_not_differ_from_itself() {
    let same = series(scattered(500));

    let comparison = compare(&same, &same).unwrap();

    assert_eq!(comparison.verdict(), Verdict::NoDifference);
    assert!((comparison.ratio() - 1.0).abs() < 1e-4, "{}", comparison.ratio());
    assert!(comparison.interval().low <= 1.0 && comparison.interval().high >= 1.0);
}

#[test]
fn a_multiplied_series_is_slower_by_the_factor_and_the_other_way_round_faster() {
    let (before, now) = (series(scattered(500)), series(scattered(500).map(|time| time * 1.5)));

    let slower = compare(&before, &now).unwrap();
    let faster = compare(&now, &before).unwrap();

    assert_eq!((slower.verdict(), faster.verdict()), (Verdict::Slower, Verdict::Faster));
    assert!((slower.ratio() - 1.5).abs() < 1e-4 && (faster.ratio() * 1.5 - 1.0).abs() < 1e-4);
    assert!((slower.interval().low * faster.interval().high - 1.0).abs() < 1e-4);
    assert!(slower.to_string().starts_with("slower: 150.0 % of the time (+"), "{slower}");
}

#[test]
fn series_that_do_not_overlap_differ_and_constant_ones_do_not() {
    let [one, same, double] = [100.0, 100.0, 200.0].map(|time| series(std::iter::repeat_n(time, 60)));

    assert_eq!(compare(&one, &same).unwrap().verdict(), Verdict::NoDifference);
    let comparison = compare(&one, &double).unwrap();
    assert_eq!(comparison.verdict(), Verdict::Slower);
    assert!((comparison.ratio() - 2.0).abs() < 1e-4);
}

#[test]
fn times_of_zero_can_be_compared() {
    let [nothing, something] = [0.0, 5.0].map(|time| series(std::iter::repeat_n(time, 60)));

    assert_eq!(compare(&nothing, &nothing).unwrap().verdict(), Verdict::NoDifference);
    assert_eq!(compare(&nothing, &something).unwrap().verdict(), Verdict::Slower);
}

#[test]
fn a_sure_difference_that_is_small_is_not_named() {
    let (before, now) = (series(scattered(5000)), series(scattered(5000).map(|time| time * 1.01)));
    let [before_exact, now_exact] = [1000.0, 1010.0].map(|time| series(std::iter::repeat_n(time, 60)));

    assert_eq!(compare(&before, &now).unwrap().verdict(), Verdict::NoDifference);
    let exact = compare(&before_exact, &now_exact).unwrap();
    assert_eq!(exact.verdict(), Verdict::NoDifference);
    assert!(exact.interval().low > 1.009, "the test is sure: {:?}", exact.interval());
    assert_eq!(compare_above(&before_exact, &now_exact, 0.005).unwrap().verdict(), Verdict::Slower);
}

#[test]
fn too_few_runs_and_shares_that_are_none_are_refused() {
    let (short, long) = (series(scattered(MIN_RUNS - 1)), series(scattered(MIN_RUNS)));

    assert_eq!(compare(&short, &long), Err(CompareError::TooFewRuns { name: "s".to_owned(), runs: 49 }));
    assert!(compare(&long, &short).is_err() && compare(&long, &long).is_ok());
    for share in [-0.1, 1.0, f64::NAN] {
        assert!(compare_above(&long, &long, share).is_err(), "{share}");
    }
}

#[test]
fn quantiles_are_those_of_tables_of_student() {
    for (freedom, tabulated) in [(9.0, 3.2498), (18.0, 2.8784), (40.0, 2.7045), (78.0, 2.6403)] {
        let found = placement::student(NORMAL_QUANTILE, freedom);
        assert!((found / tabulated - 1.0).abs() < 1e-3, "{freedom}: {found}");
    }
}
