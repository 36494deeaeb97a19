//! The buckets of a histogram: exact for short times, then 64 to a doubling.

/// Buckets to a doubling, and half of the exact ones.
const PER_DOUBLING: u64 = 1 << BITS;
const BITS: u32 = 6;

/// The longest time that is told apart, in nanoseconds: an hour. Longer ones count as this.
pub(crate) const LONGEST: u64 = 3_600_000_000_000;

/// How many buckets there are.
pub(crate) const BUCKETS: usize = place(LONGEST) + 1;

/// How far a percentile of a [`Report`](crate::Report) may be from the true one, as a share of that: 1/128, under 0.8 %. Times
/// below 128 ns are exact, those above an hour count as an hour.
pub const RELATIVE_ERROR: f64 = 1.0 / 128.0;

/// The bucket of a time in nanoseconds.
pub(crate) const fn place(nanoseconds: u64) -> usize {
    let nanoseconds = if nanoseconds > LONGEST { LONGEST } else { nanoseconds };
    let shift = (63 - BITS) - (nanoseconds | PER_DOUBLING).leading_zeros();
    (shift as u64 * PER_DOUBLING + (nanoseconds >> shift)) as usize
}

/// The middle of a bucket, in nanoseconds.
pub(crate) fn middle(place: usize) -> f64 {
    let place = place as u64;
    let shift = (place / PER_DOUBLING).saturating_sub(1);
    let low = (place - shift * PER_DOUBLING) << shift;
    let high = low + (1 << shift) - 1;
    (low as f64 + high as f64) / 2.0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn short_times_have_buckets_of_their_own() {
        for nanoseconds in 0..2 * PER_DOUBLING {
            assert_eq!(middle(place(nanoseconds)), nanoseconds as f64);
        }
    }

    #[test]
    fn more_than_an_hour_counts_as_an_hour() {
        assert_eq!(place(u64::MAX), BUCKETS - 1);
        assert!((middle(BUCKETS - 1) / LONGEST as f64 - 1.0).abs() <= RELATIVE_ERROR);
    }

    proptest! {
        #[test]
        fn the_middle_is_within_the_stated_error(nanoseconds in 1..LONGEST) {
            let error = (middle(place(nanoseconds)) - nanoseconds as f64).abs() / nanoseconds as f64;

            prop_assert!(error <= RELATIVE_ERROR, "{nanoseconds}: {error}");
        }

        #[test]
        fn longer_times_are_never_in_an_earlier_bucket(nanoseconds in 0..LONGEST, more in 0..LONGEST) {
            prop_assert!(place(nanoseconds) <= place(nanoseconds + more));
        }
    }
}
