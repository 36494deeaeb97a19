//! Whether a number that is looked at again and again grows.

/// One look: when, in seconds, and what was seen.
pub(crate) type Look = (f64, f64);

/// By how much a series grows from its first look to its last: the median of the slopes between all pairs of looks
/// (Theil and Sen), so that single jumps up or down do not count, times the time between them.
pub(crate) fn growth(looks: &[Look]) -> f64 {
    let mut slopes: Vec<f64> = Vec::new();
    // of a long series not each with each: some 500 are enough
    let step = looks.len().div_ceil(500).max(1);
    let thinned: Vec<Look> = looks.iter().copied().step_by(step).collect();
    for (index, (begin, before)) in thinned.iter().enumerate() {
        slopes.extend(thinned[index + 1..].iter().map(|(end, after)| (after - before) / (end - begin)));
    }
    if slopes.is_empty() {
        return 0.0;
    }
    slopes.sort_unstable_by(f64::total_cmp);
    let (first, last) = (looks[0].0, looks[looks.len() - 1].0);
    slopes[slopes.len() / 2] * (last - first)
}

#[test]
fn a_leak_is_seen_and_noise_is_not() {
    let series =
        |of: fn(f64) -> f64| (0..40).map(|second| (f64::from(second), of(f64::from(second)))).collect::<Vec<_>>();

    let leak = series(|second| 100.0 + 0.5 * second + (second * 1.7).sin() * 3.0);
    assert!((growth(&leak) - 19.5).abs() < 3.0, "{}", growth(&leak));
    let noise = series(|second| 100.0 + (second * 1.7).sin() * 3.0);
    assert!(growth(&noise).abs() < 1.0, "{}", growth(&noise));
    let jump = series(|second| if second as u32 == 39 { 180.0 } else { 100.0 });
    assert!(growth(&jump).abs() < 1.0, "{}", growth(&jump));
    assert!(growth(&[]).abs() < f64::EPSILON);
}
