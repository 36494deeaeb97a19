use proptest::prelude::*;

use super::*;

fn adaptive(start: u32, max: u32) -> Pace {
    Pace::new(BatchSize::Adaptive { start: rows(start), max: rows(max) }, Pace::TARGET)
}

/// A machine that takes a fixed time per batch and per row.
#[derive(Debug, Clone, Copy)]
struct Machine {
    batch: Duration,
    row: Duration,
}

impl Machine {
    fn per_row(micros: u64) -> Self {
        Self { batch: Duration::from_millis(2), row: Duration::from_micros(micros) }
    }

    fn time_of(self, rows: u32) -> Duration {
        self.batch + self.row * rows
    }

    /// Runs batches and returns their times.
    fn run(self, pace: &mut Pace, batches: u32) -> Vec<Duration> {
        (0..batches)
            .map(|_| {
                let moved = pace.next_rows().get();
                let took = self.time_of(moved);
                pace.done(moved, took);
                took
            })
            .collect()
    }
}

fn is_near_target(took: Duration) -> bool {
    took >= Pace::TARGET.mul_f64(0.85) && took <= Pace::TARGET.mul_f64(1.15)
}

#[test]
fn time_of_batches_converges_to_the_target() {
    for micros in [20, 200, 2000, 20_000] {
        let mut pace = adaptive(1000, 50_000);

        let times = Machine::per_row(micros).run(&mut pace, 100);

        assert!(times[60..].iter().all(|took| is_near_target(*took)), "{micros} µs a row: {:?}", &times[60..]);
    }
}

/// Whether at most two batches of these are much too long.
fn is_followed(times: &[Duration]) -> bool {
    times[2..].iter().all(|took| *took <= Pace::TARGET.mul_f64(1.15))
}

#[test]
fn machine_that_becomes_100_times_slower_is_followed_within_two_batches() {
    let slow = Machine::per_row(2000);
    let mut pace = adaptive(1000, 50_000);
    Machine::per_row(20).run(&mut pace, 100);
    let fast_size = pace.next_rows().get();

    let times = slow.run(&mut pace, 40);

    // The control: the same machine under decrease by halves.
    let halved: Vec<Duration> = (0..40).map(|batch| slow.time_of((fast_size >> batch.min(31)).max(1))).collect();
    assert!(times[0] > Pace::TARGET * 50, "{:?}", times[0]);
    assert!(is_followed(&times), "{:?}", &times[..6]);
    assert!(!is_followed(&halved), "{:?}", &halved[..6]);
}

#[test]
fn machine_that_becomes_100_times_faster_is_followed() {
    let mut pace = adaptive(1000, 50_000);
    Machine::per_row(2000).run(&mut pace, 60);

    let fast = Machine::per_row(20).run(&mut pace, 80);

    assert!(fast[60..].iter().all(|took| is_near_target(*took)), "{:?}", &fast[60..]);
}

#[test]
fn batch_that_found_few_rows_lets_nothing_grow() {
    let mut pace = adaptive(1000, 50_000);

    for _ in 0..50 {
        pace.done(3, Duration::from_millis(1));
    }

    assert_eq!(pace.next_rows().get(), 1000);
}

#[test]
fn slow_search_for_few_rows_counts_as_half_a_batch() {
    let mut pace = adaptive(1000, 50_000);

    pace.done(3, Pace::TARGET * 2);

    assert_eq!(pace.next_rows().get(), 250);
}

#[test]
fn size_that_was_asked_for_stays_whatever_the_time() {
    let mut pace = Pace::new(BatchSize::Fixed(rows(700)), Pace::TARGET);

    pace.done(700, Duration::from_secs(20));
    pace.done(700, Duration::from_millis(1));

    assert_eq!(pace.next_rows().get(), 700);
}

#[test]
fn size_that_was_asked_for_halves_when_hindered_and_recovers() {
    let mut pace = Pace::new(BatchSize::Fixed(rows(700)), Pace::TARGET);
    let pause = pace.hindered();
    assert_eq!((pace.next_rows().get(), pause), (350, Duration::from_millis(50)));

    for _ in 0..9 {
        let moved = pace.next_rows().get();
        pace.done(moved, Duration::from_secs(20));
    }

    assert_eq!(pace.next_rows().get(), 700);
}

#[test]
fn pauses_double_up_to_five_seconds_and_start_anew_after_a_success() {
    let mut pace = adaptive(1000, 50_000);
    let pauses: Vec<u128> = (0..40).map(|_| pace.hindered().as_millis()).collect();
    assert_eq!(pauses[..8], [50, 100, 200, 400, 800, 1600, 3200, 5000]);
    assert!(pauses[8..].iter().all(|pause| *pause == 5000));

    pace.done(1, Duration::from_millis(1));

    assert_eq!(pace.hindered(), Pace::FIRST_RETRY);
}

#[test]
fn single_row_still_grows() {
    let mut pace = adaptive(1, 10);

    pace.done(1, Duration::from_millis(1));

    assert_eq!(pace.next_rows().get(), 2);
}

#[test]
fn start_above_the_maximum_is_the_maximum() {
    assert_eq!(adaptive(1000, 10).next_rows().get(), 10);
    assert_eq!(adaptive(u32::MAX, u32::MAX).next_rows(), Pace::MAX_ROWS);
}

#[test]
fn rest_leaves_work_its_share_of_the_time() {
    let work = Duration::from_millis(300);

    assert_eq!(Share::ALL.rest_after(work), Duration::ZERO);
    assert_eq!(Share::new(25).unwrap().rest_after(work), Duration::from_millis(900));
    assert_eq!(Share::LEAST.rest_after(work), work * 99);
}

#[test]
fn share_outside_of_its_range_is_refused() {
    assert_eq!(Share::new(0).unwrap_err().to_string(), "a share of 0 percent; accepted: 1 to 100");
    assert!(Share::new(101).is_err());
}

#[derive(Debug, Clone)]
enum Event {
    Done(u32, Duration),
    Hindered,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => (any::<u32>(), 0..u64::MAX).prop_map(|(moved, nanos)| Event::Done(moved, Duration::from_nanos(nanos))),
        3 => (0..100_000_u32, 0..1_000_u64).prop_map(|(moved, ms)| Event::Done(moved, Duration::from_millis(ms))),
        1 => Just(Event::Hindered),
    ]
}

proptest! {
    #[test]
    fn size_is_never_zero_and_never_above_its_maximum(
        start in 1_u32..,
        max in 1_u32..,
        is_fixed: bool,
        target in 0_u64..10_000,
        events in proptest::collection::vec(event(), 0..200),
    ) {
        let size = if is_fixed {
            BatchSize::Fixed(rows(max))
        } else {
            BatchSize::Adaptive { start: rows(start), max: rows(max) }
        };
        let mut pace = Pace::new(size, Duration::from_millis(target));
        let limit = if is_fixed { max } else { max.min(Pace::MAX_ROWS.get()) };

        for event in events {
            match event {
                Event::Done(moved, took) => pace.done(moved, took),
                Event::Hindered => prop_assert!(pace.hindered() <= Pace::LAST_RETRY),
            }
            prop_assert!((1..=limit).contains(&pace.next_rows().get()));
        }
    }

    #[test]
    fn batch_above_the_target_never_lets_the_size_grow(
        start in 1_u32..50_000,
        moved: u32,
        over in 1_u64..1_000_000,
    ) {
        let mut pace = adaptive(start, 50_000);
        let took = Pace::TARGET + Duration::from_micros(over);

        pace.done(moved, took);

        prop_assert!(pace.next_rows().get() <= start);
        if took >= Pace::TARGET * 2 {
            prop_assert!(pace.next_rows().get() <= (start / 2).max(1));
        }
    }

    #[test]
    fn share_of_rows_is_at_least_one_and_at_most_all(percent in 1_u8..=100, number in 1_u32..) {
        let share = Share::new(percent).unwrap();

        let part = share.of_rows(rows(number));

        prop_assert!(part.get() >= 1 && part.get() <= number);
    }
}
