//! The numbers against slow, obvious ones.

use proptest::prelude::*;

use super::*;

fn measured(times: &[f64]) -> Measurement {
    let elapsed = times.iter().sum();
    Measurement::of("m".to_owned(), Raw { iterations: 1, times: times.to_vec(), elapsed, failed: 0, unanswered: 0 })
}

#[test]
fn numbers_of_a_known_sample_are_right() {
    let measurement = measured(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]);

    assert_eq!(measurement.total.get(), 40.0);
    assert_eq!((measurement.mean.get(), measurement.median.get()), (5.0, 4.5));
    assert_eq!((measurement.min.get(), measurement.max.get()), (2.0, 9.0));
    assert!((measurement.standard_deviation.get() - (32.0_f64 / 7.0).sqrt()).abs() < 1e-12);
    assert_eq!(measurement.p90.get(), 9.0);
    assert_eq!(measurement.per_second, 8.0 * 1e9 / 40.0);
}

#[test]
fn a_measurement_of_nothing_is_all_zeros() {
    let nothing = measured(&[]);

    assert_eq!((nothing.runs, nothing.max.get(), nothing.per_second), (0, 0.0, 0.0));
    assert_eq!(nothing.standard_deviation.get(), 0.0);
    assert!(nothing.to_string().contains("0.00 ns"));
}

#[test]
fn calls_of_a_batch_count_each() {
    let raw = Raw { iterations: 100, times: vec![3.0; 10], elapsed: 3000.0, failed: 0, unanswered: 0 };

    let measurement = Measurement::of("short".to_owned(), raw);

    assert_eq!(measurement.total.get(), 3000.0);
    assert_eq!(measurement.per_second, 1000.0 * 1e9 / 3000.0);
    assert!(measurement.to_string().contains("10 of 100 calls"), "{measurement}");
}

#[test]
fn unanswered_calls_are_no_throughput() {
    let raw = Raw { iterations: 1, times: vec![1.0, 1.0, 9.0], elapsed: 1e9, failed: 4, unanswered: 1 };

    let measurement = Measurement::of("load".to_owned(), raw);

    assert_eq!(measurement.per_second, 2.0);
    assert!(measurement.to_string().contains("4 and 1 unanswered"), "{measurement}");
}

#[test]
fn json_has_every_number_and_markdown_is_a_table() {
    let measurement = measured(&[1.0, 2.0]);

    let json: serde_json::Value = serde_json::from_str(&measurement.to_json().unwrap()).unwrap();
    for field in
        ["runs", "total", "mean", "median", "min", "max", "standard_deviation", "p90", "p95", "p99", "per_second"]
    {
        assert!(json[field].is_number(), "{field}");
    }
    assert_eq!(json["name"], "m");
    assert_eq!(measurement.to_markdown().lines().count(), 3);
}

proptest! {
    #[test]
    fn percentiles_are_in_order_and_of_the_sample(times in prop::collection::vec(0.0..1e9_f64, 1..200)) {
        let measurement = measured(&times);

        let found = [measurement.min, measurement.p90, measurement.p95, measurement.p99, measurement.max];
        prop_assert!(found.is_sorted());
        prop_assert!(found.iter().all(|found| times.contains(&found.get())));
        prop_assert_eq!(measurement.percentiles(&[0, 900, 950, 990, 1000]), found);
        prop_assert!(measurement.min <= measurement.median && measurement.median <= measurement.max);
    }
}
