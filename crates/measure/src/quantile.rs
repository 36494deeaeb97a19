//! Exact order statistics.

/// The smallest value that at least `per_mille` thousandths do not exceed (nearest rank); 0 of nothing.
pub(crate) fn nearest_rank(sorted: &[f64], per_mille: usize) -> f64 {
    let place = (sorted.len() * per_mille).div_ceil(1000).max(1) - 1;
    sorted.get(place).copied().unwrap_or_default()
}

/// The middle value, or the mean of the middle two; 0 of nothing.
pub(crate) fn median(sorted: &[f64]) -> f64 {
    let (left, right) = (sorted.len().saturating_sub(1) / 2, sorted.len() / 2);
    (sorted.get(left).copied().unwrap_or_default() + sorted.get(right).copied().unwrap_or_default()) / 2.0
}

/// In order.
pub(crate) fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_median_of_an_even_number_is_between_the_middle_two() {
        assert_eq!(median(&[]), 0.0);
        assert_eq!(median(&[3.0]), 3.0);
        assert_eq!(median(&[1.0, 2.0, 4.0, 100.0]), 3.0);
    }

    proptest! {
        #[test]
        fn a_percentile_is_the_smallest_that_enough_do_not_exceed(
            values in prop::collection::vec(0.0..1e9_f64, 1..200), per_mille in 1..=1000_usize,
        ) {
            let found = nearest_rank(&sorted(&values), per_mille);

            let reaches = |bound: f64| values.iter().filter(|value| **value <= bound).count() * 1000 >= values.len() * per_mille;
            let slow = values.iter().copied().filter(|value| reaches(*value)).fold(f64::INFINITY, f64::min);
            prop_assert_eq!(found, slow);
        }
    }
}
