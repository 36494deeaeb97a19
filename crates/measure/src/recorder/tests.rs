//! The recorder against a sorted list of everything it was told.

use std::sync::Barrier;

use proptest::prelude::*;

use super::*;
use crate::scale::{LONGEST, RELATIVE_ERROR};

/// Times of all orders of magnitude.
fn times() -> impl Strategy<Value = Vec<u64>> {
    prop::collection::vec((0_u32..42, any::<u64>()).prop_map(|(bits, any)| any & ((1 << bits) - 1)), 1..300)
}

fn told(times: &[u64]) -> Recorder {
    let recorder = Recorder::new("model");
    for time in times {
        recorder.ended(*time, Ending::Value);
    }
    recorder
}

proptest! {
    #[test]
    fn percentiles_are_those_of_a_sorted_list(times in times()) {
        let report = told(&times).read().unwrap();

        let mut sorted = times.clone();
        sorted.sort_unstable();
        let found = [(500, report.p50), (900, report.p90), (950, report.p95), (990, report.p99)];
        for (per_mille, found) in found {
            let exact = sorted[(sorted.len() * per_mille).div_ceil(1000) - 1].min(LONGEST) as f64;
            prop_assert!((found.get() - exact).abs() <= exact * RELATIVE_ERROR, "{per_mille}: {found} for {exact}");
        }
        prop_assert_eq!(report.min.get(), sorted[0] as f64);
        prop_assert_eq!(report.max.get(), sorted[sorted.len() - 1] as f64);
        prop_assert_eq!(report.total.get(), times.iter().sum::<u64>() as f64);
        prop_assert_eq!(report.values, times.len() as u64);
    }

    #[test]
    fn threads_together_count_what_one_would(times in times()) {
        let recorder = Recorder::new("threads");

        std::thread::scope(|scope| {
            for part in times.chunks(times.len().div_ceil(4)) {
                let recorder = &recorder;
                scope.spawn(move || part.iter().for_each(|time| recorder.ended(*time, Ending::Value)));
            }
        });

        prop_assert_eq!(recorder.read(), told(&times).read().map(|report| FunctionReport { name: "threads".into(), ..report }));
    }
}

#[test]
fn nothing_is_lost_by_many_threads_at_one_counter() {
    const EACH: u64 = 20_000;
    let recorder = Recorder::new("contended");

    std::thread::scope(|scope| {
        // twice as many as there are shards
        for _ in 0..2 * SHARDS {
            scope.spawn(|| (0..EACH / 10).for_each(|time| recorder.ended(time, Ending::Error)));
        }
    });

    let report = recorder.read().unwrap();
    assert_eq!((report.values, report.errors), (0, 2 * SHARDS as u64 * EACH / 10));
}

#[test]
fn what_was_broken_off_is_counted_and_not_timed() {
    let recorder = told(&[1000, 3000]);
    recorder.panicked();
    recorder.cancelled();
    recorder.cancelled();

    let report = recorder.read().unwrap();

    assert_eq!((report.calls(), report.values, report.panics, report.cancelled), (5, 2, 1, 2));
    assert_eq!(report.mean.get(), 2000.0);
}

#[test]
fn reset_forgets_everything() {
    let recorder = told(&[1000]);
    recorder.was_busy(7);
    recorder.reset();

    assert_eq!(recorder.read(), None);

    recorder.ended(5, Ending::Value);
    assert_eq!(recorder.read(), told(&[5]).read().map(|report| FunctionReport { name: "model".into(), ..report }));
}

#[test]
fn reset_forgets_what_every_thread_counted_and_each_goes_on_from_nothing() {
    let recorder = Recorder::new("eras");
    let count = || {
        recorder.ended(1000, Ending::Error);
        recorder.was_busy(7);
    };
    let (counted, reset) = (Barrier::new(2 * SHARDS + 1), Barrier::new(2 * SHARDS + 1));
    std::thread::scope(|scope| {
        for _ in 0..2 * SHARDS {
            scope.spawn(|| {
                count();
                counted.wait();
                reset.wait();
                count();
            });
        }
        counted.wait();
        assert_eq!(recorder.read().unwrap().errors, 2 * SHARDS as u64);
        recorder.reset();
        assert_eq!(recorder.read(), None);
        reset.wait();
    });

    let report = recorder.read().unwrap();
    assert_eq!((report.errors, report.busy), (2 * SHARDS as u64, Some(Nanos::whole(14 * SHARDS as u64))));
    assert_eq!(
        (report.total, report.min, report.max),
        (Nanos::whole(2000 * SHARDS as u64), Nanos::whole(1000), Nanos::whole(1000))
    );
}
