//! How long answers take, by statistic and tier: histograms that threads do not share.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tierkeep_learning::statistic::StatisticKind;

use crate::tiers::Tier;

/// Bounds of the buckets: from what memory needs to what nobody waits for.
pub(crate) const BOUNDS: [Duration; 17] = [
    Duration::from_micros(50),
    Duration::from_micros(100),
    Duration::from_micros(250),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_micros(2500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_millis(2500),
    Duration::from_secs(5),
    Duration::from_secs(10),
];
/// Copies of all histograms (some 6 KiB each): threads that answer at once rarely write to the same one.
const STRIPES: usize = 8;

/// The answers of one tier to questions for one statistic.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Latency {
    /// Answers in each bucket, and behind the last bound.
    pub(crate) buckets: [u64; BOUNDS.len() + 1],
    /// Their time together.
    pub(crate) sum: Duration,
}

impl Latency {
    /// How many there were.
    pub(crate) fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// The time within which a share of the answers was there, 0 to 1, taken to be spread evenly within its bucket; the last
    /// bound where it is beyond that, and `None` without answers.
    pub(crate) fn quantile(&self, share: f64) -> Option<Duration> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let (rank, mut below, mut from) = (share * count as f64, 0.0, Duration::ZERO);
        for (bound, bucket) in BOUNDS.iter().zip(self.buckets) {
            let bucket = bucket as f64;
            if bucket > 0.0 && below + bucket >= rank {
                return Some(from + (*bound - from).mul_f64(((rank - below) / bucket).clamp(0.0, 1.0)));
            }
            below += bucket;
            from = *bound;
        }
        Some(from)
    }
}

#[derive(Debug, Default)]
struct Histogram {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    nanos: AtomicU64,
}

/// Its alignment keeps the copies of two threads out of one cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Stripe([[Histogram; Tier::ALL.len()]; StatisticKind::ALL.len()]);

/// All histograms.
#[derive(Debug)]
pub(super) struct Latencies(Box<[Stripe]>);

impl Latencies {
    pub(super) fn new() -> Self {
        Self((0..STRIPES).map(|_| Stripe::default()).collect())
    }

    /// Counts an answer.
    #[inline]
    pub(super) fn observe(&self, kind: StatisticKind, tier: Tier, took: Duration) {
        let histogram = &self.0[stripe()].0[kind as usize][tier as usize];
        // most answers are in the first buckets
        let bucket = BOUNDS.iter().position(|bound| took <= *bound).unwrap_or(BOUNDS.len());
        histogram.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        histogram.nanos.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Those that have answers.
    pub(super) fn read(&self) -> Vec<(StatisticKind, Tier, Latency)> {
        let all = StatisticKind::ALL.into_iter().flat_map(|kind| Tier::ALL.map(|tier| (kind, tier)));
        let read = all.map(|(kind, tier)| (kind, tier, self.of(kind, tier)));
        read.filter(|(_, _, latency)| latency.count() > 0).collect()
    }

    fn of(&self, kind: StatisticKind, tier: Tier) -> Latency {
        let mut latency = Latency::default();
        for stripe in &self.0 {
            let histogram = &stripe.0[kind as usize][tier as usize];
            for (sum, bucket) in latency.buckets.iter_mut().zip(&histogram.buckets) {
                *sum += bucket.load(Ordering::Relaxed);
            }
            latency.sum += Duration::from_nanos(histogram.nanos.load(Ordering::Relaxed));
        }
        latency
    }
}

#[inline]
fn stripe() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static STRIPE: usize = NEXT.fetch_add(1, Ordering::Relaxed) % STRIPES;
    }
    STRIPE.with(|stripe| *stripe)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn threads_count_together() {
        let latencies = Latencies::new();

        std::thread::scope(|scope| {
            for _ in 0..12 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        latencies.observe(StatisticKind::Weekly, Tier::L2, Duration::from_millis(3));
                    }
                });
            }
        });

        let read = latencies.read();
        let [(StatisticKind::Weekly, Tier::L2, latency)] = read[..] else { panic!("{read:?}") };
        assert_eq!((latency.count(), latency.sum), (1200, Duration::from_millis(3600)));
        assert_eq!(latency.buckets[6], 1200, "up to 5 ms");
    }

    #[test]
    fn nobody_was_answered_in_no_time_and_the_slowest_within_the_last_bound() {
        let beyond =
            Latency { buckets: std::array::from_fn(|bucket| u64::from(bucket == BOUNDS.len())), sum: Duration::MAX };

        assert_eq!(Latency::default().quantile(0.5), None);
        assert_eq!(beyond.quantile(0.5), Some(Duration::from_secs(10)));
    }

    proptest! {
        /// Against the answer that has this place in a sorted list: both are in the same bucket.
        #[test]
        fn a_quantile_is_in_the_bucket_of_the_answer_with_its_rank(
            micros in prop::collection::vec(0_u64..9_000_000, 1..50),
            percent in 0_u32..=100,
        ) {
            let latencies = Latencies::new();
            for time in &micros {
                latencies.observe(StatisticKind::Daily, Tier::L1, Duration::from_micros(*time));
            }

            let quantile = latencies.of(StatisticKind::Daily, Tier::L1).quantile(f64::from(percent) / 100.0).unwrap();

            let mut sorted = micros;
            sorted.sort_unstable();
            let rank = (sorted.len() * percent as usize).div_ceil(100).max(1);
            let exact = Duration::from_micros(sorted[rank - 1]);
            let bucket = BOUNDS.iter().position(|bound| exact <= *bound).unwrap();
            let from = bucket.checked_sub(1).map_or(Duration::ZERO, |below| BOUNDS[below]);
            prop_assert!((from..=BOUNDS[bucket]).contains(&quantile), "{quantile:?}, {exact:?}");
        }

        /// Against one list of all times.
        #[test]
        fn every_answer_is_in_the_bucket_of_its_time(micros in prop::collection::vec(0_u64..20_000_000, 1..50)) {
            let latencies = Latencies::new();
            for time in &micros {
                latencies.observe(StatisticKind::Daily, Tier::L1, Duration::from_micros(*time));
            }

            let latency = latencies.of(StatisticKind::Daily, Tier::L1);

            prop_assert_eq!(latency.sum, Duration::from_micros(micros.iter().sum()));
            let mut up_to = 0;
            for (bucket, bound) in latency.buckets.iter().zip(&BOUNDS) {
                up_to += bucket;
                prop_assert_eq!(up_to, micros.iter().filter(|time| Duration::from_micros(**time) <= *bound).count() as u64);
            }
            prop_assert_eq!(latency.count(), micros.len() as u64);
        }
    }
}
